//! Taking instances away: exactly those that Nomad will stop are drained first, and only then it is asked to.
//!
//! In: what each look at the policy shows ([`Sight`]), and what came of the steps. Out: [`Step`]s. Pure and
//! synchronous. It ends when what Nomad stopped has left Consul, or earlier: where more is needed again,
//! where Nomad would stop others, where intents cannot be written, or where nothing comes of it in time.
//! Whatever happens, at most one scale is on its way, and intents that nobody's drain needs any more are
//! taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use weir_scaling::{Instance, InstanceState, victims};

use super::wake::Holding;

/// How long after the deadline for sessions Nomad may still refuse, before it all begins anew.
const LATE: Duration = Duration::from_secs(30);
/// How long the load balancers may take until they hold requests.
const PREPARING: Duration = Duration::from_secs(10);
/// How long an instance that Nomad was told to stop may still be listed.
const STOPPING: Duration = Duration::from_secs(20);

/// How long an intent lasts by itself, for a wait of `patience`: also where nobody is left to take it back.
pub(super) fn lasting(patience: Duration) -> Duration {
    patience + LATE + STOPPING
}

/// A server in a backend, by their names in HAProxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Server {
    pub(crate) backend: String,
    pub(crate) name: String,
}

/// What an instance still has to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Sessions and requests that wait for it, in all processes that answered.
    pub(super) sessions: u64,
    /// Whether a process would still give it new ones.
    pub(super) takes_more: bool,
    /// Whether a process did not answer.
    pub(super) unknown: bool,
}

impl Left {
    fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// What one look at the policy shows.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) now: Instant,
    /// The count that Nomad has.
    pub(super) count: u64,
    /// The count that is wanted; not less than `count` where nothing is to be taken away.
    pub(super) wanted: u64,
    /// Whether Nomad may be asked for it.
    pub(super) may_ask: bool,
    /// Whether the job was read a moment ago.
    pub(super) fresh: bool,
    /// Whether a deployment runs that somebody else started.
    pub(super) foreign: bool,
    /// The group's allocations.
    pub(super) instances: Vec<Instance>,
    /// The servers that each of them has.
    pub(super) servers: BTreeMap<String, BTreeSet<Server>>,
    /// What each of them still has to do.
    pub(super) left: BTreeMap<String, Left>,
    /// Those that Consul lists.
    pub(super) registered: BTreeSet<String>,
    /// The drained servers that HAProxy still has.
    pub(super) standing: BTreeSet<Server>,
    /// How far the load balancers are with holding what the drained servers get; matters on the way to zero.
    pub(super) holding: Holding,
}

impl Sight {
    fn victims(&self, count: u64) -> BTreeSet<String> {
        victims(&self.instances, count).into_iter().map(|one| one.id.clone()).collect()
    }

    fn is_live(&self, id: &str) -> bool {
        let live = |one: &&Instance| !matches!(one.state, InstanceState::Ending);
        self.instances.iter().filter(live).any(|one| one.id == id)
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Write intents for these.
    Note(BTreeSet<Server>),
    /// Take those of these back.
    Strike(BTreeSet<Server>),
    /// Read the job.
    Look,
    /// Ask Nomad for this count.
    Scale(u64),
    /// It is over.
    End(End),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// What was drained was stopped.
    Stopped,
    /// Nomad took the count, and stopped others than these, which were drained.
    Spared(Vec<String>),
    /// It was given up, and why.
    Withdrawn(String),
    /// It was given up because requests would not be held meanwhile; and why.
    Unheld(String),
}

/// Instances on their way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drain {
    /// The count that will be asked for; it may rise while it is waited, and does not fall.
    pub(super) target: u64,
    pub(super) victims: BTreeMap<String, Victim>,
    pub(super) stage: Stage,
    /// How long sessions are waited for.
    pub(super) patience: Duration,
    /// How long they are drained at least: the last part of the window that a decrease looks back.
    pub(super) tries: Duration,
    pub(super) began: Instant,
    /// How long it took until no session was left.
    pub(super) emptied: Option<Duration>,
}

/// An instance on its way out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Victim {
    /// The number in its name.
    pub(super) index: u64,
    pub(super) servers: BTreeSet<Server>,
    pub(super) left: Left,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// On the way to zero: the load balancers prepare to hold what comes meanwhile.
    Preparing { since: Instant },
    /// Intents are being written.
    Noting,
    /// Sessions are waited for, until then at most.
    Waiting { deadline: Instant },
    /// Nomad was asked.
    Asked { deadline: Instant },
    /// Nomad took it; since then what it stops is waited for.
    Stopping { since: Instant },
}

impl Drain {
    /// Begins to take away what a decrease to `sight.wanted` will stop. The job was read a moment ago.
    pub(super) fn begin(sight: &Sight, patience: Duration, tries: Duration) -> (Self, Vec<Step>) {
        let doomed = sight.victims(sight.wanted);
        let of = |one: &Instance| Victim {
            index: one.index,
            servers: sight.servers.get(&one.id).cloned().unwrap_or_default(),
            left: sight.left.get(&one.id).copied().unwrap_or_default(),
        };
        let doomed = sight.instances.iter().filter(|one| doomed.contains(&one.id));
        let victims: BTreeMap<String, Victim> = doomed.map(|one| (one.id.clone(), of(one))).collect();
        let (stage, began) = (Stage::Noting, sight.now);
        let mut drain = Self { target: sight.wanted, victims, stage, patience, tries, began, emptied: None };
        if drain.target == 0 {
            drain.stage = Stage::Preparing { since: sight.now };
            return (drain, Vec::new());
        }
        let servers = drain.servers();
        if servers.is_empty() {
            // None of them has a server yet: there is nothing to write.
            drain.stage = Stage::Waiting { deadline: sight.now + patience };
            let steps = drain.turn(sight);
            return (drain, steps);
        }
        (drain, vec![Step::Note(servers)])
    }

    /// The servers that are drained for it.
    pub(super) fn servers(&self) -> BTreeSet<Server> {
        self.victims.values().flat_map(|victim| victim.servers.iter().cloned()).collect()
    }

    /// The intents are written, or not.
    pub(super) fn noted(&mut self, now: Instant, result: Result<(), String>) -> Vec<Step> {
        match (self.stage, result) {
            (Stage::Noting, Ok(())) => {
                self.stage = Stage::Waiting { deadline: now + self.patience };
                Vec::new()
            }
            (Stage::Noting | Stage::Waiting { .. }, Err(why)) => self.withdraw(why),
            _ => Vec::new(),
        }
    }

    /// Nomad took the count, or not: then it is asked again while there is time.
    pub(super) fn scaled(&mut self, now: Instant, taken: bool) {
        if let Stage::Asked { deadline } = self.stage {
            self.stage = if taken { Stage::Stopping { since: now } } else { Stage::Waiting { deadline } };
        }
    }

    /// One look.
    pub(super) fn turn(&mut self, sight: &Sight) -> Vec<Step> {
        for (id, victim) in &mut self.victims {
            victim.left = sight.left.get(id).copied().unwrap_or_default();
        }
        match self.stage {
            Stage::Preparing { since } => self.prepare(sight, since),
            Stage::Noting => self.stand_or_yield(sight),
            Stage::Waiting { .. } if sight.count <= self.target => {
                // Somebody set it, or an answer was lost on its way.
                self.stage = Stage::Stopping { since: sight.now };
                Vec::new()
            }
            Stage::Waiting { deadline } => self.wait(sight, deadline),
            Stage::Asked { .. } => Vec::new(),
            Stage::Stopping { since } => self.see_stopped(sight, since),
        }
    }

    /// Nothing is drained before what it would get is held, wherever it may come from.
    fn prepare(&mut self, sight: &Sight, since: Instant) -> Vec<Step> {
        let known = self.servers();
        let mut steps = self.stand_or_yield(sight);
        if steps.iter().any(|step| matches!(step, Step::End(_))) {
            return steps;
        }
        steps.clear();
        match self.held(sight, &known) {
            Holding::InForce => {
                self.stage = Stage::Noting;
                steps.push(Step::Note(self.servers()));
            }
            Holding::Coming(why) if sight.now >= since + PREPARING => {
                steps.push(Step::End(End::Unheld(format!("after {PREPARING:?} {why}"))));
            }
            Holding::Coming(_) | Holding::Unfit(_) => {}
        }
        steps
    }

    /// How far it is with holding what the instances get, whose servers were `known` when that was asked.
    fn held(&self, sight: &Sight, known: &BTreeSet<Server>) -> Holding {
        if known.is_empty() || *known != self.servers() {
            Holding::Coming("it is not known in which pools of HAProxy its instances are".to_owned())
        } else if self.target == 0 {
            sight.holding.clone()
        } else {
            Holding::InForce
        }
    }

    fn wait(&mut self, sight: &Sight, deadline: Instant) -> Vec<Step> {
        if sight.now >= deadline + LATE {
            return self.withdraw("Nomad could not be asked for it in time".to_owned());
        }
        let mut steps = self.stand_or_yield(sight);
        let ended = steps.iter().any(|step| matches!(step, Step::End(_)));
        let empty = self.victims.values().all(|victim| victim.left.is_nothing());
        let age = sight.now.saturating_duration_since(self.began);
        if empty {
            self.emptied.get_or_insert(age);
        }
        let agreed = sight.may_ask && sight.wanted <= self.target && age >= self.tries;
        if ended || !agreed || !(empty || sight.now >= deadline) {
            return steps;
        }
        if sight.fresh {
            self.stage = Stage::Asked { deadline };
            steps.push(Step::Scale(self.target));
        } else {
            steps.push(Step::Look);
        }
        steps
    }

    /// Why requests would not be held at zero: also where a load balancer came that cannot.
    fn unheld(&self, sight: &Sight) -> Option<String> {
        match &sight.holding {
            Holding::Unfit(why) if self.target == 0 => Some(why.clone()),
            _ => None,
        }
    }

    /// Checks that it is still wanted, and that Nomad would still stop those that are drained.
    fn stand_or_yield(&mut self, sight: &Sight) -> Vec<Step> {
        let mut steps = self.follow(sight);
        if sight.wanted >= sight.count {
            return self.withdraw("they are needed again".to_owned());
        }
        if let Some(why) = self.unheld(sight) {
            return vec![Step::Strike(self.servers()), Step::End(End::Unheld(why))];
        }
        if sight.foreign {
            return self.withdraw("somebody else deploys the job".to_owned());
        }
        self.target = self.target.max(sight.wanted);
        let doomed = sight.victims(self.target);
        if !doomed.iter().all(|id| self.victims.contains_key(id)) {
            return self.withdraw("Nomad would stop other instances now".to_owned());
        }
        let spared: Vec<String> = self.victims.keys().filter(|id| !doomed.contains(*id)).cloned().collect();
        let spared = spared.iter().filter_map(|id| self.victims.remove(id));
        let servers: BTreeSet<Server> = spared.flat_map(|victim| victim.servers).collect();
        steps.extend(Some(servers).filter(|servers| !servers.is_empty()).map(Step::Strike));
        steps
    }

    /// A young instance may get its servers only now.
    fn follow(&mut self, sight: &Sight) -> Vec<Step> {
        let mut new = BTreeSet::new();
        for (id, victim) in &mut self.victims {
            let servers = sight.servers.get(id).into_iter().flatten();
            new.extend(servers.filter(|server| victim.servers.insert((*server).clone())).cloned());
        }
        if new.is_empty() { Vec::new() } else { vec![Step::Note(new)] }
    }

    /// The intents stay until Consul no longer lists those that are stopped: until then new sessions would
    /// come.
    fn see_stopped(&mut self, sight: &Sight, since: Instant) -> Vec<Step> {
        let here = |id: &&String| sight.is_live(id) || sight.registered.contains(*id);
        let still: Vec<String> = self.victims.keys().filter(here).cloned().collect();
        let is_over = sight.now >= since + STOPPING;
        // At zero there is no other server that would get what the last one is given for a moment.
        let is_last = self.target == 0 && !sight.standing.is_disjoint(&self.servers());
        if (!still.is_empty() || is_last) && !is_over {
            return Vec::new();
        }
        let spared: Vec<String> = still.into_iter().filter(|id| sight.is_live(id)).collect();
        let end = if spared.is_empty() { End::Stopped } else { End::Spared(spared) };
        vec![Step::Strike(self.servers()), Step::End(end)]
    }

    fn withdraw(&mut self, why: String) -> Vec<Step> {
        vec![Step::Strike(self.servers()), Step::End(End::Withdrawn(why))]
    }
}

#[cfg(test)]
mod tests;
