#![no_main]

minerva_fuzz::fuzz!("log_entry");
