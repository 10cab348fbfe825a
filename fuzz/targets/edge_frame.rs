#![no_main]

minerva_fuzz::fuzz!("edge_frame");
