#![no_main]

minerva_fuzz::fuzz!("proxy_line");
