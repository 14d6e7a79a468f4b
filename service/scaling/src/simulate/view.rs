//! What a scaler is shown once or twice a second, and what it answers.

use super::group::{Group, Instance};
use super::moment::{Micros, SECOND, seconds};
use super::outcome::Step;
use super::pool::{Pool, Server};

/// A rule for the number of instances, as it stands between the pool and Nomad.
pub trait Scaler {
    /// Looks once a second, or twice; a scaler with a longer period lets looks pass. What to ask Nomad for, if
    /// anything.
    fn look(&mut self, view: &View<'_>) -> Option<Ask>;

    /// Whether it looks twice a second.
    fn looks_twice(&self) -> bool {
        false
    }

    /// Nomad did what was asked in this second. A refusal is not told.
    fn scaled(&mut self, _second: u64, _from: u64, _to: u64) {}
}

/// A count that Nomad is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The count.
    pub count: u64,
    /// Whether a deployment that runs is replaced, by registering the job, which Nomad does not refuse.
    pub supersede: bool,
}

impl Ask {
    /// An ordinary scale, which a deployment that runs blocks.
    pub fn scale(count: u64) -> Self {
        Self { count, supersede: false }
    }
}

/// One look at the pool and at the group.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(super) now: Micros,
    pub(super) pool: &'a Pool,
    pub(super) group: &'a Group,
    /// Work in the system, averaged over the second before.
    pub(super) mean_work: f64,
    /// All changes so far, the newest last.
    pub(super) steps: &'a [Step],
}

impl<'a> View<'a> {
    /// Seconds since the beginning; at least 1.
    pub fn second(&self) -> u64 {
        self.now / SECOND
    }

    /// The same as a number for arithmetic.
    pub fn time(&self) -> f64 {
        seconds(self.now)
    }

    /// The count that Nomad wants.
    pub fn count(&self) -> u64 {
        self.group.count()
    }

    /// Wanted instances whose application answers.
    pub fn running(&self) -> u64 {
        self.live().filter(|(_, instance, _)| instance.started <= self.now).count() as u64
    }

    /// Wanted instances that Nomad knows to run: their process was started, and the client has told of it. On a real Nomad
    /// (2.0.6) that was so for none half a second after a scale, and for all after one and a half.
    pub(super) fn known_to_run(&self) -> u64 {
        const TOLD: Micros = 3 * SECOND / 2;
        self.live().filter(|(_, instance, _)| instance.placed + TOLD <= self.now).count() as u64
    }

    /// Wanted instances that take requests.
    pub fn up(&self) -> u64 {
        self.live().filter(|(_, _, server)| server.up).count() as u64
    }

    /// Requests at work and waiting, now.
    pub fn work(&self) -> u64 {
        self.pool.busy() + self.queued()
    }

    /// Requests that wait, now.
    pub fn queued(&self) -> u64 {
        self.pool.queue().len() as u64
    }

    /// Requests at work and waiting, averaged over the second before.
    pub fn mean_work(&self) -> f64 {
        self.mean_work
    }

    /// Wanted instances with their numbers and servers.
    pub(super) fn live(&self) -> impl Iterator<Item = (usize, &'a Instance, &'a Server)> + use<'a> {
        let (group, pool) = (self.group, self.pool);
        group.live().iter().map(move |&number| (number, group.instance(number), pool.server(number)))
    }
}
