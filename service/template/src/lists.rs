//! Helpers over lists and maps.

#![expect(clippy::unnecessary_wraps, reason = "every helper has the type that the table wants")]

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::args::{Args, number_of, text_of};

type Result = std::result::Result<Value, String>;

/// How many numbers `range` gives at most.
const LONGEST_RANGE: usize = 100_000;

/// The value at a path such as `ServiceMeta.zone`.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| value.get(key).unwrap_or(&Value::Null))
}

/// What to sort by: numbers before texts, each in its own order; text that spells a number is one.
#[derive(PartialEq, PartialOrd)]
enum Rank<'a> {
    Nothing,
    Number(f64),
    Text(std::borrow::Cow<'a, str>),
}

fn rank(value: &Value) -> Rank<'_> {
    match (number_of(value), text_of(value)) {
        (Some(number), _) => Rank::Number(number),
        (None, Some(text)) if !text.is_empty() => Rank::Text(text),
        _ => Rank::Nothing,
    }
}

fn field(args: &Args<'_>) -> std::result::Result<Option<String>, String> {
    args.get(1).map(|_| args.text(1).map(std::borrow::Cow::into_owned)).transpose()
}

fn key<'a>(item: &'a Value, field: Option<&str>) -> &'a Value {
    field.map_or(item, |path| at(item, path))
}

/// Sorted by the items or by one of their fields; equal ones stay in order.
pub(crate) fn sort(args: &Args<'_>) -> Result {
    let field = field(args)?;
    let mut items: Vec<&Value> = args.list(0)?.iter().collect();
    items.sort_by(|a, b| {
        let (a, b) = (rank(key(a, field.as_deref())), rank(key(b, field.as_deref())));
        // Numbers are finite here, so that every two ranks compare.
        a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(items.into_iter().cloned().collect())
}

pub(crate) fn reverse(args: &Args<'_>) -> Result {
    Ok(args.list(0)?.iter().rev().cloned().collect())
}

/// The first of those that are equal, or have an equal field.
pub(crate) fn unique(args: &Args<'_>) -> Result {
    let field = field(args)?;
    let mut seen = HashSet::new();
    let first = |item: &&Value| seen.insert(key(item, field.as_deref()).to_string());
    Ok(args.list(0)?.iter().filter(first).cloned().collect())
}

/// Tag → items that have it, sorted by tag.
pub(crate) fn by_tag(args: &Args<'_>) -> Result {
    let tags = |item: &Value| -> Vec<String> {
        let tags = item.get("Tags").and_then(Value::as_array);
        tags.into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    };
    Ok(grouped(args.list(0)?, tags))
}

/// Value of a metadata key → items that have it, sorted by value. Items without the key are in no group.
pub(crate) fn by_meta(args: &Args<'_>) -> Result {
    let name = args.text(1)?;
    Ok(grouped(args.list(0)?, |item| meta(item, &name).map(ToOwned::to_owned).into_iter().collect()))
}

fn grouped(items: &[Value], keys: impl Fn(&Value) -> Vec<String>) -> Value {
    let mut groups = std::collections::BTreeMap::<String, Vec<Value>>::new();
    for item in items {
        for key in keys(item) {
            groups.entry(key).or_default().push(item.clone());
        }
    }
    Value::Object(groups.into_iter().map(|(key, items)| (key, Value::Array(items))).collect::<Map<_, _>>())
}

fn meta<'a>(item: &'a Value, name: &str) -> Option<&'a str> {
    item.get("ServiceMeta")?.get(name)?.as_str().filter(|value| !value.is_empty())
}

pub(crate) fn with_tag(args: &Args<'_>) -> Result {
    let tag = args.text(1)?;
    let has = |item: &&Value| {
        let tags = item.get("Tags").and_then(Value::as_array);
        tags.into_iter().flatten().any(|have| have.as_str() == Some(&*tag))
    };
    Ok(args.list(0)?.iter().filter(has).cloned().collect())
}

/// Items whose metadata has the key, or has it with that value.
pub(crate) fn with_meta(args: &Args<'_>) -> Result {
    let name = args.text(1)?;
    let wanted = args.get(2).map(|_| args.text(2)).transpose()?;
    let has = |item: &&Value| {
        let value = meta(item, &name);
        value.is_some_and(|value| wanted.as_ref().is_none_or(|wanted| value == wanted))
    };
    Ok(args.list(0)?.iter().filter(has).cloned().collect())
}

/// Whether a list has the item, a map the key, or a text the part.
pub(crate) fn contains(args: &Args<'_>) -> Result {
    let wanted = args.value(1);
    let found = match args.value(0) {
        Value::Array(items) => items.iter().any(|item| item == wanted || texts_equal(item, wanted)),
        Value::Object(fields) => wanted.as_str().is_some_and(|key| fields.contains_key(key)),
        text => text_of(text).unwrap_or_default().contains(&*args.text(1)?),
    };
    Ok(Value::Bool(found))
}

fn texts_equal(a: &Value, b: &Value) -> bool {
    text_of(a).is_some_and(|a| text_of(b).is_some_and(|b| a == b))
}

pub(crate) fn first(args: &Args<'_>) -> Result {
    Ok(args.list(0)?.first().cloned().unwrap_or_default())
}

pub(crate) fn last(args: &Args<'_>) -> Result {
    Ok(args.list(0)?.last().cloned().unwrap_or_default())
}

/// Items of a list, entries of a map, characters of a text.
pub(crate) fn length(args: &Args<'_>) -> Result {
    Ok(Value::from(match args.value(0) {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        text => text_of(text).unwrap_or_default().chars().count(),
    }))
}

pub(crate) fn join(args: &Args<'_>) -> Result {
    let items = args.list(0)?.iter().map(text_of).collect::<Option<Vec<_>>>();
    let items = items.ok_or("the items must be texts or numbers")?;
    let separator = if args.get(1).is_some() { args.text(1)? } else { ",".into() };
    Ok(items.join(&*separator).into())
}

/// Parts of a text, without the space around it; an empty text has none.
pub(crate) fn split(args: &Args<'_>) -> Result {
    let (text, separator) = (args.text(0)?, args.text(1)?);
    let text = text.trim();
    if text.is_empty() {
        return Ok(Value::Array(Vec::new()));
    }
    Ok(text.split(&*separator).map(Value::from).collect())
}

/// The numbers from the first up to, but not including, the last; from 0 where only one is given.
pub(crate) fn range(args: &Args<'_>) -> Result {
    let (from, to) =
        if args.get(1).is_some() { (args.number(0)?, args.number(1)?) } else { (0.0, args.number(0)?) };
    let count = (to - from).ceil().max(0.0);
    if count > LONGEST_RANGE as f64 {
        return Err(format!("a range of more than {LONGEST_RANGE} numbers"));
    }
    let numbers = (0u32..).map(|n| from + f64::from(n)).take_while(|n| *n < to);
    numbers.map(crate::args::json_number).collect::<std::result::Result<Vec<_>, _>>().map(Value::Array)
}

/// A key of a map, or an index of a list; nothing where there is none.
pub(crate) fn lookup(args: &Args<'_>) -> Result {
    let key = args.text(1)?;
    let found = match args.value(0) {
        Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
        other => other.get(&*key),
    };
    Ok(found.cloned().unwrap_or_default())
}
