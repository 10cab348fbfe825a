#![no_main]

minerva_fuzz::fuzz!("forwarded_for");
