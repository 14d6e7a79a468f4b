//! Panic: a pool of which too few instances are healthy at once keeps those that were so last.
//!
//! The loss of an agent, a network that is cut or a check that is wrong turns most of a pool critical in one answer. The
//! few that are left would take all its load, and most of the others may work: as far as HAProxy's own checks pass
//! them, it is better to spread requests over all. So the rest goes as soon as enough of a pool is healthy again, and
//! no earlier.
//!
//! In: the pools in force and those that the catalogue alone gives. Out: what is held, by [`Guard`]. *Known* are the servers
//! that the catalogue gives, and those in force that it gives no longer because their instance got worse; one that is
//! deregistered or in maintenance was taken out by somebody who meant it. Nothing that is held counts for longer than
//! the next step: each step is judged by what is in force then. Nothing here fails.
//!
//! A kept instance is put back into the answer that it came from, so that another pool which the same answer feeds
//! has it too.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Guard, Held, Kept, Pools, differing, servers_in};
use crate::{Answer, Catalogue, Instance, Query, Status};

/// How many of a pool's known instances are healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Those that the catalogue gives.
    pub healthy: usize,
    /// These, and those that got worse since they were put in force.
    pub known: usize,
}

impl Share {
    /// Whether it is less than so many percent.
    pub fn is_below(self, percent: u8) -> bool {
        self.healthy.saturating_mul(100) < self.known.saturating_mul(usize::from(percent))
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} instances are healthy", self.healthy, self.known)
    }
}

/// One output: what is in force, and what the catalogue alone gives; nothing where that is not known.
pub type Turn<'a> = (&'a Pools, Option<&'a Pools>);

/// One step, from what is in force to what the catalogue gives.
pub struct Step<'a> {
    /// All outputs.
    pub outputs: &'a [Turn<'a>],
    /// The catalogue that what is in force was rendered from.
    pub last_good: &'a Catalogue,
    /// The catalogue as it is.
    pub catalogue: &'a Catalogue,
    /// Below so many percent a pool is held; never at 0.
    pub threshold: u8,
    /// Whether a backend may become empty. Such a one is not held.
    pub released: &'a dyn Fn(&str) -> bool,
}

/// What a step changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Pools that are held from now on.
    pub held: BTreeSet<String>,
    /// Pools that are no longer held, and how many of them are healthy.
    pub released: BTreeMap<String, Share>,
}

/// A pool that lost servers.
struct Loss<'a> {
    backend: String,
    healthy: usize,
    missing: BTreeSet<&'a str>,
}

impl Guard {
    /// Holds the pools that are in panic, and lets those go that no longer are. One that would be empty is left to
    /// [`Guard::hold`], unless it was in panic before.
    pub fn watch(&mut self, step: &Step<'_>) -> Shift {
        let losses = self.losses(step);
        let worse = worse(step, &losses);
        let mut shift = Shift::default();
        for loss in losses {
            let kept: Vec<Kept> =
                loss.missing.iter().filter_map(|server| worse.get(server).cloned()).collect();
            let share = Share { healthy: loss.healthy, known: loss.healthy + kept.len() };
            self.judge(&loss.backend, share, kept, step, &mut shift);
        }
        shift
    }

    /// A person says that the critical instances of a pool may go. That is for once: it ends with the panic.
    pub fn let_go(&mut self, backend: &str) {
        if self.release(backend) {
            self.let_go.insert(backend.to_owned());
        }
    }

    fn judge(&mut self, backend: &str, share: Share, kept: Vec<Kept>, step: &Step<'_>, shift: &mut Shift) {
        let was_held = self.in_panic(backend);
        let is_low = share.is_below(step.threshold);
        if !is_low {
            self.let_go.remove(backend);
        }
        let is_left = share.healthy > 0 || was_held;
        if is_low && is_left && !self.let_go.contains(backend) && !(step.released)(backend) {
            let held = Held { kept, back: BTreeSet::new(), panic: Some(share) };
            self.held.insert(backend.to_owned(), held);
            if !was_held {
                shift.held.insert(backend.to_owned());
            }
        } else if was_held {
            self.held.remove(backend);
            shift.released.insert(backend.to_owned(), share);
        }
    }

    fn in_panic(&self, backend: &str) -> bool {
        self.held.get(backend).is_some_and(|held| held.panic.is_some())
    }

    /// The pools that may be in panic, and those that were. One that is held because it would be empty is not looked
    /// at, nor one of which an output says nothing.
    fn losses<'a>(&self, step: &Step<'a>) -> Vec<Loss<'a>> {
        let suspects = step.outputs.iter().flat_map(|turn| suspects(turn, step.threshold));
        let held =
            self.held.iter().filter(|(_, held)| held.panic.is_some()).map(|(backend, _)| backend.as_str());
        let mut backends: BTreeSet<&str> = suspects.chain(held).collect();
        backends.extend(self.let_go.iter().map(String::as_str));
        let emptied = |backend: &&str| self.held.get(*backend).is_some_and(|held| held.panic.is_none());
        backends.retain(|backend| !emptied(backend));
        backends.into_iter().filter_map(|backend| loss(backend, step)).collect()
    }
}

/// The backends of one output that lost so many servers that they may be in panic, whatever became of these.
fn suspects<'a>(turn: &Turn<'a>, threshold: u8) -> impl Iterator<Item = &'a str> {
    let (before, now) = *turn;
    let differing = now.into_iter().flat_map(|now| differing(before, now));
    let changed = differing.filter_map(|(backend, before, now)| Some((backend, before?, now)));
    let low = changed.filter(move |(_, servers, left)| {
        let healthy = left.map_or(0, |left| left.len());
        Share { healthy, known: healthy + servers.len() }.is_below(threshold)
    });
    low.map(|(backend, ..)| &**backend)
}

fn loss<'a>(backend: &str, step: &Step<'a>) -> Option<Loss<'a>> {
    let stands = |turn: &&Turn<'a>| turn.0.contains_key(backend);
    if step.outputs.iter().filter(stands).any(|(_, now)| now.is_none()) {
        return None;
    }
    let before: Vec<&Pools> = step.outputs.iter().map(|(before, _)| *before).collect();
    let now: Vec<&Pools> = step.outputs.iter().filter_map(|(_, now)| *now).collect();
    let given: BTreeSet<&str> = servers_in(backend, &now).map(String::as_str).collect();
    let in_force: BTreeSet<&str> = servers_in(backend, &before).map(String::as_str).collect();
    Some(Loss { backend: backend.to_owned(), healthy: given.len(), missing: &in_force - &given })
}

/// Those of the missing servers whose instances got worse, as they were before.
fn worse<'a>(step: &Step<'_>, losses: &[Loss<'a>]) -> BTreeMap<&'a str, Kept> {
    let missing: BTreeMap<String, &'a str> =
        losses.iter().flat_map(|loss| &loss.missing).map(|server| ((*server).to_owned(), *server)).collect();
    let mut found = BTreeMap::new();
    if missing.is_empty() {
        return found;
    }
    for (query, answer) in step.catalogue.iter() {
        let (Answer::Instances(now), Some(before)) = (answer, step.last_good.instances(query)) else {
            continue;
        };
        for (server, status) in ailing(now) {
            let Some(name) = missing.get(&server) else { continue };
            let kept =
                found.entry(*name).or_insert_with(|| Kept { server: server.clone(), copies: Vec::new() });
            kept.copies.extend(better(before, &server, status).map(|copy| (query.clone(), copy.clone())));
        }
    }
    found.retain(|_, kept| !kept.copies.is_empty());
    without_taken(found, step.catalogue)
}

/// The servers of a list whose best instance warns or is critical, with its status.
fn ailing(instances: &[Instance]) -> BTreeMap<String, Status> {
    let is_bad = |status: Status| matches!(status, Status::Warning | Status::Critical);
    let bad = instances.iter().filter(|instance| is_bad(instance.status));
    let mut servers: BTreeMap<String, Status> = BTreeMap::new();
    for instance in bad {
        let status = servers.entry(instance.server()).or_insert(instance.status);
        *status = instance.status.min(*status);
    }
    if !servers.is_empty() {
        for instance in instances.iter().filter(|instance| !is_bad(instance.status)) {
            servers.remove(&instance.server());
        }
    }
    servers
}

/// The instances at a server that were better than this.
fn better<'a>(before: &'a [Instance], server: &str, status: Status) -> impl Iterator<Item = &'a Instance> {
    before.iter().filter(move |instance| instance.status < status && instance.server() == server)
}

/// Without those whose address another service has now, on another node: the dead node's successor got it, and its service would get
/// requests that are meant for somebody else.
fn without_taken<'a>(mut kept: BTreeMap<&'a str, Kept>, catalogue: &Catalogue) -> BTreeMap<&'a str, Kept> {
    let ports: BTreeSet<u16> =
        kept.values().flat_map(|kept| &kept.copies).map(|(_, instance)| instance.port).collect();
    for (_, answer) in catalogue.iter() {
        let Answer::Instances(instances) = answer else { continue };
        let alive = instances.iter().filter(|instance| instance.status == Status::Passing);
        for instance in alive.filter(|instance| ports.contains(&instance.port)) {
            let is_other =
                |(_, copy): &(Query, Instance)| copy.name != instance.name && copy.node != instance.node;
            let server = instance.server();
            if kept.get(server.as_str()).is_some_and(|kept| kept.copies.iter().all(is_other)) {
                kept.remove(server.as_str());
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests;
