//! What sections start from: [`InForce`] against `haproxy -c`, which names every proxy that has an HTTP option and is not in
//! `mode http`.

use std::collections::BTreeSet;

use haproxy_cfg::{Document, InForce, Known, Source};
use proptest::prelude::*;

use super::words::{binary, stderr};

/// One section of a generated configuration: its keyword, its name, its `from`, its `mode`.
type Part = (bool, u8, Option<u8>, Option<bool>);

/// Proxies have names of their own; `defaults` may be called alike, or have no name.
fn text(parts: &[Part]) -> String {
    let section = |(index, (is_defaults, name, from, http)): (usize, &Part)| {
        let from = from.map_or(String::new(), |from| format!(" from d{from}"));
        let mode =
            http.map_or(String::new(), |http| format!(" mode {}\n", if http { "http" } else { "tcp" }));
        let own = if *name == 0 { String::new() } else { format!(" d{name}") };
        if *is_defaults {
            format!("defaults{own}{from}\n{mode}")
        } else {
            format!("frontend p{index}{from}\n{mode} option idle-close-on-response\n")
        }
    };
    parts.iter().enumerate().map(section).collect()
}

/// The proxies that are not in `mode http`, as the crate says; `None` where it does not know.
fn not_http(text: &str) -> Option<BTreeSet<String>> {
    let document = Document::parse(text);
    let all = InForce::read(&[Source::plain(&document)]);
    let mut found = BTreeSet::new();
    for frontend in all.of("frontend") {
        let is_http = match frontend.known("mode") {
            Known::Set(setting) => setting.line.word(1) == Some("http"),
            Known::Unset => false,
            Known::Undone | Known::Unknown => return None,
        };
        if !is_http {
            found.extend(frontend.section.name.clone());
        }
    }
    Some(found)
}

/// The same, as HAProxy says.
fn warned(said: &str) -> BTreeSet<String> {
    let names = said.lines().filter(|line| line.contains("as it requires HTTP mode"));
    names.filter_map(|line| line.split('\'').nth(3)).map(str::to_owned).collect()
}

#[test]
fn sections_start_from_the_defaults_that_haproxy_takes() {
    let Some(haproxy) = binary() else { return };
    let mode = || prop::option::of(any::<bool>());
    // Few names, so that most are known: the first two sections declare them.
    let first = (mode(), mode()).prop_map(|(a, b)| vec![(true, 1, None, a), (true, 2, None, b)]);
    let part =
        (any::<bool>(), prop::sample::select(vec![0, 0, 3]), prop::option::weighted(0.4, 1u8..4), mode());
    let parts = (first, prop::collection::vec(part, 1..8)).prop_map(|(first, more)| [first, more].concat());
    let config = ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(parts in parts)| {
        let text = text(&parts);
        let said = stderr(&haproxy, &text);
        match not_http(&text) {
            // A name that is not there, or there twice: HAProxy stops.
            _ if said.contains("defaults section") => {}
            Some(found) => prop_assert_eq!(found, warned(&said), "{}\n{}", text, said),
            None => prop_assert!(false, "HAProxy knows:\n{}\n{}", text, said),
        }
    });
}
