#![no_main]

minerva_fuzz::fuzz!("hello_v3");
