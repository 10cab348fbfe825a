#![no_main]

minerva_fuzz::target!(minerva_fuzz::framing::int32, minerva_fuzz::framing::int32_seeds);
