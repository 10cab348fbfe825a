#![no_main]

minerva_fuzz::target!(minerva_fuzz::frame::run, minerva_fuzz::frame::seeds);
