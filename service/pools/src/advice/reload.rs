//! What clients notice of a reload: idle connections that are closed, and servers that are dead but not known to be.

use std::collections::BTreeMap;

use haproxy_cfg::{Holding, InForce, Known, Setting};

use super::given::{Given, given};
use super::{Advice, Setup};

const IDLE: &str = "`option idle-close-on-response` is missing: each reload closes about 3 connections just as their clients \
    send the next request (167 of 48,000 requests over 50 reloads; none of 48,008 with the option); write it here, and \
    `hard-stop-after` in `global`";
const REDISPATCH: &str = "`option redispatch` is missing: after a reload each server counts as up until its first check, and \
    with one of two dead 80 of 1,200 requests were tried there for 3 s and answered 503; none with the option; write \
    `option redispatch 1` here";
const RETRIES: &str = "after a reload each server counts as up until its first check, and with `retries 0` and one of two \
    dead, 92 of 1,200 requests were answered 503; none with `retries 3` and `option redispatch 1`: write these";

pub(super) fn advise(all: &InForce<'_>, setup: &Setup<'_>) -> Vec<Advice> {
    let mut found = Found::default();
    let has_option = setup.version.is_none_or(|version| version >= (2, 6));
    let keeps_state = keeps_state(all);
    for proxy in all.sections.iter().filter(|section| !section.is_conditional) {
        if has_option && closes_idle(proxy) {
            let defaults = proxy.defaults.filter(|at| is_http_throughout(all, *at));
            found.add(IDLE, proxy, defaults.map_or(proxy, |at| &all.sections[at]), None);
        }
        if keeps_state || !has_checked_servers(proxy) {
            continue;
        }
        match (proxy.known("retries"), proxy.option("redispatch")) {
            (Known::Set(retries), Known::Unset | Known::Set(_)) if retries.line.word(1) == Some("0") => {
                found.add(RETRIES, proxy, owner(all, &retries).unwrap_or(proxy), Some(&retries));
            }
            (Known::Unset | Known::Set(_), Known::Unset) => {
                found.add(REDISPATCH, proxy, proxy.defaults.map_or(proxy, |at| &all.sections[at]), None);
            }
            _ => {}
        }
    }
    found.told()
}

/// The proxies that lack something, by what it is and where to write it.
#[derive(Default)]
struct Found<'a, 'd> {
    by_place: BTreeMap<(usize, usize, &'static str), Lack<'a, 'd>>,
}

/// One thing that is missing.
struct Lack<'a, 'd> {
    /// The section to write it in.
    place: &'a Holding<'d>,
    /// The proxies that it is missing for.
    proxies: Vec<&'a Holding<'d>>,
}

impl<'a, 'd> Found<'a, 'd> {
    fn add(
        &mut self,
        text: &'static str,
        proxy: &'a Holding<'d>,
        place: &'a Holding<'d>,
        line: Option<&Setting<'d>>,
    ) {
        let line = line.map_or(place.header.number, |setting| setting.line.number);
        let lack =
            self.by_place.entry((place.file, line, text)).or_insert(Lack { place, proxies: Vec::new() });
        lack.proxies.push(proxy);
    }

    fn told(&self) -> Vec<Advice> {
        let told = |((_, line, text), lack): (&(usize, usize, &'static str), &Lack<'_, '_>)| {
            let is_own = std::ptr::eq(lack.place, lack.proxies[0]);
            let text =
                if is_own { (*text).to_owned() } else { format!("{text} (for {})", named(&lack.proxies)) };
            Advice::of(lack.place, *line, text)
        };
        self.by_place.iter().map(told).collect()
    }
}

/// The first few of them.
fn named(proxies: &[&Holding<'_>]) -> String {
    const NAMED: usize = 3;
    let mut names: Vec<String> = proxies.iter().take(NAMED).map(|proxy| proxy.title()).collect();
    if proxies.len() > NAMED {
        names.push(format!("{} more", proxies.len() - NAMED));
    }
    names.join(", ")
}

/// The section that the line stands in: the first in which it is in force.
pub(super) fn owner<'a, 'd>(all: &'a InForce<'d>, setting: &Setting<'d>) -> Option<&'a Holding<'d>> {
    all.sections.iter().find(|section| section.settings.contains(setting))
}

/// A frontend whose clients keep their connections, which a reload closes.
fn closes_idle(proxy: &Holding<'_>) -> bool {
    let is_frontend = matches!(proxy.section.keyword, "frontend" | "listen");
    let keeps_alive = matches!(proxy.option("httpclose"), Known::Unset | Known::Undone);
    is_frontend && is_http(proxy) && keeps_alive && proxy.option("idle-close-on-response") == Known::Unset
}

fn is_http(proxy: &Holding<'_>) -> bool {
    matches!(proxy.known("mode"), Known::Set(setting) if setting.line.word(1) == Some("http"))
}

/// Whether all proxies that start from the section at `place` are in `mode http`: HAProxy warns of the option in others.
fn is_http_throughout(all: &InForce<'_>, place: usize) -> bool {
    let proxies = all.sections.iter().filter(|section| section.section.keyword != "defaults");
    proxies.into_iter().filter(|proxy| starts_from(all, proxy, place)).all(is_http)
}

fn starts_from(all: &InForce<'_>, proxy: &Holding<'_>, place: usize) -> bool {
    let mut above = std::iter::successors(proxy.defaults, |at| all.sections[*at].defaults);
    above.any(|at| at == place)
}

/// Whether servers are checked, and another one could take over.
fn has_checked_servers(proxy: &Holding<'_>) -> bool {
    let defaults = proxy.settings.iter().filter(|setting| setting.line.keyword() == Some("default-server"));
    let by_default = defaults.fold(Given::Absent, |before, setting| {
        if setting.is_certain { given(setting, 1, "check").or(before) } else { Given::Unknown }
    });
    let is_server = |setting: &&Setting<'_>| {
        setting.line.keyword() == Some("server") && (setting.is_certain || setting.is_open)
    };
    let servers: Vec<&Setting<'_>> = proxy.own().iter().filter(is_server).collect();
    // What a template prints may be any number of servers.
    let are_several = servers.len() > 1 || servers.iter().any(|server| server.is_open);
    let is_checked = |server: &&Setting<'_>| given(server, 3, "check").or(by_default) == Given::On;
    let is_mode_known = proxy.known("mode") != Known::Unknown;
    proxy.section.is_pool() && is_mode_known && are_several && servers.iter().any(is_checked)
}

/// Whether HAProxy reads at start which servers were down.
fn keeps_state(all: &InForce<'_>) -> bool {
    let mut lines = all.sections.iter().flat_map(|section| &section.settings);
    lines.any(|setting| setting.line.keyword() == Some("load-server-state-from-file"))
}
