//! Durations as people write them in policies: `500ms`, `10s`, `1m30s`, `2h`.

use std::time::Duration;

/// The units, longest first, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration; `None` where it is not one, has no unit, or is longer than 366 days.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(weir_scaling::parse_duration("1m30s"), Some(Duration::from_secs(90)));
/// assert_eq!(weir_scaling::parse_duration("90"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    loop {
        let number = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (value, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let millis = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        seconds += unsigned(value)? * millis as f64 / 1000.0;
        rest = tail;
        if rest.is_empty() {
            return Duration::try_from_secs_f64(seconds).ok().filter(|d| d.as_secs() <= 366 * 86_400);
        }
    }
}

/// Digits with at most one point; no sign, no exponent.
fn unsigned(text: &str) -> Option<f64> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain.then(|| text.parse().ok()).flatten()
}

/// Writes a duration the way [`parse_duration`] reads it, to the millisecond.
pub fn format_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, length) in UNITS {
        if millis >= length {
            text.extend([(millis / length).to_string().as_str(), unit]);
            millis %= length;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn what_people_write() {
        let seconds = |text| parse_duration(text).map(|d| d.as_secs_f64());
        assert_eq!(seconds("500ms"), Some(0.5));
        assert_eq!(seconds("1.5s"), Some(1.5));
        assert_eq!(seconds("1h0m5s"), Some(3605.0));
        assert_eq!((seconds("0"), seconds("0s")), (Some(0.0), Some(0.0)));
        for wrong in ["", "5", "s", "-5s", "5 s", "5x", "1e3s", "5m3", "999999999d", "..s"] {
            assert_eq!(seconds(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(millis in 0u64..31_000_000_000) {
            let duration = Duration::from_millis(millis);
            let read = parse_duration(&format_duration(duration)).unwrap();
            prop_assert!(read.abs_diff(duration) < Duration::from_micros(100));
        }
    }
}
