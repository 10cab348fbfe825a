#![no_main]

minerva_fuzz::target!(minerva_fuzz::hello::run, minerva_fuzz::hello::seeds);
