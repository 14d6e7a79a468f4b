//! Nomad's client: carries out what the evaluations decide, and reports back.
//!
//! Inputs: effects of the state's turns. Outputs: instances that start, register in Consul, deregister, wait for their
//! `shutdown_delay` and end; the state hears of each step. An instance whose port cannot be had counts as failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::job::{Group, registration};
use super::state::{Alloc, Effect, Now, State};
use crate::consul::ConsulStore;
use crate::fault::Switches;
use crate::instance::{Behaviour, Instance, InstanceView};
use crate::store::Store;

/// Health and deadlines are looked at this often when nothing else wakes the client.
const TURN: Duration = Duration::from_millis(50);
/// Between placing and starting a task: the client's own poll, image and driver.
const TASK_SETUP: Duration = Duration::from_millis(20);

/// Ended instances stay listed, for their counts.
#[derive(Debug)]
struct Running {
    instance: Arc<Instance>,
    kill: CancellationToken,
}

pub(crate) struct Client {
    pub(crate) store: Arc<Store<State>>,
    pub(crate) consul: Arc<ConsulStore>,
    pub(crate) faults: Arc<Switches>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) reregister: Duration,
    running: Mutex<BTreeMap<String, Running>>,
    /// Allocations that were told to stop, by ID.
    stops: Mutex<BTreeMap<String, CancellationToken>>,
    /// What the instances of a job share, by the job and how much that is.
    shared: Mutex<BTreeMap<(String, usize), Arc<Semaphore>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    pub(crate) fn new(
        store: Arc<Store<State>>,
        consul: Arc<ConsulStore>,
        faults: Arc<Switches>,
        (tasks, stop): (TaskTracker, CancellationToken),
        reregister: Duration,
    ) -> Self {
        let (running, stops, shared) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { store, consul, faults, tasks, stop, reregister, running, stops, shared }
    }

    pub(crate) fn instances(&self) -> Vec<InstanceView> {
        lock(&self.running).values().map(|running| running.instance.view()).collect()
    }

    /// Kills the instance of an allocation; false when there is none.
    pub(crate) fn kill(&self, alloc: &str) -> bool {
        let running = lock(&self.running);
        let found = running.get(alloc).filter(|running| !running.kill.is_cancelled());
        found.inspect(|running| running.kill.cancel()).is_some()
    }

    /// Turns the state and carries out what follows, until the cluster stops.
    pub(crate) async fn run(self: Arc<Self>) {
        let (mut nomad, mut consul) = (self.store.subscribe(), self.consul.subscribe());
        let mut limit = self.faults.placement_limit.subscribe();
        loop {
            nomad.borrow_and_update();
            consul.borrow_and_update();
            let room = *limit.borrow_and_update();
            let next = self.turn(room);
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                _ = nomad.changed() => {}
                _ = consul.changed() => {}
                _ = limit.changed() => {}
            }
        }
    }

    fn turn(self: &Arc<Self>, room: Option<usize>) -> Instant {
        let now = Now::get();
        let (effects, next) = self.store.write_if(|state| {
            state.placement_limit = room;
            let passing = |alloc: &Alloc| alloc.services.iter().all(|id| self.consul.is_passing(id));
            let turn = state.turn(now, passing);
            (turn.changed, (turn.effects, state.next_evaluation()))
        });
        for effect in effects {
            self.carry_out(effect);
        }
        let soon = now.instant + TURN;
        next.map_or(soon, |next| next.min(soon))
    }

    fn carry_out(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Start(id) => {
                let stop = CancellationToken::new();
                lock(&self.stops).insert(id.clone(), stop.clone());
                let life = Arc::clone(self).live(id, stop);
                self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(life));
            }
            Effect::Stop(id) => {
                if let Some(stop) = lock(&self.stops).remove(&id) {
                    stop.cancel();
                }
            }
        }
    }

    /// The whole life of one allocation.
    async fn live(self: Arc<Self>, id: String, stop: CancellationToken) {
        tokio::time::sleep(TASK_SETUP).await;
        let found = self.store.read(|state| {
            let alloc = state.allocs.get(&id)?;
            Some((alloc.clone(), state.jobs.get(&alloc.job)?.group(&alloc.group)?.clone()))
        });
        if let Some((alloc, group)) = found {
            self.run_task(&alloc, &group, &stop).await;
        }
        lock(&self.stops).remove(&id);
        self.store.write(|state| state.ended(&id, Now::get()));
    }

    async fn run_task(&self, alloc: &Alloc, group: &Group, stop: &CancellationToken) {
        let behaviour = Behaviour::from_config(&alloc.definition["Tasks"][0]["Config"]);
        let shared = behaviour.shared_slots.map(|slots| self.shared(&alloc.job, slots));
        let reserved = Instance::reserve(alloc.id.clone(), alloc.name(), behaviour, shared);
        let Ok((instance, socket)) = reserved else { return };
        let (end, kill) = (CancellationToken::new(), CancellationToken::new());
        let running = Running { instance: Arc::clone(&instance), kill: kill.clone() };
        lock(&self.running).insert(alloc.id.clone(), running);
        let port = instance.addr().port();
        self.store.write(|state| state.started(&alloc.id, port, Now::get()));
        let bodies: Vec<Value> =
            group.services.iter().map(|it| registration(&alloc.id, &group.name, it, port)).collect();
        let serving = instance.serve(socket, end.clone(), kill);
        tokio::pin!(serving);
        tokio::select! {
            // Killed: the registrations go at once.
            () = &mut serving => self.deregister(&bodies),
            () = self.stay_registered(&bodies) => {}
            () = stop.cancelled() => {
                self.deregister(&bodies);
                let delay = tokio::time::timeout(group.shutdown_delay, &mut serving).await;
                end.cancel();
                if delay.is_err() {
                    serving.await;
                }
            }
        }
    }

    fn shared(&self, job: &str, slots: usize) -> Arc<Semaphore> {
        let mut shared = lock(&self.shared);
        let one = shared.entry((job.to_owned(), slots)).or_insert_with(|| Arc::new(Semaphore::new(slots)));
        Arc::clone(one)
    }

    /// Registers, and registers again what Consul has lost. Never returns.
    async fn stay_registered(&self, bodies: &[Value]) {
        loop {
            for body in bodies {
                if !self.consul.has_service(id_of(body))
                    && let Err(text) = self.consul.register(body)
                {
                    tracing::warn!("service of a job cannot be registered: {text}");
                }
            }
            tokio::time::sleep(self.reregister).await;
        }
    }

    fn deregister(&self, bodies: &[Value]) {
        for body in bodies {
            self.consul.deregister(id_of(body));
        }
    }
}

fn id_of(body: &Value) -> &str {
    body["ID"].as_str().unwrap_or_default()
}
