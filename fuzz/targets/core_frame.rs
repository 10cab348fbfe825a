#![no_main]

minerva_fuzz::fuzz!("core_frame");
