//! The scale loop: keeps the number of instances equal to what the traffic needs.
//!
//! [`ScaleLoop::handle`] is synchronous: events in, effects out. Every sample is measured for every policy; a
//! decision to scale is made a second time from a fresh reading of the job, and the write is fenced with the
//! index of that reading. What a decrease will stop is drained first. Only the holder of the lock writes.
//! What is unknown holds.

mod drain;
mod draining;
mod instances;
mod job;
mod join;
mod policy;
mod report;
mod runner;
mod scale;
mod seen;
mod servers;
mod sources;
mod turn;
mod wake;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use weir_consul::Leadership;
use weir_nomad::policies::{Policies, Reach};
use weir_nomad::{Error, Notice, ScaleOutcome};
use weir_pools::Catalogue;
use weir_pools::intents::Intents;
use weir_scaling::Reading;

pub(crate) use draining::{Noting, Striking};
pub(crate) use job::{JobKey, Look, Plan, Room};
pub(crate) use join::{allocation, allocations};
pub(crate) use runner::{Inputs, run};
pub(crate) use scale::Asked;

use crate::journal::Record;
use crate::metric_sources::{Answer, Ledger, Question};
use crate::wake::Holder;
use job::KnownJob;
use policy::Tracked;
use servers::Servers;

/// What can happen to the scale loop.
#[derive(Debug)]
pub(crate) enum Event {
    Policies(Arc<Policies>),
    /// Why Nomad does not answer a probe, or that it does again.
    Hung(Option<String>),
    Leadership(Leadership),
    Catalogue(Arc<Catalogue>),
    /// What is wished of servers, by anybody.
    Intents(Arc<Intents>),
    /// HAProxy's processes were read.
    Sampled(Reading),
    /// A job was read.
    Looked {
        job: JobKey,
        look: Box<Result<Look, Error>>,
    },
    /// A source was asked.
    Answered {
        question: Question,
        answer: Answer,
    },
    /// Nomad answered a scale.
    Scaled {
        asked: Box<Asked>,
        result: Result<ScaleOutcome, Error>,
    },
    /// Intents are written, or why not.
    Noted {
        noting: Noting,
        result: Result<(), String>,
    },
}

/// What the outside shall do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Read a job, and whether there is room for a count.
    Look {
        job: JobKey,
        plan: Option<Plan>,
    },
    /// Ask a source.
    Ask(Question),
    /// Ask Nomad for another count.
    Scale(Box<Asked>),
    /// Show something on a job's page; nothing follows from the outcome.
    Notify(Notice),
    /// Write intents.
    Note(Noting),
    /// Take intents back; where that fails, they are seen to stand, or end by themselves.
    Strike(Striking),
    Record(Record),
}

/// All policies, and what is known for them.
#[derive(Debug)]
pub(crate) struct ScaleLoop {
    policies: BTreeMap<String, Tracked>,
    jobs: BTreeMap<JobKey, KnownJob>,
    /// How the policies' own watch reaches Nomad.
    watched: Reach,
    /// Why Nomad does not answer a probe.
    hung: Option<String>,
    /// Both together.
    reach: Reach,
    leadership: Leadership,
    leading: bool,
    /// When the leader changed, as far as this weir knows, or connections went from one load balancer to another; at
    /// first its own start.
    role_changed: Option<SystemTime>,
    /// What other sources than HAProxy answered.
    ledger: Ledger,
    addresses: join::Addresses,
    /// HAProxy's servers as they were read last.
    servers: Option<Servers>,
    intents: Arc<Intents>,
    /// What all load balancers hold of requests, as it was read last.
    holders: Vec<Holder>,
    /// When intents of an owner were taken back last.
    struck: BTreeMap<String, Instant>,
    effects: Vec<Effect>,
}

impl Default for ScaleLoop {
    fn default() -> Self {
        Self {
            policies: BTreeMap::new(),
            jobs: BTreeMap::new(),
            watched: Reach::Pending,
            hung: None,
            reach: Reach::Pending,
            leadership: Leadership::Following { holder: None },
            leading: false,
            role_changed: None,
            ledger: Ledger::default(),
            addresses: join::Addresses::new(),
            servers: None,
            intents: Arc::default(),
            holders: Vec::new(),
            struck: BTreeMap::new(),
            effects: Vec::new(),
        }
    }
}

impl ScaleLoop {
    /// Takes one event in and says what to do. `now` and `time` are one moment on two clocks.
    pub(crate) fn handle(&mut self, now: Instant, time: SystemTime, event: Event) -> Vec<Effect> {
        self.note_leadership(now, time);
        match event {
            Event::Policies(policies) => self.take_policies(time, &policies),
            Event::Hung(problem) => {
                self.hung = problem;
                self.take_reach(time);
            }
            Event::Leadership(leadership) => self.leadership = leadership,
            Event::Catalogue(catalogue) => self.take_catalogue(now, &catalogue),
            Event::Intents(intents) => self.intents = intents,
            Event::Sampled(reading) => self.sampled(now, time, &reading),
            Event::Looked { job, look } => self.looked(now, time, &job, *look),
            Event::Answered { question, answer } => self.ledger.note(time, &question, answer),
            Event::Scaled { asked, result } => self.scaled(now, time, &asked, &result),
            Event::Noted { noting, result } => self.noted(now, &noting, result),
        }
        self.note_leadership(now, time);
        std::mem::take(&mut self.effects)
    }

    /// Nomad answers where the policies' watch and the probe say so: a blocking query that hangs tells only
    /// after a minute.
    fn take_reach(&mut self, time: SystemTime) {
        let since = if let Reach::Unreachable { since, .. } = &self.reach { *since } else { time };
        let reach = match (&self.watched, &self.hung) {
            (Reach::Ok | Reach::Pending, Some(error)) => Reach::Unreachable { since, error: error.clone() },
            (watched, _) => watched.clone(),
        };
        if reach != self.reach {
            self.note_reach(&reach);
            if reach == Reach::Ok {
                self.give_up_looks();
            }
            self.reach = reach;
        }
    }

    fn note_reach(&mut self, reach: &Reach) {
        let (up, error) = match reach {
            Reach::Ok => (true, None),
            Reach::Unreachable { error, .. } => (false, Some(error.clone())),
            Reach::Pending => return,
        };
        if !matches!((&self.reach, up), (Reach::Unreachable { .. }, false)) {
            self.effects.push(Effect::Record(Record::Nomad { up, error }));
        }
    }

    /// A lease can run out without news from the lock.
    fn note_leadership(&mut self, now: Instant, time: SystemTime) {
        self.role_changed.get_or_insert(time);
        let leading = self.leads(now);
        if leading != self.leading {
            self.leading = leading;
            self.role_changed = Some(time);
            self.effects.push(Effect::Record(Record::Leader { leading }));
        }
    }

    fn leads(&self, now: Instant) -> bool {
        self.leadership.leads_at(now.into())
    }
}

#[cfg(test)]
mod tests;
