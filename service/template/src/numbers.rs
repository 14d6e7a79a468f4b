//! Helpers that count and compare.

#![expect(clippy::unnecessary_wraps, reason = "every helper has the type that the table wants")]

use std::cmp::Ordering;

use handlebars::JsonTruthy;
use serde_json::Value;

use crate::args::{Args, json_number, number_of, text_of};

type Result = std::result::Result<Value, String>;

/// Whether `if` takes the value for true: not empty, not null, not 0.
pub(crate) fn is_true(value: &Value) -> bool {
    value.is_truthy(false)
}

/// The order of two values: by number where both are numbers or spell them and at least one is one.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    if a.is_number() || b.is_number() {
        return number_of(a)?.partial_cmp(&number_of(b)?);
    }
    Some(text_of(a)?.cmp(&text_of(b)?))
}

fn equal(a: &Value, b: &Value) -> bool {
    a == b || compare(a, b) == Some(Ordering::Equal)
}

pub(crate) fn eq(args: &Args<'_>) -> Result {
    Ok(Value::Bool(equal(args.value(0), args.value(1))))
}

pub(crate) fn ne(args: &Args<'_>) -> Result {
    Ok(Value::Bool(!equal(args.value(0), args.value(1))))
}

fn ordered(args: &Args<'_>, holds: fn(Ordering) -> bool) -> Result {
    Ok(Value::Bool(compare(args.value(0), args.value(1)).is_some_and(holds)))
}

pub(crate) fn gt(args: &Args<'_>) -> Result {
    ordered(args, Ordering::is_gt)
}

pub(crate) fn gte(args: &Args<'_>) -> Result {
    ordered(args, Ordering::is_ge)
}

pub(crate) fn lt(args: &Args<'_>) -> Result {
    ordered(args, Ordering::is_lt)
}

pub(crate) fn lte(args: &Args<'_>) -> Result {
    ordered(args, Ordering::is_le)
}

/// The first value that is not true, else the last: as in Consul Template.
pub(crate) fn and(args: &Args<'_>) -> Result {
    Ok(decisive(args, false))
}

/// The first value that is true, else the last.
pub(crate) fn or(args: &Args<'_>) -> Result {
    Ok(decisive(args, true))
}

fn decisive(args: &Args<'_>, wanted: bool) -> Value {
    let values = args.all();
    let found = values.iter().find(|value| is_true(value) == wanted).or(values.last());
    found.map_or(Value::Null, |value| (*value).clone())
}

pub(crate) fn not(args: &Args<'_>) -> Result {
    Ok(Value::Bool(!is_true(args.value(0))))
}

pub(crate) fn number(args: &Args<'_>) -> Result {
    json_number(args.number(0)?)
}

fn of_two(args: &Args<'_>, compute: fn(f64, f64) -> f64) -> Result {
    json_number(compute(args.number(0)?, args.number(1)?))
}

pub(crate) fn add(args: &Args<'_>) -> Result {
    of_two(args, |a, b| a + b)
}

pub(crate) fn subtract(args: &Args<'_>) -> Result {
    of_two(args, |a, b| a - b)
}

pub(crate) fn multiply(args: &Args<'_>) -> Result {
    of_two(args, |a, b| a * b)
}

/// Without a rest where both are integers.
pub(crate) fn divide(args: &Args<'_>) -> Result {
    divided(args, |a, b| if a.fract() == 0.0 && b.fract() == 0.0 { (a / b).trunc() } else { a / b })
}

pub(crate) fn ceil_div(args: &Args<'_>) -> Result {
    divided(args, |a, b| (a / b).ceil())
}

pub(crate) fn modulo(args: &Args<'_>) -> Result {
    divided(args, |a, b| a % b)
}

fn divided(args: &Args<'_>, compute: fn(f64, f64) -> f64) -> Result {
    if args.number(1)? == 0.0 {
        return Err("division by zero".to_owned());
    }
    of_two(args, compute)
}

pub(crate) fn min(args: &Args<'_>) -> Result {
    fold(args, f64::min)
}

pub(crate) fn max(args: &Args<'_>) -> Result {
    fold(args, f64::max)
}

fn fold(args: &Args<'_>, pick: fn(f64, f64) -> f64) -> Result {
    let first = args.number(0)?;
    let picked = (1..args.all().len()).try_fold(first, |best, index| Ok(pick(best, args.number(index)?)));
    json_number(picked.map_err(|error: String| error)?)
}
