#![no_main]

minerva_fuzz::fuzz!("frames_v3");
