//! A model of Nomad, Consul's intents and HAProxy around the loop, in which accidents happen.
//!
//! Nomad takes one scale for each reading of the job, and none for what was not drained: else the test fails
//! there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use weir_consul::Leadership;
use weir_nomad::policies::{Policies, Reach};
use weir_nomad::{Allocation, Error, GroupScale, Job, JobScale, ScaleEvent, ScaleOutcome};
use weir_pools::intents::{Intent, Intents};
use weir_pools::{Answer, Catalogue, Instance, Query, Status, Weights};
use weir_scaling::{BackendSample, Process, RawPolicy, Reading, Sample, ServerSample, ServerState};

use crate::journal::{DrainResult, Record};
use crate::scale_loop::draining::Server;
use crate::scale_loop::{Asked, Effect, Event, Look, Noting, Room, ScaleLoop};

const SECOND: Duration = Duration::from_secs(1);
/// The policy's.
const PATIENCE: Duration = Duration::from_secs(8);
const SLOTS: u64 = 5;

/// An allocation with its server.
#[derive(Debug, Clone)]
pub(super) struct Alloc {
    index: u64,
    id: String,
    port: u16,
    sessions: u64,
    /// Seconds since Nomad was told to stop it.
    stopped: Option<u64>,
    /// Since when it has been drained.
    drained: Option<Instant>,
    /// HAProxy has given it sessions.
    served: bool,
}

/// What happens in one second.
#[derive(Debug, Clone, Copy)]
pub(super) enum Accident {
    /// The leader ends, and another one begins, which finds what the first one did in Consul and in Nomad. So
    /// many of its effects are carried out.
    Crash(usize),
    /// Consul does not take intents.
    NoIntents,
    /// Nomad takes a scale, and the answer is lost.
    Lost,
    /// Nomad refuses.
    Refused,
    /// So many sessions come from now on.
    Load(u64),
    /// Sessions do not end.
    Long,
    /// A person sets the count.
    Person(u64),
    /// An instance with this index crashes, and is replaced.
    Replaced(u64),
}

pub(super) struct Model {
    pub(super) scale_loop: ScaleLoop,
    now: Instant,
    pub(super) time: SystemTime,
    index: u64,
    allocs: Vec<Alloc>,
    born: u64,
    pub(super) load: u64,
    pub(super) kv: Intents,
    /// Nomad's scaling events.
    events: Vec<ScaleEvent>,
    accident: Option<Accident>,
    /// The fence of each scale that Nomad took from weir.
    pub(super) taken: Vec<u64>,
    records: Vec<Record>,
}

impl Model {
    pub(super) fn new(count: u64) -> Self {
        let mut model = Self {
            scale_loop: ScaleLoop::default(),
            now: Instant::now(),
            time: SystemTime::now(),
            index: 40,
            allocs: Vec::new(),
            born: 0,
            load: 4 * count - 1,
            kv: Intents::default(),
            events: Vec::new(),
            accident: None,
            taken: Vec::new(),
            records: Vec::new(),
        };
        model.set_count(count);
        model.start();
        model
    }

    /// A weir begins, and leads.
    pub(super) fn start(&mut self) {
        self.scale_loop = ScaleLoop::default();
        let policy = json!({
            "cooldown": "10s", "drain": "8s",
            "check": [{"load": [{"strategy": [{"concurrency": [{}]}]}]}],
        });
        let raw = RawPolicy {
            id: "p".into(),
            namespace: "default".into(),
            job: "web".into(),
            group: "app".into(),
            min: 2,
            max: 8,
            enabled: true,
            modify_index: 7,
            policy,
        };
        let policies = BTreeMap::from([("p".into(), raw)]);
        self.event(Event::Policies(Arc::new(Policies { reach: Reach::Ok, policies })));
        let until = (self.now + Duration::from_hours(9)).into();
        self.event(Event::Leadership(Leadership::Leading { session: "s".into(), until }));
        self.tell();
    }

    /// Consul tells what it has.
    fn tell(&mut self) {
        self.event(Event::Intents(Arc::new(self.kv.in_force(self.time))));
        self.event(Event::Catalogue(Arc::new(self.catalogue())));
    }

    pub(super) fn second(&mut self, accident: Option<Accident>) {
        self.now += SECOND;
        self.time += SECOND;
        self.accident = accident;
        self.nomad();
        self.haproxy();
        self.tell();
        self.event(Event::Sampled(self.reading()));
        if let Some(Accident::Crash(_)) = accident {
            self.accident = None;
            self.start();
        }
    }

    pub(super) fn seconds(&mut self, seconds: usize) {
        (0..seconds).for_each(|_| self.second(None));
    }

    /// The client stops what it was told to; accidents happen.
    fn nomad(&mut self) {
        for alloc in &mut self.allocs {
            alloc.stopped = alloc.stopped.map(|seconds| seconds + 1);
        }
        self.allocs.retain(|alloc| alloc.stopped.is_none_or(|seconds| seconds < 4));
        match self.accident {
            Some(Accident::Load(load)) => self.load = load,
            Some(Accident::Person(count)) => self.set_count(count),
            Some(Accident::Replaced(index)) => {
                self.allocs.retain(|alloc| alloc.index != index || alloc.stopped.is_some());
                self.set_count(self.count());
            }
            _ => {}
        }
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Alloc> {
        self.allocs.iter().filter(|alloc| alloc.stopped.is_none())
    }

    /// The count, which Nomad keeps also while an instance is replaced.
    fn count(&self) -> u64 {
        self.scale_loop
            .jobs
            .values()
            .find_map(|job| job.look.as_ref())
            .map_or(0, |look| look.job.groups["app"])
    }

    fn set_count(&mut self, count: u64) {
        self.index += 1;
        let mut live: Vec<&mut Alloc> =
            self.allocs.iter_mut().filter(|alloc| alloc.stopped.is_none()).collect();
        live.sort_by_key(|alloc| alloc.index);
        live.into_iter().skip(usize::try_from(count).unwrap()).for_each(|alloc| alloc.stopped = Some(0));
        for index in 0..count {
            if self.live().any(|alloc| alloc.index == index) {
                continue;
            }
            self.born += 1;
            let (id, port) = (
                format!("00000000-0000-0000-0000-{:012}", self.born),
                1000 + u16::try_from(self.born).unwrap(),
            );
            self.allocs.push(Alloc {
                index,
                id,
                port,
                sessions: 0,
                stopped: None,
                drained: None,
                served: false,
            });
        }
        self.allocs.sort_by_key(|alloc| alloc.port);
    }

    /// HAProxy follows the intents, and spreads the load.
    fn haproxy(&mut self) {
        let kv = self.kv.in_force(self.time);
        let (now, long) = (self.now, matches!(self.accident, Some(Accident::Long)));
        for alloc in &mut self.allocs {
            let is_drained = kv.strongest("web", &name(alloc.port)).is_some();
            alloc.drained = is_drained.then(|| alloc.drained.unwrap_or(now));
            if is_drained || alloc.stopped.is_some() {
                alloc.sessions = if long { alloc.sessions } else { alloc.sessions.saturating_sub(2) };
            }
        }
        let mut open: Vec<&mut Alloc> = self
            .allocs
            .iter_mut()
            .filter(|alloc| alloc.drained.is_none() && alloc.stopped.is_none())
            .collect();
        let (share, rest) = (self.load / open.len().max(1) as u64, self.load % open.len().max(1) as u64);
        for (at, alloc) in open.iter_mut().enumerate() {
            alloc.sessions = (share + u64::from((at as u64) < rest)).min(SLOTS);
            alloc.served = true;
        }
    }

    fn reading(&self) -> Reading {
        let server = |alloc: &Alloc| ServerSample {
            name: name(alloc.port),
            address: Some(([127, 0, 0, 1], alloc.port).into()),
            state: if alloc.drained.is_some() { ServerState::Drain } else { ServerState::Up },
            sessions: alloc.sessions,
            maxconn: Some(SLOTS),
            ..ServerSample::default()
        };
        let listed = self.allocs.iter().filter(|alloc| is_listed(alloc));
        let servers: Vec<ServerSample> = listed.map(server).collect();
        let served: u64 = servers.iter().map(|server| server.sessions).sum();
        let sessions = served.max(self.load);
        let queue = sessions - served;
        let backend =
            BackendSample { name: "web".into(), sessions, queue, servers, ..BackendSample::default() };
        let process = Process { node: 0, pid: 1, started: 1 };
        let sample = Sample { at: self.time, process, leaving: false, backends: vec![backend] };
        Reading { at: self.time, samples: vec![sample], missing: Vec::new() }
    }

    fn catalogue(&self) -> Catalogue {
        let instance = |alloc: &Alloc| Instance {
            id: format!("_nomad-task-{}-group-app-web-http", alloc.id),
            name: "web".into(),
            address: "127.0.0.1".into(),
            port: alloc.port,
            tags: vec![],
            service_meta: BTreeMap::new(),
            service_tagged_addresses: BTreeMap::new(),
            weights: Weights::default(),
            node: "n1".into(),
            node_id: String::new(),
            node_address: "127.0.0.1".into(),
            node_meta: BTreeMap::new(),
            node_tagged_addresses: BTreeMap::new(),
            datacenter: "dc1".into(),
            status: Status::Passing,
            checks: vec![],
        };
        let listed = self.allocs.iter().filter(|alloc| is_listed(alloc));
        let instances: Vec<Instance> = listed.map(instance).collect();
        let query = Query::Service { name: "web".into(), datacenter: None };
        Catalogue::from_iter([(query, Answer::Instances(instances.into()))])
    }

    fn look(&self) -> Look {
        let allocation = |alloc: &Alloc| Allocation {
            id: alloc.id.clone(),
            name: format!("web.app[{}]", alloc.index),
            index: Some(alloc.index),
            namespace: "default".into(),
            job: "web".into(),
            group: "app".into(),
            client_status: "running".into(),
            desired_status: if alloc.stopped.is_some() { "stop" } else { "run" }.into(),
            create_time: self.time,
            deployment_healthy: None,
            canary: false,
            migrating: false,
        };
        let count = self.live().count() as u64;
        let group = GroupScale { desired: count, placed: count, running: count, events: self.events.clone() };
        Look {
            job: Job {
                id: "web".into(),
                job_modify_index: self.index,
                status: "running".into(),
                stop: false,
                kind: "service".into(),
                groups: BTreeMap::from([("app".into(), count)]),
                settles: BTreeMap::new(),
            },
            scale: JobScale { stopped: false, groups: BTreeMap::from([("app".into(), group)]) },
            allocations: self.allocs.iter().map(allocation).collect(),
            deployment: None,
            room: None,
        }
    }

    /// Hands an event to the loop, and carries out what it asks for.
    fn event(&mut self, event: Event) {
        let mut events = vec![event];
        let mut left = if let Some(Accident::Crash(effects)) = self.accident { effects } else { usize::MAX };
        while let Some(event) = events.pop() {
            for effect in self.scale_loop.handle(self.now, self.time, event) {
                if left == 0 {
                    return;
                }
                left -= 1;
                events.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Vec<Event> {
        match effect {
            Effect::Look { job, plan } => {
                let room = plan.map(|plan| Room { finds: plan.count, plan });
                vec![Event::Looked { job, look: Box::new(Ok(Look { room, ..self.look() })) }]
            }
            Effect::Scale(asked) => vec![self.scale(asked)],
            Effect::Note(noting) => self.write(noting),
            Effect::Strike(striking) => {
                let mut kv = Intents::default();
                for (backend, server, intent) in self.kv.iter() {
                    let at = Server { backend: backend.to_owned(), name: server.to_owned() };
                    if intent.owner != striking.owner || !striking.servers.contains(&at) {
                        kv.insert(backend, server, intent.clone());
                    }
                }
                self.kv = kv;
                vec![Event::Intents(Arc::new(self.kv.clone()))]
            }
            Effect::Record(record) => {
                self.records.push(record);
                Vec::new()
            }
            Effect::Notify(_) | Effect::Ask(_) => Vec::new(),
        }
    }

    fn write(&mut self, noting: Noting) -> Vec<Event> {
        if matches!(self.accident, Some(Accident::NoIntents)) {
            return vec![Event::Noted { noting, result: Err("Consul is away".into()) }];
        }
        for server in &noting.servers {
            let intent = Intent {
                wish: noting.wish,
                reason: noting.reason.clone(),
                owner: noting.owner.clone(),
                since: self.time,
                until: noting.lasting.map(|lasting| self.time + lasting),
            };
            self.kv.insert(&server.backend, &server.name, intent);
        }
        let told = Event::Intents(Arc::new(self.kv.clone()));
        vec![Event::Noted { noting, result: Ok(()) }, told]
    }

    fn scale(&mut self, asked: Box<Asked>) -> Event {
        let fence = asked.request.job_modify_index;
        let what = || "web".to_owned();
        let result = match self.accident {
            Some(Accident::Refused) => Err(Error::DeploymentActive { what: what() }),
            _ if fence != self.index => {
                Err(Error::IndexConflict { what: what(), expected: fence, found: self.index })
            }
            accident => {
                self.take(asked.request.count, fence);
                let lost = matches!(accident, Some(Accident::Lost));
                let outcome = ScaleOutcome {
                    eval_id: String::new(),
                    job_modify_index: self.index,
                    warnings: String::new(),
                };
                if lost { Err(Error::NotSent { reason: "lost".into() }) } else { Ok(outcome) }
            }
        };
        Event::Scaled { asked, result }
    }

    /// Nomad takes a count: what it stops must have been drained, until it was idle or for as long as the
    /// policy says.
    fn take(&mut self, count: u64, fence: u64) {
        assert!((2..=8).contains(&count), "scaled to {count}");
        assert!(!self.taken.contains(&fence), "two scales from one reading");
        self.taken.push(fence);
        self.events.push(ScaleEvent {
            at: self.time,
            count: Some(count),
            previous: self.live().count() as u64,
            error: false,
            message: String::new(),
            meta: BTreeMap::new(),
        });
        let before: BTreeSet<String> = self.live().map(|alloc| alloc.id.clone()).collect();
        self.set_count(count);
        let stopped =
            self.allocs.iter().filter(|alloc| alloc.stopped == Some(0) && before.contains(&alloc.id));
        let stopped = stopped.filter(|alloc| alloc.served);
        for alloc in stopped {
            let since = alloc.drained.unwrap_or_else(|| panic!("{alloc:?} was stopped without a drain"));
            let waited = self.now - since >= PATIENCE.saturating_sub(SECOND);
            assert!(alloc.sessions == 0 || waited, "{alloc:?} was stopped with sessions");
        }
    }

    pub(super) fn results(&self) -> Vec<DrainResult> {
        let result = |record: &Record| match record {
            Record::DrainEnded { result, .. } => Some(*result),
            _ => None,
        };
        self.records.iter().filter_map(result).collect()
    }
}

fn name(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// A stopped one leaves Consul within the next second.
fn is_listed(alloc: &Alloc) -> bool {
    alloc.stopped.is_none_or(|seconds| seconds < 1)
}
