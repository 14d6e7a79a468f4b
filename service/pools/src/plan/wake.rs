//! The server that holds the requests of a pool whose group is at zero: `weir-wake`, a `backup` that no file names.
//!
//! In: the pools that shall have one, and where it connects to. Out: one more server in each pool that is wanted, so
//! that the plan adds, keeps and removes it as it does any other; or why a pool cannot have one. It is never what a
//! reload is made for: a reload would not bring it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use haproxy_cfg::Document;
use serde::{Deserialize, Serialize};

use super::join::{add_command, can_change};
use super::layout::{Layout, Member, Pool};
use super::options::{ServerOptions, Unknown};
use super::{Admin, Can, Reply, Situation, Step, command};
use crate::server_ids;

/// The name of the server, in every pool.
pub const WAKE: &str = "weir-wake";

/// What its line says after what `default-server` gives it. It has no limit but weir's own, and no connection stays
/// idle: HAProxy would not delete it then.
const OPTIONS: &str =
    "backup no-check no-agent-check enabled weight 1 maxconn 0 minconn 0 maxqueue 0 pool-max-conn 0";

/// The options that decide how HAProxy talks to a server: where an instance has one, so must what stands in for it.
const LANGUAGE: [&str; 21] = [
    "alpn",
    "ca-file",
    "ciphers",
    "ciphersuites",
    "crl-file",
    "crt",
    "npn",
    "proto",
    "proxy-v2-options",
    "send-proxy",
    "send-proxy-v2",
    "send-proxy-v2-ssl",
    "send-proxy-v2-ssl-cn",
    "set-proxy-v2-tlv-fmt",
    "sni",
    "ssl",
    "ssl-max-ver",
    "ssl-min-ver",
    "verify",
    "verifyhost",
    "ws",
];

/// The pools that shall have the server, by their names.
#[derive(Debug, Clone, Default)]
pub struct WakeServers {
    lines: BTreeMap<String, Document>,
}

/// How it stands with the server in one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WakeState {
    /// It gets what no other server of the pool can take.
    InForce,
    /// It will, in a moment.
    Coming,
    /// The pool cannot have it; and why.
    Unfit(String),
    /// There is no such pool.
    Absent,
}

/// The server in one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// How it stands.
    pub state: WakeState,
    /// What a worker that just started is told, so that it has it too.
    pub again: Vec<Step>,
}

impl WakeServers {
    /// For these backends, each with the address that weir listens on for it.
    pub fn new(at: impl IntoIterator<Item = (String, SocketAddr)>) -> Self {
        let line = |address| Document::parse(format!("server {WAKE} {address} {OPTIONS}\n"));
        Self { lines: at.into_iter().map(|(backend, address)| (backend, line(address))).collect() }
    }

    /// Whether this backend shall have one.
    pub fn contains(&self, backend: &str) -> bool {
        self.lines.contains_key(backend)
    }

    /// The backends.
    pub fn backends(&self) -> impl Iterator<Item = &String> {
        self.lines.keys()
    }
}

/// Puts the servers into the pools that are wanted, where these can have them.
pub(super) fn stand_in<'a>(wanted: &mut Layout<'a>, situation: &Situation<'a>) -> BTreeMap<String, Wake> {
    let mut wakes = BTreeMap::new();
    for (backend, line) in &situation.wake.lines {
        let nothing = |state| Wake { state, again: Vec::new() };
        let wake = match wanted.pool_mut(backend).map(|pool| (admit(pool, line, situation), pool)) {
            Some((Ok(add), pool)) => Wake { state: state(pool, situation), again: again(backend, add) },
            Some((Err(why), _)) => nothing(WakeState::Unfit(why)),
            None => nothing(WakeState::Absent),
        };
        wakes.insert(backend.clone(), wake);
    }
    wakes
}

/// Adds the server to the pool. Out: the command that adds it to a worker.
fn admit<'a>(pool: &mut Pool<'a>, line: &'a Document, situation: &Situation<'a>) -> Result<String, String> {
    if let Some(answer) = situation.memory.refused_wakes.get(pool.name) {
        return Err(format!("HAProxy does not take it: {answer}"));
    }
    may_stand_in(pool, situation.can)?;
    if !pool.add_server(line) {
        return Err("its own line cannot be read".to_owned());
    }
    let command = fitting(pool, situation.can);
    if command.is_err() {
        pool.drop_last();
    }
    command
}

/// Whether the pool leaves room for a server that is used while no other serves, and that goes again.
fn may_stand_in(pool: &Pool<'_>, can: Can) -> Result<(), String> {
    can_change(can.branch(), &pool.settings)?;
    let has = |option| pool.servers.iter().any(|member| pool.is_on(member, option));
    if pool.settings.disabled {
        Err("the section is disabled".to_owned())
    } else if pool.server(WAKE).is_some() || pool.is_fixed(WAKE) {
        Err(format!("the configuration has a server of the name {WAKE}"))
    } else if has("backup") {
        Err("it has `backup` servers of its own, which get the requests first".to_owned())
    } else if has("on-marked-up") {
        Err("`on-marked-up` would cut what is held in the moment that an instance comes up".to_owned())
    } else {
        Ok(())
    }
}

/// The command that adds the last server of the pool, if it speaks as the others do.
fn fitting(pool: &Pool<'_>, can: Can) -> Result<String, String> {
    let [others @ .., own] = pool.servers.as_slice() else { return Err("it has no server".to_owned()) };
    let mine = pool.options(own).map_err(unknown)?;
    for other in others {
        let other = pool.options(other).map_err(unknown)?;
        if let Some(option) = other.difference_in(&mine, &LANGUAGE) {
            return Err(format!(
                "`{option}` stands on its server lines: write it on `default-server`, so that it holds for {WAKE} \
                 too"
            ));
        }
    }
    add(pool, own, &mine, can)
}

fn unknown(Unknown(option): Unknown) -> String {
    format!("`{option}` is not an option that weir knows")
}

fn add(pool: &Pool<'_>, own: &Member<'_>, options: &ServerOptions<'_>, can: Can) -> Result<String, String> {
    let id = server_ids([WAKE]).remove(WAKE);
    add_command(pool.name, own, options, id, can.branch())
}

fn state(pool: &Pool<'_>, situation: &Situation<'_>) -> WakeState {
    let observed = situation.observed.pools.get(pool.name).and_then(|servers| servers.get(WAKE));
    let wanted = pool.server(WAKE).and_then(super::join::fixed_address);
    let is_it = observed.is_some_and(|server| server.serves() && server.address == wanted);
    if is_it { WakeState::InForce } else { WakeState::Coming }
}

fn again(backend: &str, add: String) -> Vec<Step> {
    let step = |command, expects| Step {
        command,
        why: "it holds requests, and HAProxy was reloaded".to_owned(),
        expects,
        is_conditional: false,
    };
    let path = format!("{backend}/{WAKE}");
    let ready = command::line(&["set", "server", &path, "state", Admin::Ready.word()]).ok();
    let ready = ready.map(|ready| step(ready, Reply::Empty));
    [step(add, Reply::Registered)].into_iter().chain(ready).collect()
}

impl Step {
    /// Whether it is about the server that holds requests, so that it is no reason for a reload where it fails.
    pub(super) fn is_for_wake(&self) -> bool {
        self.command.split(' ').any(|word| word.split_once('/').is_some_and(|(_, server)| server == WAKE))
    }
}

#[cfg(test)]
mod tests;
