//! What to do next so that HAProxy runs what is wanted: commands, or a reload with its reason, or nothing; and when to
//! look again.
//!
//! In: the configuration that HAProxy loaded, the one that is wanted, what the worker has now, and what earlier turns
//! began. Out: a [`Plan`]. Nothing here fails: where the text is not understood, or HAProxy would not take a
//! command, the plan is a reload, which is always right.
//!
//! A plan is the *next* steps. A new server is added, health-checked out of traffic and made ready in three
//! turns; one that leaves is drained, put into maintenance and deleted. So a turn may be taken at any time, after a
//! crash or after somebody else's reload too: what is observed decides, not what was sent. [`Memory`] only tells
//! what weir began from what a person did, which is left alone.

mod command;
mod compare;
pub mod files;
mod join;
mod keywords;
mod layout;
mod leave;
mod memory;
mod observed;
mod options;
mod steady;
mod turn;

use std::fmt;
use std::time::{Duration, SystemTime};

use haproxy_cfg::Document;

pub use command::{MAX_COMMAND, Reply, Step};
pub use memory::Memory;
pub use observed::{Admin, CheckState, Observed, ObservedServer};

use layout::Layout;
use turn::Turn;

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
    /// Which of the documents, from 0.
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
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstCheck => f.write_str("its first good check"),
            Self::FirstCheckOverdue => f.write_str("its first good check, which is overdue"),
            Self::Sessions(count) => write!(f, "{count} sessions to end"),
            Self::Deletion(tries) => write!(f, "HAProxy to let go of it (asked {tries} times)"),
            Self::Others => f.write_str("another server of the pool to be ready first"),
        }
    }
}

/// Something that a person set on the runtime API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// The server's backend.
    pub backend: String,
    /// The server's name.
    pub server: String,
    /// What was set.
    pub what: Setting,
}

/// What a person can set by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// `set server … state`.
    State(Admin),
    /// `set server … weight`.
    Weight(u32),
    /// `set maxconn server`.
    Maxconn(u32),
}

/// The next steps from what is observed to what is wanted.
///
/// `loaded` is the text of the configuration that the worker runs: what it loaded, with the changes that were made to it
/// by commands since. It may be replaced by the wanted text as soon as a plan without a reload was carried out, or
/// stay until the file is written: the plan comes out the same. Both have their documents in load order.
pub fn plan(
    loaded: &[Document],
    wanted: &[Document],
    observed: &Observed,
    memory: &Memory,
    can: &Can,
    options: &Options,
    now: SystemTime,
) -> Plan {
    let (loaded, wanted) = (Layout::read(loaded), Layout::read(wanted));
    if let Some(reason) = compare::difference(&loaded, &wanted) {
        return Plan::reload(reason, memory);
    }
    let mut turn = Turn { can, options, now, before: memory, plan: Plan::default() };
    let planned = wanted.pools.iter().try_for_each(|pool| turn.pool(loaded.pool(pool.name), pool, observed));
    match planned.and_then(|()| turn.refused(&wanted)) {
        Ok(()) => turn.finish(),
        Err(reason) => Plan::reload(reason, memory),
    }
}

impl Plan {
    /// Nothing is forgotten: the reload may come later, or fail.
    fn reload(reason: Reason, memory: &Memory) -> Self {
        Self { reload: Some(reason), memory: memory.clone(), ..Self::default() }
    }
}

#[cfg(test)]
mod examples;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
