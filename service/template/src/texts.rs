//! Helpers over texts and single values.

#![expect(clippy::unnecessary_wraps, reason = "every helper has the type that the table wants")]

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use regex::Regex;
use serde_json::Value;

use crate::args::{Args, json_number, text_of};

type Result = std::result::Result<Value, String>;

/// The first value, or the second where the first is nothing: null, an empty text, list or map. 0 is something.
pub(crate) fn default(args: &Args<'_>) -> Result {
    let value = match args.value(0) {
        Value::Null => args.value(1),
        Value::String(text) if text.is_empty() => args.value(1),
        Value::Array(items) if items.is_empty() => args.value(1),
        Value::Object(fields) if fields.is_empty() => args.value(1),
        value => value,
    };
    Ok(value.clone())
}

/// Lists one after another, or texts.
pub(crate) fn concat(args: &Args<'_>) -> Result {
    if args.all().iter().any(|value| value.is_array()) {
        let lists = (0..args.all().len()).map(|index| args.list(index).map(<[Value]>::to_vec));
        return Ok(Value::Array(lists.collect::<std::result::Result<Vec<_>, _>>()?.concat()));
    }
    let texts = (0..args.all().len()).map(|index| args.text(index));
    Ok(Value::String(texts.collect::<std::result::Result<String, _>>()?))
}

pub(crate) fn same(args: &Args<'_>) -> Result {
    Ok(args.value(0).clone())
}

pub(crate) fn json(args: &Args<'_>) -> Result {
    Ok(Value::String(args.value(0).to_string()))
}

pub(crate) fn parse_json(args: &Args<'_>) -> Result {
    let text = args.text(0)?;
    if text.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let parsed = serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}"))?;
    Ok(integral(parsed))
}

/// Numbers without a fraction as integers, so that `1e6` prints as `1000000`.
fn integral(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            number.as_f64().and_then(|float| json_number(float).ok()).unwrap_or(Value::Number(number))
        }
        Value::Array(items) => items.into_iter().map(integral).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, integral(value))).collect(),
        other => other,
    }
}

pub(crate) fn lower(args: &Args<'_>) -> Result {
    Ok(args.text(0)?.to_lowercase().into())
}

pub(crate) fn upper(args: &Args<'_>) -> Result {
    Ok(args.text(0)?.to_uppercase().into())
}

pub(crate) fn trim(args: &Args<'_>) -> Result {
    Ok(args.text(0)?.trim().into())
}

pub(crate) fn trim_prefix(args: &Args<'_>) -> Result {
    let (text, prefix) = (args.text(0)?, args.text(1)?);
    Ok(text.strip_prefix(&*prefix).unwrap_or(&text).into())
}

pub(crate) fn trim_suffix(args: &Args<'_>) -> Result {
    let (text, suffix) = (args.text(0)?, args.text(1)?);
    Ok(text.strip_suffix(&*suffix).unwrap_or(&text).into())
}

pub(crate) fn replace(args: &Args<'_>) -> Result {
    Ok(args.text(0)?.replace(&*args.text(1)?, &args.text(2)?).into())
}

pub(crate) fn regex_replace(args: &Args<'_>) -> Result {
    let (text, to) = (args.text(0)?, args.text(2)?);
    Ok(pattern(&args.text(1)?)?.replace_all(&text, &*to).into())
}

pub(crate) fn regex_match(args: &Args<'_>) -> Result {
    Ok(Value::Bool(pattern(&args.text(1)?)?.is_match(&args.text(0)?)))
}

/// Compiled patterns: a pattern stands in a loop, and compiling costs more than matching.
static PATTERNS: LazyLock<Mutex<BTreeMap<String, Regex>>> = LazyLock::new(Mutex::default);
/// Patterns may come from data, so what is kept is bounded.
const KEPT_PATTERNS: usize = 128;

/// The compiled pattern.
pub(crate) fn pattern(source: &str) -> std::result::Result<Regex, String> {
    let mut kept = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = kept.get(source) {
        return Ok(compiled.clone());
    }
    let compiled = Regex::new(source).map_err(|error| format!("`{source}` is not a pattern: {error}"))?;
    if kept.len() >= KEPT_PATTERNS {
        kept.clear();
    }
    kept.insert(source.to_owned(), compiled.clone());
    Ok(compiled)
}

pub(crate) fn fail(args: &Args<'_>) -> Result {
    Err(text_of(args.value(0)).unwrap_or_default().into_owned())
}
