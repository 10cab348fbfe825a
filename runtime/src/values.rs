//! Value parsers for options, the same in every program: addresses and times.

use std::net::SocketAddr;
use std::time::Duration;

/// Longest time of an option: a year.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);

/// Parses an address to listen on.
///
/// # Errors
/// A message with the wrong value and a valid example.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not an IP address with a port; example: 127.0.0.1:8080"))
}

/// Parses a time: `120s`, `500ms`, `2.5m`, `24h`, or a plain number of seconds; at most a year.
///
/// # Errors
/// A message with the wrong value and a valid example.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time; examples: 120s, 500ms, 5m, 24h");
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = match &text[number.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
    if duration <= MAX_DURATION { Ok(duration) } else { Err(wrong()) }
}

/// Parses a time as [`duration`] does; less than a millisecond is an error.
///
/// # Errors
/// A message with the wrong value and a valid example.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration < Duration::from_millis(1) {
        return Err(format!("`{text}` is too short; examples: 120s, 500ms, 5m, 24h"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ms) in [
            ("0", 0),
            ("500ms", 500),
            ("2s", 2000),
            ("2", 2000),
            ("2.5", 2500),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("8760h", 31_536_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn a_wrong_time_is_rejected_with_an_example() {
        for text in
            ["", "s", "-1s", "1e3", "5d", "inf", "NaN", "1 s", "8761h", "9999999999999h", "µs"]
        {
            assert!(duration(text).is_err_and(|error| error.contains("500ms")), "{text}");
        }
        assert_eq!(positive_duration("1ms"), Ok(Duration::from_millis(1)));
        for text in ["0", "0.1ms", "-1"] {
            assert!(positive_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_needs_a_port() {
        assert!(address("127.0.0.1:8080").is_ok());
        assert!(address("[::1]:8080").is_ok());
        for text in ["localhost:8080", "127.0.0.1", ":8080"] {
            assert!(address(text).is_err_and(|error| error.contains("127.0.0.1:8080")), "{text}");
        }
    }
}
