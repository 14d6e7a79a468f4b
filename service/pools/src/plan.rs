//! What to do next so that HAProxy runs what is wanted: commands, or a reload with its reason, or nothing; and when to
//! look again.
//!
//! In: a [`Situation`]: the configuration that HAProxy loaded, the one that is wanted, what the worker has now, what is known of
//! the servers from elsewhere, and what earlier turns began. Out: a [`Plan`]. Nothing here fails: where the text is not understood, or HAProxy would not take a
//! command, the plan is a reload, which is always right.
//!
//! A plan is the *next* steps. A new server is added, health-checked out of traffic and made ready in three
//! turns; one that leaves is drained, put into maintenance and deleted. So a turn may be taken at any time, after a
//! crash or after somebody else's reload too: what is observed decides, not what was sent. [`Memory`] only tells
//! what weir began from what a person did, which is left alone.

mod address;
mod by_hand;
mod circumstances;
mod command;
mod compare;
pub mod files;
mod join;
mod keywords;
mod layout;
mod leave;
mod memory;
mod numbers;
mod observed;
mod options;
mod restore;
mod scope;
mod steady;
mod turn;
mod wake;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use haproxy_cfg::Sections;
use serde::{Deserialize, Serialize};

pub use crate::intents::Wish;
pub use circumstances::{Cause, Wishes};
pub use command::{MAX_COMMAND, Reply, Step};
pub use keywords::{KEYWORDS_UP_TO, Keyword, keywords};
pub use memory::Memory;
pub use observed::{Admin, CheckState, Observed, ObservedServer};
pub use restore::{restore, set_again};
pub use wake::{WAKE, Wake, WakeServers, WakeState};

use layout::{Known, Layout};
use scope::Scope;
use turn::Turn;

/// Everything that a plan is made from.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The files that the worker runs, in load order: what it loaded, with the changes that were made to it by commands
    /// since. They may be replaced by the wanted ones as soon as a plan without a reload was carried out, or stay until
    /// the files are written: the plan comes out the same.
    pub loaded: &'a [Sections],
    /// The files that are wanted, in load order.
    pub wanted: &'a [Sections],
    /// What the worker has.
    pub observed: &'a Observed,
    /// What earlier plans began.
    pub memory: &'a Memory,
    /// What HAProxy can do.
    pub can: Can,
    /// How long to wait for what.
    pub options: &'a Options,
    /// Why an instance at that address is not among the wanted servers.
    pub cause: &'a dyn Fn(SocketAddr) -> Cause,
    /// What is wished of servers that are wanted.
    pub wishes: &'a Wishes,
    /// The pools whose requests weir holds while nobody serves them.
    pub wake: &'a WakeServers,
    /// The worker may have loaded a text of a moment before: what it runs otherwise than `loaded` says is nobody's doing, but for
    /// what is known to be set by hand.
    pub is_unsure: bool,
    /// Files are being written that are older than what the worker runs: `loaded` may say less soon.
    pub is_file_behind: bool,
    /// The time.
    pub now: SystemTime,
}

/// What the running HAProxy can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Can {
    /// Its version: major, minor, patch. `add server` and `del server` are used from 2.6 on, where they are stable.
    pub version: (u32, u32, u32),
}

impl Can {
    fn branch(self) -> (u32, u32) {
        (self.version.0, self.version.1)
    }
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// For the sessions of a server that leaves; after that they are shut down.
    pub drain_timeout: Duration,
    /// For the first good check of a new server; after that it is reported, and looked at less often.
    pub first_check_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { drain_timeout: Duration::from_mins(5), first_check_timeout: Duration::from_secs(30) }
    }
}

/// The next steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Commands, in order. Empty where a reload is needed.
    pub steps: Vec<Step>,
    /// Why only a reload brings about what is wanted.
    pub reload: Option<Reason>,
    /// What the plan waits for.
    pub waits: Vec<Wait>,
    /// What a person set by hand and is left so.
    pub by_hand: Vec<ByHand>,
    /// The servers that hold requests, by backend.
    pub wakes: BTreeMap<String, Wake>,
    /// When to plan again though nothing else happens; `None` where there is nothing to wait for.
    pub look_again: Option<Duration>,
    /// What to plan with the next time. To be kept on disk before the steps are sent.
    pub memory: Memory,
    /// HAProxy runs what is wanted, but for what was set by hand.
    pub settled: bool,
}

/// Why a reload is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Which of the files, from 0.
    pub file: usize,
    /// The section, such as `backend web`; empty where it is no single one.
    pub section: String,
    /// The line, from 1; of the loaded document where the wanted one does not have it. 0 where there is none.
    pub line: usize,
    /// The line's text.
    pub directive: String,
    /// What is the matter with it.
    pub why: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.section.is_empty() {
            write!(f, "{}, ", self.section)?;
        }
        if self.line > 0 {
            write!(f, "line {}, `{}`: ", self.line, self.directive)?;
        }
        f.write_str(&self.why)
    }
}

/// A server that the plan waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Its backend.
    pub backend: String,
    /// Its name.
    pub server: String,
    /// What for.
    pub what: Waiting,
}

/// What a plan waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// For the first good check of a new server.
    FirstCheck,
    /// The first good check did not come in time; the server stays out of traffic until it does.
    FirstCheckOverdue,
    /// For the end of the sessions of a server that leaves.
    Sessions(u64),
    /// For HAProxy to let go of a server that it refused to delete so many times.
    Deletion(u32),
    /// For another server of the pool to be ready before this one leaves.
    Others,
    /// For another server of the pool to be ready before this one is sent to its new address.
    Move,
    /// For Consul to say that it passes again, or that it is gone; it is in maintenance meanwhile.
    Passing,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstCheck => f.write_str("its first good check"),
            Self::FirstCheckOverdue => f.write_str("its first good check, which is overdue"),
            Self::Sessions(count) => write!(f, "{count} sessions to end"),
            Self::Deletion(tries) => write!(f, "HAProxy to let go of it (asked {tries} times)"),
            Self::Others => f.write_str("another server of the pool to be ready first"),
            Self::Move => {
                f.write_str("another server of the pool to be ready first, then goes to its new address")
            }
            Self::Passing => f.write_str("its checks in Consul to pass again"),
        }
    }
}

/// Something that a person set on the runtime API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// The server's backend.
    pub backend: String,
    /// The server's name.
    pub server: String,
    /// What was set.
    pub what: Setting,
}

impl ByHand {
    /// Whether it is the same thing of the same server, set to whatever.
    pub fn is_about_same(&self, other: &Self) -> bool {
        let kind = |by_hand: &Self| std::mem::discriminant(&by_hand.what);
        (&self.backend, &self.server, kind(self)) == (&other.backend, &other.server, kind(other))
    }
}

impl Setting {
    /// How many things of one server can be set.
    pub(crate) const KINDS: usize = 3;
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(admin) => write!(f, "set to {} by hand", admin.word()),
            Self::Weight(weight) => write!(f, "its weight set to {weight} by hand"),
            Self::Maxconn(limit) => write!(f, "its maxconn set to {limit} by hand"),
        }
    }
}

/// What a person can set by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// `set server … state`.
    State(Admin),
    /// `set server … weight`.
    Weight(u32),
    /// `set maxconn server`.
    Maxconn(u32),
}

/// The next steps from what is observed to what is wanted, for all pools.
pub fn plan(situation: &Situation<'_>) -> Plan {
    plan_in(situation, &Scope::everything(situation))
}

/// The same plan for the cost of what changed: only pools whose text differs, in which something was begun, or that are
/// `touched` are looked at. All others must be settled, and observed as they were when that was planned.
pub fn plan_touched(situation: &Situation<'_>, touched: &BTreeSet<String>) -> Plan {
    plan_in(situation, &Scope::touched(situation, touched))
}

/// Whether two configurations differ in more than servers that commands can change.
pub fn differ_in_structure(before: &Sections, after: &Sections) -> bool {
    let parts = |sections| [Sections::parts(sections).iter().collect()];
    let before = Layout::read(&parts(before));
    compare::difference(&before, &before.read_again(&parts(after))).is_some()
}

fn plan_in(situation: &Situation<'_>, scope: &Scope<'_>) -> Plan {
    let loaded = Layout::read(&scope.loaded);
    let mut wanted = loaded.read_again(&scope.wanted);
    if let Some(reason) = compare::difference(&loaded, &wanted) {
        return Plan::reload(reason, situation);
    }
    let mut turn = Turn::new(situation);
    turn.plan.wakes = wake::stand_in(&mut wanted, situation);
    let mut known = Known::default();
    let planned = wanted
        .pools()
        .try_for_each(|part| turn.pool(loaded.pool(part.pool().name), part, known.changeable(part.pool())));
    match planned.and_then(|()| turn.refused(&wanted)) {
        Ok(()) => turn.finish(),
        Err(reason) => Plan::reload(reason, situation),
    }
}

/// What is remembered, and with it what people have set by hand by now, so that it outlives a reload.
pub fn remember_by_hand(situation: &Situation<'_>) -> Memory {
    let mut memory = situation.memory.clone();
    if !situation.is_unsure {
        memory.by_hand = by_hand::now(situation);
    }
    memory
}

impl Plan {
    /// Nothing is forgotten: the reload may come later, or fail. What people set by hand just before is to outlive it.
    fn reload(reason: Reason, situation: &Situation<'_>) -> Self {
        Self { reload: Some(reason), memory: remember_by_hand(situation), ..Self::default() }
    }
}

#[cfg(test)]
mod examples;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
