#![no_main]

minerva_fuzz::fuzz!("framing_lines");
