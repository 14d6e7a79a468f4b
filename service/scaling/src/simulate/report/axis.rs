//! Where ticks stand and how numbers and times are written.

/// Steps between two ticks of a time axis, in seconds.
const TIME_STEPS: [f64; 13] =
    [5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0, 86_400.0];

/// Round numbers from 0 to the highest value or a little above, four or five of them.
pub(super) fn ticks(highest: f64) -> Vec<f64> {
    let highest = if highest > 0.0 { highest } else { 1.0 };
    let rough = highest / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * power);
    let step = step.into_iter().find(|&step| step >= rough * 0.999).unwrap_or(power * 10.0);
    (0..=6).map(|n| f64::from(n) * step).take_while(|&tick| tick < highest + step * 0.999).collect()
}

/// Round times within so many seconds, ten at most.
pub(super) fn times(length: f64) -> Vec<f64> {
    let fits = |step: &f64| length / step <= 10.0;
    let step = TIME_STEPS.into_iter().find(fits).unwrap_or((length / 8.0).max(1.0));
    (0..=10).map(|n| f64::from(n) * step).take_while(|&at| at <= length).collect()
}

/// A number as short as it can be read: 0.25, 12, 1,200.
pub(super) fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 10.0 && value.fract() != 0.0 {
        let text = format!("{value:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{:.0}", value.abs());
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.join(","))
}

/// A time since the beginning: 45 s, 7:30, 3:07:30.
pub(super) fn clock(seconds: f64) -> String {
    let whole = number_of_seconds(seconds);
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    match hours {
        0 if whole < 60 => format!("{whole} s"),
        0 => format!("{minutes}:{rest:02}"),
        _ if rest == 0 => format!("{hours}:{minutes:02} h"),
        _ => format!("{hours}:{minutes:02}:{rest:02}"),
    }
}

fn number_of_seconds(seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to some months")]
    let whole = seconds.max(0.0).round() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_highest() {
        assert_eq!(ticks(9.0), [0.0, 2.5, 5.0, 7.5, 10.0]);
        assert_eq!(ticks(400.0), [0.0, 100.0, 200.0, 300.0, 400.0]);
        assert_eq!(ticks(0.0).len(), 5);
        for highest in [0.3, 1.0, 3.3, 17.0, 99.0, 12_345.0] {
            let ticks = ticks(highest);
            assert!(ticks.last().is_some_and(|&last| last >= highest) && ticks.len() <= 6, "{ticks:?}");
        }
    }

    #[test]
    fn times_and_numbers_are_short() {
        assert_eq!(times(180.0), [0.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0]);
        assert!(times(86_400.0 * 14.0).len() <= 15);
        assert_eq!(
            [clock(45.0), clock(450.0), clock(7200.0), clock(11_250.0)],
            ["45 s", "7:30", "2:00 h", "3:07:30"]
        );
        assert_eq!(
            [number(0.25), number(12.0), number(1200.4), number(-1e6)],
            ["0.25", "12", "1,200", "-1,000,000"]
        );
    }
}
