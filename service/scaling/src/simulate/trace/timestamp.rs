//! Points in time as traces write them.

/// The months of HAProxy's log.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A number this large is in milliseconds: in seconds it would be the year 5138.
const MILLIS_FROM: f64 = 1e11;

/// Seconds since the epoch from `2026-11-27 09:02:31`, with `T`, fraction, `Z` or offset where they stand, or
/// from a number of seconds or milliseconds. Without an offset it is taken for UTC.
pub(super) fn timestamp(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return number.is_finite().then_some(if number >= MILLIS_FROM { number / 1000.0 } else { number });
    }
    let (date, time) = text.split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (whole(date.next()?)?, whole(date.next()?)?, whole(date.next()?)?);
    let (time, offset) = offset(time.trim())?;
    Some(days(year, month, day)? * 86_400.0 + clock(time)? - offset)
}

/// Seconds since the epoch from `27/Nov/2026:09:02:31.123`, as in HAProxy's `%t` and `%tr`.
pub(super) fn log_date(text: &str) -> Option<f64> {
    let (date, time) = text.split_once(':')?;
    let mut date = date.splitn(3, '/');
    let (day, month, year) = (whole(date.next()?)?, date.next()?, whole(date.next()?)?);
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    let time = time.split(' ').next()?;
    Some(days(year, i64::try_from(month).ok()?, day)? * 86_400.0 + clock(time)?)
}

/// A time of day without its offset, and the offset in seconds.
fn offset(time: &str) -> Option<(&str, f64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0.0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0.0)) };
    let (time, offset) = time.split_at(at);
    let (sign, digits) = (if offset.starts_with('-') { -1.0 } else { 1.0 }, offset[1..].replace(':', ""));
    let number = whole(&digits)?;
    Some((time.trim_end(), sign * ((number / 100) * 3600 + (number % 100) * 60) as f64))
}

/// `HH:MM`, `HH:MM:SS` or with a fraction, as seconds.
fn clock(time: &str) -> Option<f64> {
    let mut parts = time.splitn(3, ':');
    let (hours, minutes) = (whole(parts.next()?)?, whole(parts.next()?)?);
    let seconds: f64 = parts.next().map_or(Some(0.0), |seconds| seconds.parse().ok())?;
    let sound = hours < 24 && minutes < 60 && (0.0..61.0).contains(&seconds);
    sound.then_some((hours * 3600 + minutes * 60) as f64 + seconds)
}

fn whole(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 in the Gregorian calendar: years begin in March, so that the leap day is a year's
/// last.
fn days(year: i64, month: i64, day: i64) -> Option<f64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1..=9999).contains(&year) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = year * 365 + year / 4 - year / 100 + year / 400;
    let before_month = (month * 153 + 2) / 5;
    Some((before_year + before_month + day - 1 - 719_468) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_one_moment() {
        let forms = [
            "2026-11-27 09:02:31",
            "2026-11-27T09:02:31Z",
            "2026-11-27T10:02:31.000+01:00",
            "2026-11-27 04:32:31 -0430",
            "1795770151",
            "1795770151000",
        ];
        for form in forms {
            assert_eq!(timestamp(form), Some(1_795_770_151.0), "{form}");
        }
        assert_eq!(log_date("27/Nov/2026:09:02:31.500"), Some(1_795_770_151.5));
        assert_eq!(log_date("27/Nov/2026:09:02:31 +0000"), Some(1_795_770_151.0));
    }

    #[test]
    fn dates_around_leap_days() {
        let day = |text: &str| timestamp(&format!("{text} 00:00")).map(|at| at / 86_400.0);
        assert_eq!(
            (day("1970-01-01"), day("1972-02-29"), day("1972-03-01")),
            (Some(0.0), Some(789.0), Some(790.0))
        );
        assert_eq!((day("2000-02-29"), day("2000-03-01")), (Some(11_016.0), Some(11_017.0)));
    }

    #[test]
    fn what_is_no_time() {
        for text in ["", "yesterday", "2026-13-01 00:00", "2026-01-01 25:00", "2026-01-01", "NaN"] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }
}
