//! Reads `schedule` blocks, of a policy and of a check.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::Zones;
use super::reader::Reader;
use crate::cron::Cron;
use crate::schedule::{End, Schedule};

const POLICY_KEYS: &[&str] = &["duration", "end", "max", "min", "start", "timezone"];
const CHECK_KEYS: &[&str] = &["duration", "end", "start", "timezone"];
/// As in the Nomad Autoscaler.
const DEFAULT_ZONE: &str = "UTC";

/// Those of a policy may be floors and ceilings.
pub(super) fn of_policy(reader: &mut Reader<'_>, zones: Zones<'_>) -> Vec<Schedule> {
    all(reader, POLICY_KEYS, zones)
}

/// Those of a check say when it votes.
pub(super) fn of_check(reader: &mut Reader<'_>, zones: Zones<'_>) -> Vec<Schedule> {
    all(reader, CHECK_KEYS, zones)
}

fn all(reader: &mut Reader<'_>, keys: &[&str], zones: Zones<'_>) -> Vec<Schedule> {
    let blocks: Vec<(String, &Map<String, Value>)> = blocks(reader);
    let mut schedules = Vec::new();
    for (place, block) in blocks {
        let place = if reader.place.is_empty() { place } else { format!("{}, {place}", reader.place) };
        schedules.extend(schedule(&mut reader.inner(block, place), keys, zones));
    }
    schedules
}

/// Blocks without a label, and those with one, which only names them.
fn blocks<'a>(reader: &mut Reader<'a>) -> Vec<(String, &'a Map<String, Value>)> {
    let bare = reader.bare_blocks("schedule");
    let is_label = |key: &String| !POLICY_KEYS.contains(&key.as_str());
    let mut found = Vec::new();
    for block in bare {
        let labelled = block.len() == 1 && block.iter().all(|(key, body)| is_label(key) && !body.is_string());
        match (labelled, block.iter().next()) {
            (true, Some((label, body))) => {
                let bodies = crate::blocks::items(body).into_iter().filter_map(Value::as_object);
                found.extend(bodies.map(|body| (format!("schedule {label:?}"), body)));
            }
            _ => found.push(("schedule".to_owned(), block)),
        }
    }
    found
}

fn schedule(reader: &mut Reader<'_>, keys: &[&str], zones: Zones<'_>) -> Option<Schedule> {
    reader.keys(keys);
    let (min, max) = if keys == POLICY_KEYS { bounds(reader) } else { (None, None) };
    let zone = zone(reader, zones);
    let start = cron(reader, "start");
    if start.is_none() && !reader.block.contains_key("start") {
        reader.problem("start is missing: when it begins, such as start = \"0 9 * * 1-5\"");
    }
    let end = end(reader);
    let (timezone, zone) = zone?;
    Some(Schedule { start: start?, end: end?, timezone, zone, min, max })
}

fn bounds(reader: &mut Reader<'_>) -> (Option<u64>, Option<u64>) {
    let (min, max) = (reader.whole("min", 0), reader.whole("max", 0));
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        reader.problem_of("min", format!("min = {min} is more than max = {max}"));
    }
    (min, max)
}

fn zone(reader: &mut Reader<'_>, zones: Zones<'_>) -> Option<(String, TimeZone)> {
    let name = reader.text("timezone").unwrap_or_else(|| DEFAULT_ZONE.to_owned());
    if name == DEFAULT_ZONE {
        return Some((name, TimeZone::UTC));
    }
    let zone = zones(&name);
    if zone.is_none() {
        reader.problem_of("timezone", format!(
            "timezone = {name:?} is not in the time zone database: write an IANA name, such as \"Europe/Berlin\""
        ));
    }
    zone.map(|zone| (name, zone))
}

fn cron(reader: &mut Reader<'_>, key: &str) -> Option<Cron> {
    let text = reader.text(key)?;
    match Cron::parse(&text) {
        Ok(cron) => Some(cron),
        Err(why) => {
            reader.problem_of(key, format!("{key} = {text:?}: {why}"));
            None
        }
    }
}

fn end(reader: &mut Reader<'_>) -> Option<End> {
    let has = |key: &str| reader.block.get(key).is_some_and(|value| !value.is_null());
    if has("end") == has("duration") {
        reader.problem(
            "write either end, such as end = \"0 17 * * 1-5\", or duration, such as duration = \"8h\"",
        );
        return None;
    }
    if has("end") {
        return cron(reader, "end").map(End::At);
    }
    let time = reader.some_duration("duration")?;
    if time < Duration::from_mins(1) {
        reader.problem_of("duration", "duration: write a minute at least");
    }
    Some(End::After(time))
}
