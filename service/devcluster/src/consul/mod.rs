//! A Consul-compatible server: catalogue, health, KV, sessions, with real blocking queries.
//!
//! Inputs: HTTP requests, and the cluster's own registrations. Outputs: the answers Consul would give
//! (`https://developer.hashicorp.com/consul/api-docs`), for the endpoints listed in [`http`].

mod catalog;
mod http;
mod kv;
mod parse;
mod probe;
mod session;
mod state;
mod view;

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use catalog::NodeDef;
pub(crate) use http::router;
use state::State;

use crate::store::Store;

/// The state with the probes that run for it.
pub(crate) struct ConsulStore {
    state: Store<State>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ConsulStore {
    pub(crate) fn new(agent: &NodeDef, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { state: Store::new(State::new(agent)), tasks, stop }
    }

    pub(crate) fn wipe(&self) {
        self.state.write(State::wipe);
    }

    /// Registers a service on the agent's node from the JSON of `/v1/agent/service/register`, and starts its probes.
    pub(crate) fn register(self: &Arc<Self>, body: &Value) -> Result<(), String> {
        let (service, checks) = parse::registration(body)?;
        let probes = self.state.write(|state| state.register_local(service, checks, Instant::now()));
        for (id, probe, run) in probes {
            if let Some(target) = probe::Target::of(probe) {
                let task = probe::run(Arc::clone(self), id, run, target);
                self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(task));
            }
        }
        Ok(())
    }

    pub(crate) fn deregister(&self, id: &str) -> bool {
        self.state.write(|state| state.deregister_local(id))
    }

    pub(crate) fn has_service(&self, id: &str) -> bool {
        self.state.read(|state| state.has_local_service(id))
    }

    pub(crate) fn is_passing(&self, id: &str) -> bool {
        self.state.read(|state| state.is_passing(id))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.state.subscribe()
    }

    /// Ends sessions and TTL checks when their time is over; runs until the cluster stops.
    pub(crate) async fn run_expiry(self: Arc<Self>) {
        let mut changes = self.subscribe();
        loop {
            changes.borrow_and_update();
            let now = Instant::now();
            let next = self.state.write_if(|state| (state.expire(now), state.next_expiry()));
            let at = next.unwrap_or(now + std::time::Duration::from_mins(1));
            let _ = tokio::time::timeout_at(at.into(), changes.changed()).await;
        }
    }
}
