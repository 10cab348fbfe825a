#![no_main]

minerva_fuzz::fuzz!("app_event");
