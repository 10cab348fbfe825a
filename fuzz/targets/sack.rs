#![no_main]

minerva_fuzz::target!(minerva_fuzz::sack::run, minerva_fuzz::sack::seeds);
