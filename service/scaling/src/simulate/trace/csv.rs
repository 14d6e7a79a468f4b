//! Traces in CSV: a time and a number on each line.
//!
//! The separator (comma, semicolon, tab), the header and the columns are found by looking; so is whether the
//! numbers are requests in a period or requests a second, as from a Prometheus `rate(…)`.

use super::timestamp::timestamp;
use super::{Trace, TraceError};

/// What the numbers of a trace are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Requests in the period that begins at the time beside them.
    Count,
    /// Requests a second at that time.
    Rate,
}

/// Header words that say that the numbers are rates.
const RATES: [&str; 6] = ["rate", "rps", "req/s", "per_second", "per second", "/s"];
/// Headers of the column with the numbers, where there are more than two.
const VALUES: [&str; 6] = ["value", "count", "requests", "rate", "rps", "invocations"];

/// Reads a trace. `unit` is what the numbers are, where it is known; the header tells otherwise, and without
/// one they are counts.
pub(super) fn read(file: &str, text: &str, unit: Option<Unit>) -> Result<Trace, TraceError> {
    let fault = |line: usize, message: String| TraceError { file: file.to_owned(), line, message };
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    let &(_, first) = lines.peek().ok_or_else(|| fault(1, "the file is empty".to_owned()))?;
    let shape = Shape::of(first).map_err(|message| fault(1, message))?;
    if shape.header {
        lines.next();
    }
    let mut rows: Vec<(f64, f64)> = Vec::new();
    for (at, line) in lines {
        let row = shape.row(line).map_err(|message| fault(at + 1, message))?;
        if rows.last().is_some_and(|last| row.0 <= last.0) {
            return Err(fault(
                at + 1,
                "its time is not after that of the line before; sort the file by time".to_owned(),
            ));
        }
        rows.push(row);
    }
    if rows.len() < 2 {
        return Err(fault(1, "a trace needs two lines with a time and a number at least".to_owned()));
    }
    Ok(Trace { points: points(rows, unit.unwrap_or(shape.unit)) })
}

/// Counts become rates in the middle of their period, which is the shortest step between two lines.
fn points(mut rows: Vec<(f64, f64)>, unit: Unit) -> Vec<(f64, f64)> {
    if unit == Unit::Count {
        let steps = rows.windows(2).map(|pair| pair[1].0 - pair[0].0);
        let period = steps.fold(f64::INFINITY, f64::min);
        for (at, value) in &mut rows {
            (*at, *value) = (*at + period / 2.0, *value / period);
        }
    }
    rows
}

/// How the lines are made.
struct Shape {
    separator: char,
    header: bool,
    time: usize,
    value: usize,
    unit: Unit,
}

impl Shape {
    /// From the first line.
    fn of(first: &str) -> Result<Self, String> {
        let separator = [';', '\t', ','].into_iter().find(|&separator| first.contains(separator));
        let separator = separator.ok_or("a line needs a time and a number with a comma between them")?;
        let fields: Vec<String> = fields(first, separator).map(str::to_lowercase).collect();
        if timestamp(&fields[0]).is_some() {
            return Ok(Self { separator, header: false, time: 0, value: 1, unit: Unit::Count });
        }
        let value = match fields.len() {
            2 => 1,
            _ => (1..fields.len()).find(|&at| VALUES.contains(&fields[at].as_str())).ok_or(
                "which column has the numbers is not clear: keep two columns, or name one of them `value`",
            )?,
        };
        let rate = RATES.iter().any(|word| fields[value].contains(word));
        let unit = if rate { Unit::Rate } else { Unit::Count };
        Ok(Self { separator, header: true, time: 0, value, unit })
    }

    fn row(&self, line: &str) -> Result<(f64, f64), String> {
        let fields: Vec<&str> = fields(line, self.separator).collect();
        let field = |at: usize, what: &str| {
            fields.get(at).copied().ok_or_else(|| format!("it has no {what} in column {}", at + 1))
        };
        let (time, value) = (field(self.time, "time")?, field(self.value, "number")?);
        let at = timestamp(time).ok_or_else(|| {
            format!("{time:?} is no time: write 2026-11-27 09:02:31, or seconds since 1970")
        })?;
        let number = value.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
        let number = number.ok_or_else(|| {
            format!("{value:?} is no number of requests; leave the line out if it is unknown")
        })?;
        Ok((at, number))
    }
}

fn fields(line: &str, separator: char) -> impl Iterator<Item = &str> {
    line.split(separator).map(|field| field.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points_of(text: &str) -> Result<Vec<(f64, f64)>, String> {
        read("t.csv", text, None).map(|trace| trace.points).map_err(|error| error.to_string())
    }

    #[test]
    fn counts_become_rates_in_the_middle_of_their_period() {
        let points = points_of("timestamp,value\n1970-01-01 00:00:00,60\n1970-01-01 00:01:00,120\n");
        assert_eq!(points, Ok(vec![(30.0, 1.0), (90.0, 2.0)]));
        assert_eq!(points_of("0,60\n60,120\n"), points);
        assert_eq!(points_of("\"Time\";\"Requests\"\n0;\"60\"\n60;120"), points);
    }

    #[test]
    fn rates_stay_what_they_are() {
        let points = vec![(0.0, 5.0), (15.0, 7.0)];
        assert_eq!(points_of("time\tbackend\trate\n0\tweb\t5\n15\tweb\t7"), Ok(points.clone()));
        let told = read("t", "0,5\n15,7", Some(Unit::Rate));
        assert_eq!(told.map(|trace| trace.points), Ok(points));
    }

    #[test]
    fn a_fault_names_its_line_and_what_to_do() {
        let fault = |text| points_of(text).unwrap_err();
        assert!(fault("time,value\n0,1\n60,x").starts_with("t.csv:3: \"x\" is no number"));
        assert!(fault("time,value\n0,1\n0,2").starts_with("t.csv:3: its time is not after"));
        assert!(fault("time,value\nnoon,1\n0,2").starts_with("t.csv:2: \"noon\" is no time"));
        assert!(fault("time,value\n0\n1,2").contains("no number in column 2"));
        assert!(fault("time,value\n0,NaN\n1,2").contains("leave the line out"));
        assert!(fault("time,a,b\n0,1,2").contains("name one of them `value`"));
        assert!(fault("").contains("empty") && fault("12\n13").contains("comma"));
        assert!(fault("time,value\n0,1").contains("two lines"));
    }
}
