#![no_main]

minerva_fuzz::target!(minerva_fuzz::framing::lines, minerva_fuzz::framing::lines_seeds);
