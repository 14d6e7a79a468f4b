//! Traces from HAProxy's own log: one line a request, counted by the second in which it was accepted.

use super::timestamp::log_date;
use super::{Trace, TraceError};

/// So many lines tell whether a file is such a log: others stand between only now and then.
pub(super) const LINES_TO_TELL: usize = 50;

/// Reads a log in `httplog`, `tcplog` or a format that has the date in brackets,
/// `[27/Nov/2026:09:02:31.123]`. Lines without one (starts, servers that go down) are passed over. HAProxy
/// writes a line when a request ends, so they need not be in order.
pub(super) fn read(file: &str, text: &str) -> Result<Trace, TraceError> {
    let mut seconds: Vec<i64> = text.lines().filter_map(accepted).collect();
    seconds.sort_unstable();
    let (Some(&first), Some(&last)) = (seconds.first(), seconds.last()) else {
        let message = "no line has a date such as [27/Nov/2026:09:02:31.123]: \
                       is it a log of HAProxy with option httplog?";
        return Err(TraceError { file: file.to_owned(), line: 1, message: message.to_owned() });
    };
    // One second more, so that the last is a whole one, and two points are there in any case.
    let mut counts = vec![0.0; usize::try_from(last - first).unwrap_or(0) + 2];
    for second in seconds {
        if let Ok(at) = usize::try_from(second - first) {
            counts[at] += 1.0;
        }
    }
    let points = counts.into_iter().enumerate().map(|(at, count)| (first as f64 + at as f64, count));
    Ok(Trace { points: points.collect() })
}

/// The second in which a line's request was accepted.
pub(super) fn accepted(line: &str) -> Option<i64> {
    let dates = line.split('[').skip(1).filter_map(|rest| log_date(rest.split(']').next()?));
    let at = dates.into_iter().next()?;
    #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch")]
    let second = at.floor() as i64;
    Some(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
Nov 27 09:02:33 lb haproxy[143]: 10.0.1.2:33317 [27/Nov/2026:09:02:31.155] web web/a 0/0/1/3/4 200 21 - - ----
Nov 27 09:02:33 lb haproxy[143]: Server web/b is DOWN, reason: Layer4 timeout.
Nov 27 09:02:34 lb haproxy[143]: 10.0.1.2:33318 [27/Nov/2026:09:02:33.000] web web/a 0/0/1/3/4 200 21 - - ----
Nov 27 09:02:34 lb haproxy[143]: 10.0.1.2:33319 [27/Nov/2026:09:02:31.990] web web/a 0/0/1/3/4 200 21 - - ----
";

    #[test]
    fn requests_are_counted_by_the_second_they_came_in() {
        assert_eq!(read("log", LOG).unwrap().rates(), [2.0, 0.0, 1.0]);
    }

    #[test]
    fn another_file_is_refused_with_what_to_do() {
        let error = read("log", "nothing\n[such] here").unwrap_err();
        assert!(error.to_string().contains("httplog"), "{error}");
    }
}
