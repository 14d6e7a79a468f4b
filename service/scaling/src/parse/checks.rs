//! Reads `check` blocks: source, query, window, group, schedule and strategy.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Zones;
use super::hint::hint;
use super::reader::Reader;
use super::{schedules, strategies};
use crate::policy::{Check, NomadMetric, OnCheckError, Signal, Source, Strategy, Window};

const CHECK_KEYS: &[&str] =
    &["group", "on_error", "query", "query_window", "query_window_offset", "schedule", "source", "strategy"];
const SOURCES: [&str; 4] = ["haproxy", "nomad", "nomad-apm", "prometheus"];
/// The Nomad Autoscaler's that Weir has no use for.
const OTHER_SOURCES: &[&str] = &["datadog", "influxdb", "instana"];
const NOMAD_QUERIES: &str = "avg, max, min or sum, then _cpu, _cpu-allocated, _memory or _memory-allocated";

/// All checks; two with one label are a mistake, as one of them would be lost in the Nomad Autoscaler.
pub(super) fn checks(reader: &mut Reader<'_>, zones: Zones<'_>) -> Vec<Check> {
    let mut labels: BTreeMap<&str, usize> = BTreeMap::new();
    let mut checks = Vec::new();
    for (label, block) in reader.blocks("check") {
        let place = format!("check {label:?}");
        let before = labels.entry(label).or_default();
        if *before > 0 {
            reader.problem_of_nth(&place, *before, format!(
                "two checks are labelled {label:?}: give each its own label (the Nomad Autoscaler silently drops one)"
            ));
        }
        *before += 1;
        checks.extend(check(label, &mut reader.inner(block, place), zones));
    }
    checks
}

fn check(label: &str, reader: &mut Reader<'_>, zones: Zones<'_>) -> Option<Check> {
    reader.keys(CHECK_KEYS);
    let blocks = reader.blocks("strategy");
    let source = source(reader, blocks.first().map_or("", |(name, _)| *name));
    let group = reader.text("group").unwrap_or_default();
    let window = window(reader);
    let offset = reader.duration("query_window_offset", Duration::ZERO);
    let on_error = on_error(reader, "on_error");
    let schedules = schedules::of_check(reader, zones);
    let [(name, options)] = blocks[..] else {
        let key = if blocks.is_empty() { "" } else { "strategy" };
        reader.problem_of_nth(
            key,
            usize::from(blocks.len() > 1),
            format!(
                "it has {} strategies and needs exactly one, such as strategy \"concurrency\" {{}}",
                blocks.len()
            ),
        );
        return None;
    };
    let strategy = strategies::strategy(name, reader, options)?;
    let source = source?;
    concurrency_needs_work(reader, &strategy, &source);
    Some(Check { label: label.to_owned(), group, source, window, offset, on_error, schedules, strategy })
}

/// The words that say what a check does that cannot vote; empty is as if it were not there.
pub(super) fn on_error(reader: &mut Reader<'_>, key: &str) -> Option<OnCheckError> {
    let words = [("", None), ("fail", Some(OnCheckError::Fail)), ("ignore", Some(OnCheckError::Ignore))];
    reader.word(key, &words).flatten()
}

fn window(reader: &mut Reader<'_>) -> Window {
    if reader.block.get("query_window").is_some_and(|value| value == "instant") {
        return Window::Instant;
    }
    reader.some_duration("query_window").map_or(Window::DEFAULT, Window::Span)
}

fn source(reader: &mut Reader<'_>, strategy: &str) -> Option<Source> {
    let (written, query) = (reader.text("source"), reader.text("query"));
    let by_query = |query: &String| NomadMetric::named(query).is_some();
    // Without a source the Nomad Autoscaler asks Nomad; its queries are unlike any signal of HAProxy.
    let implied = if query.as_ref().is_some_and(by_query) { "nomad-apm" } else { "haproxy" };
    if written.is_none() && query.is_none() && strategy == "fixed-value" {
        return Some(Source::Nothing);
    }
    match written.as_deref().unwrap_or(implied) {
        "haproxy" => signal(reader, query.as_deref()).map(Source::Haproxy),
        "nomad" | "nomad-apm" => nomad(reader, query.as_deref()).map(Source::Nomad),
        "prometheus" => prometheus(reader, query).map(Source::Prometheus),
        other => {
            let known = if OTHER_SOURCES.contains(&other) {
                format!("; Weir has {}", SOURCES.join(", "))
            } else {
                hint(other, &SOURCES)
            };
            reader.problem_of("source", format!("unknown source {other:?}{known}"));
            None
        }
    }
}

fn signal(reader: &mut Reader<'_>, query: Option<&str>) -> Option<Signal> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Some(Signal::Concurrency) };
    let signal = Signal::named(query);
    if signal.is_none() {
        let names = Signal::ALL.map(|(name, _)| name);
        reader
            .problem_of("query", format!("query = {query:?} is no signal of HAProxy{}", hint(query, &names)));
    }
    signal
}

fn nomad(reader: &mut Reader<'_>, query: Option<&str>) -> Option<NomadMetric> {
    let metric = query.and_then(NomadMetric::named);
    match query {
        None => reader.problem(format!("query is missing: write {NOMAD_QUERIES}")),
        Some(query) if metric.is_none() => {
            reader
                .problem_of("query", format!("query = {query:?} is none of Nomad's: write {NOMAD_QUERIES}"));
        }
        Some(_) => {}
    }
    metric
}

fn prometheus(reader: &mut Reader<'_>, query: Option<String>) -> Option<String> {
    let query = query.filter(|query| !query.trim().is_empty());
    if query.is_none() {
        reader.problem("query is missing: what to ask Prometheus");
    }
    query
}

/// `concurrency` goes from work to slots; of anything else it would make nonsense.
fn concurrency_needs_work(reader: &mut Reader<'_>, strategy: &Strategy, source: &Source) {
    let fits = matches!(source, Source::Haproxy(Signal::Concurrency) | Source::Prometheus(_));
    if matches!(strategy, Strategy::Concurrency(_)) && !fits {
        reader.problem_of(
            "strategy \"concurrency\"",
            "strategy \"concurrency\" needs the work in the system: query = \"concurrency\" of the source \"haproxy\", or Prometheus",
        );
    }
}
