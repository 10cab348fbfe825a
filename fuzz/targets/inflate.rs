#![no_main]

minerva_fuzz::fuzz!("inflate");
