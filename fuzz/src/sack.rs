//! SACKs: an accepted text is canonical, and the list is bounded.

use minerva_proto::Sack;
use minerva_proto::sack::MAX_BEYOND;

pub fn run(input: &[u8]) {
    let Ok(sack) = Sack::parse(input) else { return };
    assert!(sack.beyond.len() <= MAX_BEYOND, "the list is too long");
    assert_eq!(sack.to_string().as_bytes(), input, "the text is not canonical");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let long: Vec<String> = (0..200).map(|number| (number * 3).to_string()).collect();
    let texts = ["|-1", "|0", "12,14|10", "9007199254740992|9007199254740991", "3,3,1|1"];
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push(format!("{}|1", long.join(",")).into_bytes());
    seeds
}
