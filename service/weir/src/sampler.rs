//! Looks at HAProxy once a second: who runs, what its servers do, how much work there is.
//!
//! Out: what the pool loop wants to know, as an event, and the samples for the scaler. An HAProxy that does not answer
//! is said to not run; what is missing is never taken for zero.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use weir_haproxy::{Completeness, Haproxy, Reading, Version};
use weir_scaling::{BackendSample, Process, Sample};

use crate::chain::chain;
use crate::pool_loop::{Event, Seen};
use crate::status::HaproxyState;

/// How often HAProxy is asked.
const PERIOD: Duration = Duration::from_secs(1);

/// What the last turn over HAProxy's processes gave.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) at: SystemTime,
    /// The samples, or why there are none.
    pub(crate) reading: Result<Arc<Reading>, String>,
}

/// Samples one HAProxy until cancelled.
pub(crate) async fn run(
    haproxy: Haproxy,
    events: mpsc::Sender<Event>,
    taken: watch::Sender<Option<Taken>>,
    cancel: CancellationToken,
) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut version = KnownVersion::default();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let reading = weir_haproxy::sample(&haproxy).await.map_err(|error| chain(&error));
        let seen = match &reading {
            Ok(reading) => seen(reading, version.of(&haproxy, reading).await),
            Err(_) => Seen { state: Some(absent(&haproxy)), ..Seen::default() },
        };
        taken.send_replace(Some(Taken { at: SystemTime::now(), reading: reading.map(Arc::new) }));
        // The loop is gone only when the daemon ends.
        let _ = events.send(Event::Seen(seen)).await;
    }
}

/// The version of the process in force, asked for once per process.
#[derive(Default)]
struct KnownVersion {
    known: Option<(Process, Version)>,
}

impl KnownVersion {
    async fn of(&mut self, haproxy: &Haproxy, reading: &Reading) -> Option<Version> {
        let process = current(reading)?.process;
        if self.known.as_ref().is_none_or(|(known, _)| *known != process) {
            let info = match (haproxy.stats(), haproxy.master()) {
                (Some(stats), _) => stats.show_info().await.ok()?,
                (None, Some(master)) => master.worker_info(process.pid).await.ok()?,
                (None, None) => return None,
            };
            self.known = Some((process, info.version));
        }
        self.known.as_ref().map(|(_, version)| version.clone())
    }
}

fn absent(haproxy: &Haproxy) -> HaproxyState {
    let asked = haproxy.stats_socket.is_some() || haproxy.master_socket.is_some();
    if asked { HaproxyState::NotRunning } else { HaproxyState::Unknown }
}

fn current(reading: &Reading) -> Option<&Sample> {
    reading.samples.iter().find(|sample| !sample.leaving)
}

fn seen(reading: &Reading, version: Option<Version>) -> Seen {
    let Some(sample) = current(reading) else {
        let state = if reading.samples.is_empty() { HaproxyState::Unknown } else { HaproxyState::NotRunning };
        return Seen { state: Some(state), ..Seen::default() };
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Seen {
        state: Some(HaproxyState::Running),
        pid: Some(sample.process.pid),
        started: Some(sample.process.started),
        uptime: Duration::from_secs(now.saturating_sub(sample.process.started)),
        tells_start: version.as_ref().is_some_and(|version| version.at_least(2, 5)),
        forgets_young: version.as_ref().is_some_and(|version| !version.at_least(3, 0)),
        version: version.map(|version| version.to_string()),
        old_workers: old_workers(reading),
        servers: sample.backends.iter().map(servers).collect(),
        sample: sample.backends.clone().into(),
    }
}

fn old_workers(reading: &Reading) -> Option<usize> {
    let leaving = reading.samples.iter().filter(|sample| sample.leaving).count();
    match &reading.completeness {
        Completeness::Complete => Some(leaving),
        Completeness::Missed { pids, .. } => Some(leaving + pids.len()),
        Completeness::OldWorkersUnknown { .. } => None,
    }
}

type SeenPool = (String, std::collections::BTreeMap<String, (weir_scaling::ServerState, u64)>);

fn servers(backend: &BackendSample) -> SeenPool {
    let servers = backend.servers.iter().filter_map(|server| {
        let address = server.address?;
        Some((format!("{}:{}", address.ip(), address.port()), (server.state, server.sessions)))
    });
    (backend.name.clone(), servers.collect())
}
