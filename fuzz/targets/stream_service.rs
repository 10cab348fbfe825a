#![no_main]

minerva_fuzz::fuzz!("stream_service");
