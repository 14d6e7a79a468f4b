//! What weir began and has not seen to its end: the difference between its own doing and a person's.
//!
//! Serialized into the state directory before the steps of a plan are sent, so that after a crash a drain of its own is
//! not taken for a person's.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::observed::{Admin, ObservedServer};
use super::options::{Changeable, ServerOptions};
use super::{ByHand, Setting, Situation, Step, Wish};

/// What earlier plans began. Starts empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// By backend and server.
    pub(super) servers: BTreeMap<String, BTreeMap<String, Begun>>,
    /// Weights and limits on their way.
    pub(super) settings: BTreeMap<String, BTreeMap<String, Change>>,
    /// How often each command of the last turn has been given in a row. Who was restarted may not have given it.
    #[serde(skip)]
    pub(super) given: BTreeMap<String, u32>,
    /// The commands that HAProxy refused, with its answer.
    refused: BTreeMap<String, String>,
    /// The pools for which HAProxy did not take the server that holds requests, with its answer.
    #[serde(default)]
    pub(super) refused_wakes: BTreeMap<String, String>,
    /// What people set by hand, so that it outlives a reload.
    #[serde(default)]
    pub(super) by_hand: Vec<ByHand>,
}

/// What weir does with a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Begun {
    /// It was added, and waits for its first good check.
    Joining {
        /// Since when.
        since: SystemTime,
        /// What it runs with.
        running: Running,
        /// It was seen out of traffic, so that maintenance is a person's from then on.
        was_drained: bool,
    },
    /// It is in its place, but the loaded text does not say so yet.
    Joined {
        /// What it runs with.
        running: Running,
    },
    /// Somebody wishes it out of traffic.
    Wished {
        /// What is wished.
        wish: Wish,
        /// It was seen fulfilled, so that anything else is a person's doing from then on.
        was_reached: bool,
        /// What it runs with.
        running: Running,
    },
    /// The configuration wants it in maintenance now.
    Disabling {
        /// What it runs with.
        running: Running,
    },
    /// It is no longer wanted.
    Leaving {
        /// Since when it is drained.
        since: SystemTime,
        /// What it runs with, where that is known.
        running: Option<Running>,
        /// How often HAProxy was asked to delete it.
        tries: u32,
        /// Not to be asked again before.
        not_before: SystemTime,
    },
}

impl Begun {
    /// What the server runs with, where the loaded text may not say it.
    pub(super) fn running(&self) -> Option<&Running> {
        match self {
            Self::Joining { running, .. }
            | Self::Joined { running }
            | Self::Wished { running, .. }
            | Self::Disabling { running } => Some(running),
            Self::Leaving { running, .. } => running.as_ref(),
        }
    }
}

/// What a server runs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Running {
    /// The options by which it would be another server.
    pub(super) signature: String,
    /// The others.
    pub(super) changeable: Changeable,
}

impl Running {
    /// With these options.
    pub(super) fn with(options: &ServerOptions<'_>) -> Self {
        Self { signature: options.signature(), changeable: options.changeable() }
    }
}

/// A number that was sent to HAProxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    /// What it was when it was sent; another number is then a person's.
    pub(super) from: u32,
    /// What was sent.
    pub(super) to: u32,
}

impl Memory {
    /// Takes note that HAProxy refused a command of the last plan with `reply`. The next plan is then a reload at once,
    /// but for `del server`, which is tried again: HAProxy refuses it while connections last.
    pub fn refuse(&mut self, command: impl Into<String>, reply: impl Into<String>) {
        let command = command.into();
        if self.given.contains_key(&command) {
            self.refused.insert(command, reply.into());
        }
    }

    /// Takes note that HAProxy does not take what the server of a pool needs that would hold its requests.
    pub(super) fn refuse_wake(&mut self, step: &Step, answer: Option<&str>) {
        if let (Some(backend), Some(answer)) = (step.backend(), answer) {
            self.refused_wakes.insert(backend.to_owned(), answer.trim().to_owned());
        }
    }

    /// Keeps what was refused before, for as long as it is wanted.
    pub(super) fn keep_refused_wakes(&mut self, situation: &Situation<'_>) {
        let before = situation.memory.refused_wakes.iter();
        for (backend, answer) in before.filter(|(backend, _)| situation.wake.contains(backend)) {
            self.refused_wakes.insert(backend.clone(), answer.clone());
        }
    }

    /// Takes note of another worker, whoever reloaded: it runs what the text says that it loaded, and nothing of what
    /// was begun with the worker before. What people set by hand is to be set again ([`super::restore`]).
    pub fn reloaded(&mut self) {
        *self = Self { by_hand: std::mem::take(&mut self.by_hand), ..Self::default() };
    }

    /// What people set by hand, as the last plan found it.
    pub fn by_hand(&self) -> &[ByHand] {
        &self.by_hand
    }

    /// Makes a server be as the configuration says, whatever a person set: as one that was leaving and is wanted again.
    pub fn call_back(&mut self, backend: &str, server: &str, observed: &ObservedServer, now: SystemTime) {
        self.by_hand.retain(|by_hand| (&*by_hand.backend, &*by_hand.server) != (backend, server));
        self.undo(backend, server, Setting::Weight(observed.weight), now);
        self.undo(backend, server, Setting::Maxconn(observed.maxconn), now);
        if observed.admin != Admin::Ready {
            self.undo(backend, server, Setting::State(observed.admin), now);
        }
    }

    /// Makes one thing of a server be as the configuration says, although HAProxy has it so: as if weir had set it.
    pub fn undo(&mut self, backend: &str, server: &str, what: Setting, now: SystemTime) {
        let mut is =
            |name, is| self.put_setting(backend, format!("{server} {name}"), Change { from: is, to: is });
        match what {
            Setting::Weight(weight) => is("weight", weight),
            Setting::Maxconn(limit) => is("maxconn", limit),
            Setting::State(_) => {
                let leaving = Begun::Leaving { since: now, running: None, tries: 0, not_before: now };
                self.put(backend, server, leaving);
            }
        }
    }

    /// The pools of which something is remembered.
    pub(super) fn backends(&self) -> impl Iterator<Item = &String> {
        let by_hand = self.by_hand.iter().map(|by_hand| &by_hand.backend);
        self.servers.keys().chain(self.settings.keys()).chain(by_hand)
    }

    /// HAProxy's answer to the command, where it refused it.
    pub(super) fn refusal(&self, command: &str) -> Option<&str> {
        self.refused.get(command).map(String::as_str)
    }

    pub(super) fn server(&self, backend: &str, server: &str) -> Option<&Begun> {
        self.servers.get(backend)?.get(server)
    }

    pub(super) fn setting(&self, backend: &str, key: &str) -> Option<Change> {
        self.settings.get(backend)?.get(key).copied()
    }

    pub(super) fn put(&mut self, backend: &str, server: &str, begun: Begun) {
        self.servers.entry(backend.to_owned()).or_default().insert(server.to_owned(), begun);
    }

    pub(super) fn put_setting(&mut self, backend: &str, key: String, change: Change) {
        self.settings.entry(backend.to_owned()).or_default().insert(key, change);
    }
}
