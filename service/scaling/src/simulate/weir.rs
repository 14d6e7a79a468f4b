//! Weir in the model: the way from HAProxy's statistics to a decision is the daemon's own.
//!
//! In: a policy and looks. Every half a second a [`Sample`] of the pool goes through [`measure`] into the
//! [`History`], and what [`decide`] makes of it and of Nomad's state is asked for, as the scale loop does.
//! Decisions are kept where they ask for a change. No clock: the model's seconds are counted from a fixed
//! date.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use super::group;
use super::moment::{Micros, SECOND};
use super::setting::Cluster;
use super::view::{Ask, Scaler, View};
use crate::decide::decide;
use crate::decision::{Action, Direction, LastScale};
use crate::demand::{Reading, measure};
use crate::history::{History, metrics};
use crate::instances::{Instance, InstanceState};
use crate::memory::Memory;
use crate::policy::Policy;
use crate::sample::{BackendSample, Process, Sample, ServerSample, ServerState};
use crate::seen::{Deployment, Scale, Seen, Timing};

/// The model's beginning, in seconds since the epoch: a Monday at midnight, for schedules.
const BEGINNING: u64 = 1_767_571_200;
/// The pool's name.
const BACKEND: &str = "web";

/// So many changes of the count are known to Nomad (`structs.JobTrackedScalingEvents`).
const EVENTS: usize = 20;

/// Weir with one policy.
#[derive(Debug)]
pub struct Weir {
    policy: Policy,
    timing: Timing,
    history: History,
    memory: Memory,
    /// Why the last change was asked for.
    reason: String,
    /// The reasons of the changes that Nomad carried out, with their seconds.
    reasons: Vec<(u64, String)>,
}

impl Weir {
    /// Without a past. How long things take is known from the job and from what was seen before.
    pub fn new(policy: Policy, cluster: &Cluster) -> Self {
        let start = Duration::from_secs_f64(cluster.start + cluster.check);
        let block = start + Duration::from_secs_f64(cluster.min_healthy.unwrap_or(0.0));
        let history = History::new(policy.looks_back());
        let (memory, timing) = (Memory::default(), Timing { start, block });
        Self { policy, timing, history, memory, reason: String::new(), reasons: Vec::new() }
    }

    /// Why the count was changed, with the second of each change.
    pub fn reasons(&self) -> &[(u64, String)] {
        &self.reasons
    }

    fn seen(&self, view: &View<'_>) -> Seen {
        let now = time(view.now);
        let scales = scales(view);
        let last_scale = scales.last().and_then(|last| {
            Direction::between(last.from, last.to).map(|direction| LastScale { at: last.at, direction })
        });
        let raised = last_scale.filter(|last| last.direction == Direction::Up);
        let deploys = view.group.deploying(view.now).is_some();
        Seen {
            count: view.count(),
            job_modify_index: view.group.index(),
            running: view.known_to_run(),
            demand: self.history.demand(now),
            metrics: metrics(&self.policy, &self.history, now),
            last_scale,
            scales,
            memory: self.memory.clone(),
            gain: raised.and_then(|last| self.history.gain(last.at, self.timing.start, now)),
            timing: self.timing,
            instances: instances(view),
            deployment: if deploys { Deployment::Own } else { Deployment::None },
            ..Seen::default()
        }
    }
}

impl Scaler for Weir {
    fn look(&mut self, view: &View<'_>) -> Option<Ask> {
        let addresses = view.live().filter_map(|(number, _, _)| address(number)).collect();
        self.history.push(measure(&reading(view), &addresses));
        let interval = self.policy.evaluation_interval.as_secs().max(1);
        if !view.second().is_multiple_of(interval) {
            return None;
        }
        let decision = decide(&self.policy, &self.seen(view), time(view.now));
        self.memory.note(&decision, &self.policy);
        let asks = matches!(decision.action, Action::Scale | Action::Blocked);
        self.reason = decision.reason;
        asks.then_some(Ask { count: decision.to, supersede: decision.supersede })
    }

    fn looks_twice(&self) -> bool {
        self.policy.evaluation_interval <= Policy::EVALUATION_INTERVAL
    }

    fn scaled(&mut self, second: u64, _from: u64, _to: u64) {
        self.reasons.push((second, std::mem::take(&mut self.reason)));
    }
}

/// The changes that Nomad still knows, the newest last.
fn scales(view: &View<'_>) -> Vec<Scale> {
    let known = &view.steps[view.steps.len().saturating_sub(EVENTS)..];
    let at = |second: u64| time(second * SECOND);
    known.iter().map(|step| Scale { at: at(step.second), from: step.from, to: step.to }).collect()
}

/// Nomad's allocations.
fn instances(view: &View<'_>) -> Vec<Instance> {
    let state = |up| if up { InstanceState::Serving } else { InstanceState::Starting };
    let one = |(number, instance, server): (usize, &group::Instance, &super::pool::Server)| Instance {
        id: number.to_string(),
        index: instance.name,
        state: state(server.up),
        ..Instance::default()
    };
    view.live().map(one).collect()
}

fn time(at: Micros) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(BEGINNING) + Duration::from_micros(at)
}

/// Each instance has its own address: 10.0.0.0/8 has room for all.
fn address(number: usize) -> Option<SocketAddr> {
    let number = u32::try_from(number).ok()?;
    Some(SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + number), 8080)))
}

/// What the one HAProxy process shows. A stopped instance has left the catalogue and is drained.
fn reading(view: &View<'_>) -> Reading {
    let wanted: BTreeSet<usize> = view.live().map(|(number, _, _)| number).collect();
    let servers = view.group.instances().iter().enumerate().filter_map(|(number, instance)| {
        let server = view.pool.server(number);
        let leaving = !wanted.contains(&number);
        (!leaving || server.sessions > 0).then(|| {
            let state = match (leaving, server.up) {
                (true, _) => ServerState::Drain,
                (false, true) => ServerState::Up,
                (false, false) => ServerState::Down,
            };
            let unchanged = view.now.saturating_sub(instance.healthy) / SECOND;
            sample(view, number, state, unchanged)
        })
    });
    let backend = BackendSample {
        name: BACKEND.to_owned(),
        sessions: view.work(),
        queue: view.queued(),
        requests: view.pool.arrived(),
        servers: servers.collect(),
        ..BackendSample::default()
    };
    let process = Process { node: 0, pid: 1, started: BEGINNING };
    let at = time(view.now);
    Reading {
        at,
        samples: vec![Sample { at, process, leaving: false, backends: vec![backend] }],
        missing: Vec::new(),
    }
}

fn sample(view: &View<'_>, number: usize, state: ServerState, unchanged_for: u64) -> ServerSample {
    let server = view.pool.server(number);
    ServerSample {
        name: number.to_string(),
        address: address(number),
        state,
        sessions: u64::from(server.sessions),
        maxconn: Some(u64::from(view.pool.slots())),
        total: server.total,
        unchanged_for: Some(unchanged_for),
        ..ServerSample::default()
    }
}
