//! Reads the expiry date of a certificate: a minimal DER parser for RFC 5280, section 4.1. Pure; called by
//! `tls/examine.rs`.

/// Returns a certificate's `notAfter` in seconds since 1970; `None` for an invalid certificate.
pub(super) fn valid_until(der: &[u8]) -> Option<i64> {
    let (certificate, _) = inside(der, SEQUENCE)?;
    let (mut to_be_signed, _) = inside(certificate, SEQUENCE)?;
    if to_be_signed.first() == Some(&VERSION) {
        to_be_signed = inside(to_be_signed, VERSION)?.1;
    }
    let (_, rest) = inside(to_be_signed, INTEGER)?; // the serial number
    let (_, rest) = inside(rest, SEQUENCE)?; // the signature's algorithm
    let (_, rest) = inside(rest, SEQUENCE)?; // the issuer
    let (validity, _) = inside(rest, SEQUENCE)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, time, _) = element(not_after)?;
    seconds(tag, str::from_utf8(time).ok()?)
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// Splits off the first element if its tag is `tag`: content and rest.
fn inside(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// Splits off the first element: tag, content and rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Long form: 1 to 3 length bytes follow, enough for 16 MiB.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Parses `YYMMDDhhmmssZ` (years 1950 to 2049) or `YYYYMMDDhhmmssZ` into seconds since 1970.
fn seconds(tag: u8, time: &str) -> Option<i64> {
    let digits = time.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i64 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let number = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let of_day = (number(4)? * 60 + number(6)?) * 60 + number(8)?;
    Some(days(year, number(0)?, number(2)?) * 86_400 + of_day)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years start in March here, so that the leap day is the last day of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // March 1st of the year 0 is 719,468 days before 1970.
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_become_seconds_since_1970() {
        for (tag, time, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "691231235959Z", Some(-1)),
            (UTC_TIME, "000229000000Z", Some(951_782_400)),
            (UTC_TIME, "000301000001Z", Some(951_868_801)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (GENERALIZED_TIME, "500101000000Z", None),
            (UTC_TIME, "20500101000000Z", None),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "70010100000+Z", None),
            (INTEGER, "700101000000Z", None),
        ] {
            assert_eq!(seconds(tag, time), expected, "{time}");
        }
    }

    /// Encodes a minimal certificate with a serial number of `serial` bytes.
    fn certificate(version: bool, serial: usize) -> Vec<u8> {
        let wrap = |tag: u8, content: Vec<u8>| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [vec![tag, 0x82, length[0], length[1]], content].concat()
        };
        let empty = || wrap(SEQUENCE, Vec::new());
        let time = |text: &str| wrap(UTC_TIME, text.as_bytes().to_vec());
        let validity = wrap(SEQUENCE, [time("690101000000Z"), time("700101000001Z")].concat());
        let head = if version { wrap(VERSION, vec![INTEGER, 1, 2]) } else { Vec::new() };
        let serial = wrap(INTEGER, vec![7; serial]);
        let body = [head, serial, empty(), empty(), validity, empty()].concat();
        wrap(SEQUENCE, [wrap(SEQUENCE, body), empty()].concat())
    }

    #[test]
    fn the_expiry_date_is_found() {
        for (version, serial) in [(true, 20), (false, 1), (true, 300)] {
            assert_eq!(valid_until(&certificate(version, serial)), Some(1));
        }
    }

    #[test]
    fn a_truncated_certificate_is_rejected() {
        let whole = certificate(true, 20);
        for length in 0..whole.len() {
            assert_eq!(valid_until(&whole[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn corrupt_input_never_panics(at in 0usize..90, byte: u8, noise: Vec<u8>) {
            let mut der = certificate(true, 20);
            let at = at.min(der.len() - 1);
            der[at] = byte;
            let _ = valid_until(&der);
            let _ = valid_until(&noise);
        }
    }
}
