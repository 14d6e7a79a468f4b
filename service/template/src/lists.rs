//! Helpers over lists and maps.

#![expect(clippy::unnecessary_wraps, reason = "every helper has the type that the table wants")]

use std::collections::HashSet;

use serde_json::{Map, Value};
use weir_pools::server_ids;

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

/// The items in places of their own, nothing where a place is free: so many places, or more where there are more items. Which
/// place an item has depends on its own name first (`ADDRESS:PORT` of an instance), and on who else is there only where
/// two want the same. So most stay in their places while others come and go, on every load balancer alike.
pub(crate) fn slots(args: &Args<'_>) -> Result {
    let (items, count) = (args.list(0)?, args.number(1)?.ceil());
    if !(1.0..=LONGEST_RANGE as f64).contains(&count) {
        return Err(format!("the number of slots is from 1 to {LONGEST_RANGE}, not {count}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let count = count as usize;
    let names: Vec<String> = items.iter().map(name).collect();
    let ids = server_ids(names.iter().map(String::as_str));
    let mut items: Vec<(u32, &Value)> = names.iter().map(|name| ids[name.as_str()]).zip(items).collect();
    items.sort_by_key(|(id, _)| *id);
    let mut slots = vec![Value::Null; count];
    for (id, item) in items {
        let wanted = id as usize % count;
        let mut places = (wanted..count).chain(0..wanted);
        match places.find(|place| slots[*place].is_null()) {
            Some(place) => slots[place] = item.clone(),
            None => slots.push(item.clone()),
        }
    }
    Ok(Value::Array(slots))
}

/// What tells an item from others.
fn name(item: &Value) -> String {
    item.get("Server").and_then(Value::as_str).map_or_else(|| item.to_string(), ToOwned::to_owned)
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn places(servers: &BTreeSet<u16>, count: usize) -> Vec<Value> {
        let items: Value = servers.iter().map(|port| json!({"Server": format!("10.0.0.1:{port}")})).collect();
        let count = Value::from(count);
        let Value::Array(slots) = slots(&Args::from_values(vec![&items, &count])).unwrap() else { panic!() };
        slots
    }

    fn by_server(slots: &[Value]) -> BTreeMap<&str, usize> {
        let taken =
            slots.iter().enumerate().filter_map(|(at, slot)| Some((slot.get("Server")?.as_str()?, at)));
        taken.collect()
    }

    proptest! {
        #[test]
        fn everybody_has_a_place_of_their_own(servers in prop::collection::btree_set(1_u16..999, 0..30), count in 1_usize..20) {
            let slots = places(&servers, count);
            prop_assert_eq!(slots.len(), count.max(servers.len()));
            prop_assert_eq!(by_server(&slots).len(), servers.len());
            prop_assert_eq!(slots.iter().filter(|slot| !slot.is_null()).count(), servers.len());
        }

        /// Those who come leave the place to those who are there: with twice as many places as servers, most stay.
        #[test]
        fn most_stay_where_they_are(servers in prop::collection::btree_set(1_u16..9999, 20..=20), gone in 0_usize..20) {
            let before = places(&servers, 40);
            let mut rest = servers.clone();
            rest.remove(&servers.iter().copied().nth(gone).unwrap());
            let after = places(&rest, 40);
            let (before, after) = (by_server(&before), by_server(&after));
            let moved = after.iter().filter(|(server, at)| before[*server] != **at).count();
            prop_assert!(moved <= 9, "{} of 19 moved", moved);
        }
    }
}
