//! What Prometheus answers, as values. Pure.
//!
//! One series, or a scalar; of several it is not clear which is meant. A value that is no number is missing,
//! and so is everything where the newest point is: what was before is not now.

use serde::Deserialize;
use serde_json::Value;

use crate::metric_sources::{Answer, Unanswered};

/// How far the newest point may be from the end of its range, in steps.
const NEAR: f64 = 0.5;

#[derive(Deserialize)]
struct Reply {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

/// A time, and a number in text.
#[derive(Deserialize)]
struct Point(f64, String);

#[derive(Deserialize)]
struct Series {
    /// Of an instant query.
    value: Option<Point>,
    /// Of a range.
    #[serde(default)]
    values: Vec<Point>,
}

impl Point {
    fn number(&self) -> Option<f64> {
        self.1.parse().ok().filter(|value: &f64| value.is_finite())
    }
}

/// The value of an instant query.
pub(super) fn instant(body: &[u8]) -> Answer {
    let data = data(body)?;
    let point = match data.result_type.as_str() {
        "scalar" => parsed::<Point>(data.result)?,
        "vector" => {
            let none = || nothing("the query has no number: is it a native histogram?");
            only(parsed(data.result)?)?.value.ok_or_else(none)?
        }
        other => return Err(nothing(format!("the query gives a {other}, not one value now"))),
    };
    point.number().map(|value| vec![value]).ok_or_else(|| not_a_number(&point))
}

/// The values of a range that ends at `end`, oldest first.
pub(super) fn range(body: &[u8], end: f64, step: f64) -> Answer {
    let points = only(parsed(data(body)?.result)?)?.values;
    let Some(newest) = points.last() else { return Err(nothing("the query has no number in its window")) };
    let ago = end - newest.0;
    if ago > step * NEAR {
        return Err(nothing(format!("the query has no value now: its newest is {ago:.0} s old")));
    }
    if newest.number().is_none() {
        return Err(not_a_number(newest));
    }
    Ok(points.iter().filter_map(Point::number).collect())
}

fn data(body: &[u8]) -> Result<Data, Unanswered> {
    let reply: Reply = serde_json::from_slice(body)
        .map_err(|error| Unanswered::Away(format!("this is no answer of a Prometheus: {error}")))?;
    if reply.status != "success" {
        return Err(nothing(format!("Prometheus refuses the query: {}", reply.error)));
    }
    reply.data.ok_or_else(|| nothing("Prometheus answers without data"))
}

fn parsed<T: for<'a> Deserialize<'a>>(value: Value) -> Result<T, Unanswered> {
    serde_json::from_value(value)
        .map_err(|error| Unanswered::Away(format!("this is no answer of a Prometheus: {error}")))
}

fn only(mut series: Vec<Series>) -> Result<Series, Unanswered> {
    match (series.pop(), series.len()) {
        (None, _) => Err(nothing("the query has no result: does the metric exist?")),
        (Some(one), 0) => Ok(one),
        (Some(_), rest) => Err(nothing(format!(
            "the query has {} series, and it is not clear which one counts: make one of them, as with sum(…)",
            rest + 1
        ))),
    }
}

fn nothing(reason: impl Into<String>) -> Unanswered {
    Unanswered::Nothing(reason.into())
}

fn not_a_number(point: &Point) -> Unanswered {
    nothing(format!("the value is {}, which is no number", point.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(kind: &str, result: &str) -> Vec<u8> {
        format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#).into_bytes()
    }

    #[track_caller]
    fn missing(answer: Answer, words: &str) {
        let Err(Unanswered::Nothing(reason)) = answer else { panic!("{answer:?}") };
        assert!(reason.contains(words), "{reason}");
    }

    #[test]
    fn one_value_now_is_taken() {
        let vector = reply("vector", r#"[{"metric":{},"value":[1700000000.1,"2.5"]}]"#);
        assert_eq!(instant(&vector), Ok(vec![2.5]));
        assert_eq!(instant(&reply("scalar", r#"[1700000000,"7"]"#)), Ok(vec![7.0]));
    }

    #[test]
    fn what_is_no_single_number_is_missing() {
        missing(instant(&reply("vector", "[]")), "no result");
        let one = r#"{"metric":{},"value":[1,"2"]}"#;
        missing(instant(&reply("vector", &format!("[{one},{one},{one}]"))), "3 series");
        for word in ["NaN", "+Inf", "-Inf"] {
            let text = format!(r#"[{{"metric":{{}},"value":[1,"{word}"]}}]"#);
            missing(instant(&reply("vector", &text)), word);
        }
        missing(instant(&reply("vector", r#"[{"metric":{},"histogram":[1,{}]}]"#)), "histogram");
        missing(instant(&reply("string", r#"[1,"a"]"#)), "gives a string");
        let refused = br#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        missing(instant(refused), "parse error");
        assert!(matches!(instant(b"<html>"), Err(Unanswered::Away(_))));
    }

    #[test]
    fn a_range_is_taken_if_it_reaches_to_its_end() {
        let of = |points: &str| reply("matrix", &format!(r#"[{{"metric":{{}},"values":[{points}]}}]"#));
        let whole = of(r#"[70,"1"],[85,"NaN"],[100,"3"]"#);
        assert_eq!(range(&whole, 100.0, 15.0), Ok(vec![1.0, 3.0]), "what is no number is left out");
        missing(range(&of(r#"[70,"1"],[85,"2"]"#), 100.0, 15.0), "its newest is 15 s old");
        missing(range(&of(r#"[85,"2"],[100,"NaN"]"#), 100.0, 15.0), "NaN");
        missing(range(&of(""), 100.0, 15.0), "in its window");
        missing(range(&reply("matrix", "[]"), 100.0, 15.0), "no result");
    }
}
