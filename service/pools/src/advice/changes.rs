//! What keeps a pool's servers from changing while HAProxy runs: its algorithm, cookies, and servers without a number.
//!
//! Only pools whose servers a template prints are looked at; the others do not change.

use haproxy_cfg::{Holding, InForce, Known, Setting};

use super::given::{Given, given};
use super::{Advice, Setup};

/// A reload and its price, against a command's.
const COST: &str =
    "a reload costs 40 to 230 ms of a processor, and a second process for a while; a command 20 to 120 µs";

pub(super) fn advise(all: &InForce<'_>, setup: &Setup<'_>) -> Vec<Advice> {
    let pools = all.sections.iter().filter(|section| section.section.is_pool() && !section.is_conditional);
    pools.flat_map(|pool| of_pool(pool, setup)).collect()
}

fn of_pool(pool: &Holding<'_>, setup: &Setup<'_>) -> Vec<Advice> {
    let printed = |setting: &&Setting<'_>| setting.line.keyword() == Some("server") && setting.is_open;
    let servers: Vec<&Setting<'_>> = pool.own().iter().filter(printed).collect();
    let mut advice = Vec::new();
    if let (false, Some(algorithm)) = (servers.is_empty(), algorithm(pool)) {
        advice.extend(fixed(pool, &algorithm));
        advice.extend(numberless(pool, &algorithm, &servers, setup));
    }
    let with_cookie = servers.iter().find(|server| given(server, 3, "cookie") == Given::On);
    advice.extend(with_cookie.and_then(|server| cookie(pool, server, setup)));
    advice
}

/// How a pool chooses servers.
struct Algorithm<'d> {
    /// The word after `balance`, its arguments in parentheses left out.
    name: &'d str,
    /// `hash-type` is `consistent`.
    is_consistent: bool,
    /// The line of `balance`, where there is one.
    setting: Option<Setting<'d>>,
}

impl Algorithm<'_> {
    fn hashes(&self) -> bool {
        matches!(self.name, "source" | "uri" | "url_param" | "hdr" | "rdp-cookie" | "hash")
    }
}

/// The pool's algorithm, where it is known.
fn algorithm<'d>(pool: &Holding<'d>) -> Option<Algorithm<'d>> {
    let (balance, setting) = match pool.known("balance") {
        Known::Unset => ("roundrobin", None),
        Known::Set(setting) => (setting.line.word(1)?, Some(setting)),
        Known::Undone | Known::Unknown => return None,
    };
    let is_consistent = match pool.known("hash-type") {
        Known::Unset => false,
        Known::Set(setting) => setting.line.word(1)? == "consistent",
        Known::Undone | Known::Unknown => return None,
    };
    let is_for_traffic = match pool.known("mode") {
        Known::Unset => true,
        Known::Set(setting) => setting.line.word(1)? != "log",
        Known::Undone | Known::Unknown => false,
    };
    let name = balance.split('(').next().unwrap_or(balance);
    is_for_traffic.then_some(Algorithm { name, is_consistent, setting })
}

/// HAProxy adds and deletes no servers under these, measured on 2.6.12. Slots that are there from the beginning get other
/// addresses, so a pool that has some is left alone.
fn fixed(pool: &Holding<'_>, algorithm: &Algorithm<'_>) -> Option<Advice> {
    let what_to_do = match algorithm.name {
        "static-rr" => "write `balance roundrobin`",
        _ if algorithm.hashes() && !algorithm.is_consistent => "write `hash-type consistent` beside it",
        _ => return None,
    };
    if pool.own().iter().any(has_slots) {
        return None;
    }
    let own = algorithm.setting.filter(|setting| pool.own().contains(setting));
    let line = own.map_or(pool.header.number, |own| own.line.number);
    let text = format!(
        "`balance {}` as it stands takes no servers while HAProxy runs, so that every instance that comes or goes needs a \
         reload ({COST}); {what_to_do}, or give it slots (docs/templates.md)",
        algorithm.name
    );
    Some(Advice::of(pool, line, text))
}

/// Whether the line keeps a name for a server that may come.
fn has_slots(setting: &Setting<'_>) -> bool {
    let is_free = |address: &str| address.starts_with("0.0.0.0:") || address.starts_with("[::]:");
    match setting.line.keyword() {
        Some("server-template") => true,
        Some("server") => setting.line.word(2).is_some_and(is_free),
        _ => false,
    }
}

/// Servers without `id` where it decides who gets what.
fn numberless(
    pool: &Holding<'_>,
    algorithm: &Algorithm<'_>,
    servers: &[&Setting<'_>],
    setup: &Setup<'_>,
) -> Option<Advice> {
    let is_hash = algorithm.hashes() && algorithm.is_consistent;
    let may_be_lost = setup.may_be_before(3, 0) && (is_hash || algorithm.name == "random");
    let lost = may_be_lost
        .then_some("before HAProxy 3.0 a server that is added without one may get no request (0 of 3,000)");
    let moved = (is_hash && !hashes_by_address(pool)).then_some(
        "when the first of ten servers leaves, 296 of 300 keys move to other servers, 16 with numbers",
    );
    let reasons: Vec<&str> = lost.into_iter().chain(moved).collect();
    let lacks = |server: &&&Setting<'_>| {
        given(server, 3, "id") == Given::Absent && given(server, 3, "hash-key") == Given::Absent
    };
    let server = servers.iter().find(lacks).filter(|_| !reasons.is_empty())?;
    let text = format!(
        "servers without `id` under `balance {}`: {}; write `id {{{{ServerId}}}}` behind the address",
        algorithm.name,
        reasons.join("; ")
    );
    Some(Advice::of(pool, server.line.number, text))
}

/// Whether `default-server` may say that keys go by something else than the number.
fn hashes_by_address(pool: &Holding<'_>) -> bool {
    let mut defaults =
        pool.settings.iter().filter(|setting| setting.line.keyword() == Some("default-server"));
    defaults.any(|setting| given(setting, 1, "hash-key") != Given::Absent)
}

fn cookie(pool: &Holding<'_>, server: &Setting<'_>, setup: &Setup<'_>) -> Option<Advice> {
    let text = format!(
        "HAProxy takes a server with `cookie` while it runs only from 3.0 on; before, every instance that comes needs a reload \
         ({COST})"
    );
    setup.may_be_before(3, 0).then(|| Advice::of(pool, server.line.number, text))
}
