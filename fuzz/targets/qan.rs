#![no_main]

minerva_fuzz::target!(minerva_fuzz::qan::run, minerva_fuzz::qan::seeds);
