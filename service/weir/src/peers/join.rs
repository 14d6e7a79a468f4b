//! What all load balancers of the cluster show, as one reading. Pure.
//!
//! In: what each node's weir saw last, with its age, or why it does not answer. Out: a [`Reading`] in which
//! the processes of two nodes are told apart, and which names everything that is unknown; and when
//! connections last went from one load balancer to another, as they come back in a burst then. A stopped
//! HAProxy, and one that stands by, are known zeros: they add nothing to the slots of an instance.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use weir_pools::plan::WAKE;
use weir_scaling::{Process, Reading, Sample};

use super::answer::{Balancer, State};
use crate::wake::Holder;

/// How old a sample may be, however it came: it is taken, and fetched, once a second at least, and one of
/// each may fail.
pub(crate) const FRESH: Duration = Duration::from_secs(3);
/// The time over which it is judged how much a load balancer has to do.
const JUDGED: f64 = 5.0;
/// Less than so many sessions and arrivals a second is what monitoring does to a load balancer that stands
/// by,
const LITTLE: f64 = 1.0;
/// and so is less than this part of what the busiest one has.
const PART: f64 = 0.1;
/// One that takes part stands by only once it has less than so much of what it needs to take part.
const STAYS: f64 = 0.5;

/// One node, as seen from here.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// How people call it; empty for the own one.
    pub(crate) name: String,
    /// Tells its processes from those of others; 0 for the own one.
    pub(crate) id: u64,
    /// What its weir saw, or why that is not known.
    pub(crate) seen: Result<Seen, String>,
}

/// What a node's weir saw.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// How long ago it said so.
    pub(crate) ago: Duration,
    pub(crate) haproxies: Vec<Balancer>,
}

/// Joins one view after the other.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    known: BTreeMap<Key, Known>,
    then: Option<SystemTime>,
    role_changed: Option<SystemTime>,
}

/// A node and the name of its HAProxy.
type Key = (u64, String);

/// What is remembered of one HAProxy.
#[derive(Debug, Default)]
struct Known {
    stopped: bool,
    requests: BTreeMap<Process, u64>,
    /// Its sessions and arrivals a second, averaged.
    load: f64,
    takes_part: bool,
}

/// What one HAProxy adds to a reading.
struct Part {
    key: Key,
    age: Duration,
    samples: Vec<Sample>,
}

impl Joiner {
    /// When connections last went, or were free to go, from one load balancer to another.
    pub(crate) fn role_changed(&self) -> Option<SystemTime> {
        self.role_changed
    }

    /// Everything that is known now, at `now` on this node's clock.
    pub(crate) fn join(&mut self, now: SystemTime, views: &[View]) -> Reading {
        self.forget(now, views);
        let (mut parts, mut missing) = (Vec::new(), Vec::new());
        for view in views {
            match &view.seen {
                Err(reason) => missing.push(format!("{}: {reason}", view.name)),
                Ok(seen) => {
                    for haproxy in &seen.haproxies {
                        parts.extend(self.take(now, view, seen.ago, haproxy, &mut missing));
                    }
                }
            }
        }
        self.judge(now, &mut parts);
        // The own clock paces the history: others are as fresh within the bound, and each a little different.
        let own = parts.iter().filter(|part| part.key.0 == 0).map(|part| part.age).max();
        let at = now.checked_sub(own.unwrap_or_default()).unwrap_or(now);
        Reading { at, samples: parts.into_iter().flat_map(|part| part.samples).collect(), missing }
    }

    /// What is no longer there leaves its connections to the others.
    fn forget(&mut self, now: SystemTime, views: &[View]) {
        let before = self.known.len();
        self.known.retain(|(node, _), _| views.iter().any(|view| view.id == *node));
        if self.known.len() < before {
            self.role_changed = Some(now);
        }
    }

    /// One HAProxy's part; nothing, and a word in `missing`, where it is not known.
    fn take(
        &mut self,
        now: SystemTime,
        view: &View,
        ago: Duration,
        haproxy: &Balancer,
        missing: &mut Vec<String>,
    ) -> Option<Part> {
        let age = ago + Duration::from_millis(haproxy.age_ms);
        let key = (view.id, haproxy.name.clone());
        let known = self.known.entry(key.clone()).or_default();
        let called = called(view, haproxy);
        match &haproxy.state {
            _ if age > FRESH => missing.push(format!("{called} was last read {} s ago", age.as_secs())),
            State::Unknown { reason } => missing.push(format!("{called}: {reason}")),
            State::Stopped => {
                if !std::mem::replace(&mut known.stopped, true) {
                    self.role_changed = Some(now);
                }
                known.load = 0.0;
                known.takes_part = false;
            }
            State::Read { samples, missed } => {
                known.stopped = false;
                missing.extend(missed.as_ref().map(|reason| format!("{called}: {reason}")));
                let at = now.checked_sub(age).unwrap_or(now);
                let samples = samples.iter().map(|sample| of_node(view.id, at, sample)).collect();
                return Some(Part { key, age, samples });
            }
        }
        None
    }

    /// Marks those that stand by, so that their `maxconn` is not taken for capacity.
    fn judge(&mut self, now: SystemTime, parts: &mut [Part]) {
        let apart = self.then.replace(now).and_then(|then| now.duration_since(then).ok());
        for part in &*parts {
            if let Some(known) = self.known.get_mut(&part.key) {
                known.weigh(&part.samples, apart);
            }
        }
        let load = |part: &Part| self.known.get(&part.key).map_or(0.0, |known| known.load);
        let needed = (parts.iter().map(load).fold(0.0, f64::max) * PART).max(LITTLE);
        for part in &*parts {
            let Some(known) = self.known.get_mut(&part.key) else { continue };
            if known.turns_active(needed) && apart.is_some() {
                self.role_changed = Some(now);
            }
        }
        let active = |part: &Part| self.known.get(&part.key).is_some_and(|known| known.takes_part);
        let standing_by: Vec<bool> = parts.iter().map(|part| !active(part)).collect();
        // With little to do for all of them nobody can be told from one that stands by.
        if standing_by.contains(&false) {
            let idle = parts.iter_mut().zip(standing_by).filter(|(_, stands_by)| *stands_by);
            idle.flat_map(|(part, _)| &mut part.samples).for_each(|sample| sample.leaving = true);
        }
    }
}

impl Known {
    /// Takes what it has to do now into the average, in which the last few seconds weigh most.
    fn weigh(&mut self, samples: &[Sample], apart: Option<Duration>) {
        let sessions: u64 = samples.iter().flat_map(|s| &s.backends).map(|backend| backend.sessions).sum();
        let requests: BTreeMap<Process, u64> = samples
            .iter()
            .map(|sample| (sample.process, sample.backends.iter().map(|backend| backend.requests).sum()))
            .collect();
        let more = |(process, now): (&Process, &u64)| {
            self.requests.get(process).map_or(0, |before| now.saturating_sub(*before))
        };
        let arrived: u64 = requests.iter().map(more).sum();
        self.requests = requests;
        // A gap may hide what came meanwhile; a first look sees sessions only.
        let Some(seconds) = apart.map(|apart| apart.as_secs_f64()) else {
            self.load = sessions as f64;
            return;
        };
        let newest = sessions as f64 + if seconds > 0.0 { arrived as f64 / seconds } else { 0.0 };
        self.load += (newest - self.load) * (1.0 - (-seconds / JUDGED).exp());
    }

    /// Whether it takes part from now on and did not before.
    fn turns_active(&mut self, needed: f64) -> bool {
        let before = self.takes_part;
        self.takes_part = self.load >= if before { needed * STAYS } else { needed };
        self.takes_part && !before
    }
}

/// What is held by all that run.
pub(crate) fn holders(views: &[View]) -> Vec<Holder> {
    let seen = views.iter().filter_map(|view| Some((view, view.seen.as_ref().ok()?)));
    let all = seen.flat_map(|(view, seen)| seen.haproxies.iter().map(move |haproxy| (view, haproxy)));
    let run = all.filter(|(_, haproxy)| matches!(haproxy.state, State::Read { .. }));
    run.map(|(view, haproxy)| Holder { name: called(view, haproxy), holds: haproxy.holds.clone() }).collect()
}

fn called(view: &View, haproxy: &Balancer) -> String {
    let name = if haproxy.name.is_empty() { "HAProxy" } else { &haproxy.name };
    if view.name.is_empty() { name.to_owned() } else { format!("{}: {name}", view.name) }
}

fn of_node(node: u64, at: SystemTime, sample: &Sample) -> Sample {
    let mut sample = Sample { at, process: Process { node, ..sample.process }, ..sample.clone() };
    // What holds requests is no instance; what it holds is in its backend's own figures.
    for backend in &mut sample.backends {
        backend.servers.retain(|server| server.name != WAKE);
    }
    sample
}

#[cfg(test)]
mod tests;
