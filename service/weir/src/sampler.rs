//! Looks at HAProxy: who runs, what its servers do, how much work there is. Twice a second where a look costs little,
//! or a queue has just grown: half a second more of it is half a second more that requests are late. Else once.
//!
//! Out: what the pool loop wants to know, as an event, and the samples for the scaler. For the loop an
//! HAProxy that does not answer does not run; for the scaler only one at whose sockets nobody listens: what
//! is missing is not zero.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use weir_haproxy::{Absence, Completeness, Haproxy, Reading, SocketError, Version};
use weir_scaling::{BackendSample, Process, ServerSample, Tunnels};

use crate::chain::chain;
use crate::pool_loop::{Event, Seen, SeenServer, SeenServers};
use crate::status::HaproxyState;

/// How often HAProxy is asked at least.
const PERIOD: Duration = Duration::from_secs(1);
/// How often at most.
const SOON: Duration = Duration::from_millis(500);
/// More than it takes to hand sockets over, on a busy machine too.
const HANDED_OVER: Duration = Duration::from_millis(250);
/// What a look may take that is taken twice a second: one hundredth of the time.
const LITTLE: Duration = Duration::from_millis(5);

/// What the last turn over HAProxy's processes gave.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) at: Instant,
    /// The samples, or why there are none.
    pub(crate) reading: Result<Arc<Reading>, Absent>,
}

/// Why there are no samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Absent {
    /// HAProxy does not run.
    Stopped,
    /// It cannot be asked, for this reason; it may well run.
    Unknown(String),
}

/// Samples one HAProxy until cancelled.
pub(crate) async fn run(
    haproxy: Haproxy,
    events: mpsc::Sender<Event>,
    taken: watch::Sender<Option<Taken>>,
    cancel: CancellationToken,
) {
    let mut version = KnownVersion::default();
    let (mut since, mut tunnels) = (Since::default(), Tunnels::default());
    let (mut was_read, mut pace, mut next) = (false, Pace::default(), Instant::now());
    while cancel.run_until_cancelled(tokio::time::sleep_until(next.into())).await.is_some() {
        let begin = Instant::now();
        let reading = match look(&haproxy, pace.before.is_some()).await {
            Ok(mut reading) => {
                tunnels.fill(&mut reading.samples);
                Ok(Arc::new(reading))
            }
            Err(error) => Err((why(&haproxy, &error, was_read).await, chain(&error))),
        };
        was_read |= reading.is_ok();
        next = begin + pace.note(reading.as_ref().ok(), begin.elapsed());
        let seen = match &reading {
            Ok(reading) => seen(&haproxy, reading, version.of(&haproxy, reading).await, &mut since),
            Err((_, error)) => {
                Seen { state: Some(absent(&haproxy)), unseen: Some(error.clone()), ..Seen::default() }
            }
        };
        let reading = reading.map_err(|(absent, _)| absent);
        taken.send_replace(Some(Taken { at: Instant::now(), reading }));
        // The loop is gone only when the daemon ends.
        let _ = events.send(Event::Seen(seen)).await;
    }
}

/// One look. Where nobody listens who did before it is taken twice: during a reload sockets are handed over, and for that
/// moment nobody is to be taken for stopped.
async fn look(haproxy: &Haproxy, was_up: bool) -> Result<Reading, SocketError> {
    match weir_haproxy::sample(haproxy).await {
        Err(error) if was_up && error.nobody_listens() => {
            tokio::time::sleep(HANDED_OVER).await;
            weir_haproxy::sample(haproxy).await
        }
        taken => taken,
    }
}

/// When the next look is due.
#[derive(Default)]
struct Pace {
    before: Option<Arc<Reading>>,
}

impl Pace {
    /// Takes note of a look that took so long; how long after its begin the next one is due.
    fn note(&mut self, reading: Option<&Arc<Reading>>, took: Duration) -> Duration {
        let Some(now) = reading else {
            self.before = None;
            return PERIOD;
        };
        let pressed = self.before.replace(now.clone()).is_some_and(|before| is_pressed(&before, now));
        if pressed || took < LITTLE { SOON } else { PERIOD }
    }
}

/// Whether a queue of the process in force has grown from one look to the next.
fn is_pressed(before: &Reading, now: &Reading) -> bool {
    let (Some(before), Some(now)) = (before.current(), now.current()) else { return false };
    before.process == now.process
        && now.backends.iter().filter(|backend| backend.queue > 0).any(|backend| {
            let same = before.backends.iter().find(|before| before.name == backend.name);
            same.is_some_and(|before| backend.is_pressed(before))
        })
}

/// Why it could not be read. Where there is no socket at all it may be that others are configured than
/// HAProxy has: that is told from a stopped HAProxy by its having been read before.
async fn why(haproxy: &Haproxy, error: &SocketError, was_read: bool) -> Absent {
    match weir_haproxy::absence(haproxy).await {
        Absence::Stopped => Absent::Stopped,
        Absence::NoSocket if was_read => Absent::Stopped,
        Absence::NoSocket | Absence::CannotBeAsked => Absent::Unknown(chain(error)),
    }
}

/// The version of the process in force, asked for once per process.
#[derive(Default)]
struct KnownVersion {
    known: Option<(Process, Version)>,
}

impl KnownVersion {
    async fn of(&mut self, haproxy: &Haproxy, reading: &Reading) -> Option<Version> {
        let process = reading.current()?.process;
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

fn seen(haproxy: &Haproxy, reading: &Arc<Reading>, version: Option<Version>, since: &mut Since) -> Seen {
    let Some(sample) = reading.current() else {
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
        unseen: unseen(haproxy, &reading.completeness),
        servers: since.note(reading, Timestamp::now()),
        reading: Some(reading.clone()),
    }
}

/// Why not all of it was seen, where something is wrong with that.
fn unseen(haproxy: &Haproxy, completeness: &Completeness) -> Option<String> {
    let Completeness::OldWorkersUnknown { reason } = completeness else { return None };
    haproxy.master_socket.as_ref()?;
    let reload = if haproxy.reload_command.is_none() { ", and no reload is possible" } else { "" };
    Some(format!("old workers are not seen{reload}: {reason}"))
}

fn old_workers(reading: &Reading) -> Option<usize> {
    let leaving = reading.samples.iter().filter(|sample| sample.leaving).count();
    match &reading.completeness {
        Completeness::Complete => Some(leaving),
        Completeness::Missed { pids, .. } => Some(leaving + pids.len()),
        Completeness::OldWorkersUnknown { .. } => None,
    }
}

/// Since when each server is in its state, over reloads too.
#[derive(Default)]
struct Since {
    seen: Arc<SeenServers>,
    /// What they were seen in.
    reading: Option<Arc<Reading>>,
}

impl Since {
    /// Takes note of what is seen at `now`, and returns it with its times. A pool that is as it was before is the same in memory.
    fn note(&mut self, reading: &Arc<Reading>, now: Timestamp) -> Arc<SeenServers> {
        let before = self.reading.replace(reading.clone());
        let known = before.as_deref().map_or(&[][..], Reading::backends);
        let known = known.iter().map(Some).chain(std::iter::repeat(None));
        let pools = reading.backends().iter().zip(known).map(|(backend, known)| {
            let before = self.seen.get(&backend.name);
            let same = before.filter(|_| known.is_some_and(|known| shows_the_same(known, backend)));
            (
                backend.name.clone(),
                same.map_or_else(|| Arc::new(with_times(backend, before, now)), Arc::clone),
            )
        });
        self.seen = Arc::new(pools.collect());
        self.seen.clone()
    }
}

/// Whether the status shows the same of both.
fn shows_the_same(before: &BackendSample, now: &BackendSample) -> bool {
    let shown = |server: &ServerSample| (server.address, server.state, server.sessions, server.queue);
    let same = |(a, b): (&ServerSample, &ServerSample)| a.name == b.name && shown(a) == shown(b);
    before.name == now.name
        && before.servers.len() == now.servers.len()
        && before.servers.iter().zip(&now.servers).all(same)
}

fn with_times(
    backend: &BackendSample,
    before: Option<&Arc<BTreeMap<String, SeenServer>>>,
    now: Timestamp,
) -> BTreeMap<String, SeenServer> {
    let seen = |server: &ServerSample| {
        let key = key(server)?;
        let before = before.and_then(|servers| servers.get(&key));
        Some((key, with_time(server, before, now)))
    };
    backend.servers.iter().filter_map(seen).collect()
}

fn key(server: &ServerSample) -> Option<String> {
    let address = server.address?;
    Some(format!("{}:{}", address.ip(), address.port()))
}

fn with_time(server: &ServerSample, before: Option<&SeenServer>, now: Timestamp) -> SeenServer {
    let since = match before {
        Some(before) if before.state == server.state => before.since,
        Some(_) => Some(now),
        None => began(server, now),
    };
    let (name, state) = (server.name.clone(), server.state);
    SeenServer { name, state, sessions: server.sessions, queue: server.queue, since }
}

/// When the state of a server began that is seen for the first time, as HAProxy says.
fn began(server: &ServerSample, now: Timestamp) -> Option<Timestamp> {
    let ago = Duration::from_secs(server.unchanged_for?);
    now.checked_sub(ago).ok()
}

#[cfg(test)]
mod tests {
    use weir_scaling::{Sample, ServerState};

    use super::*;

    fn sampled(state: ServerState, unchanged_for: Option<u64>) -> Arc<Reading> {
        let server = ServerSample {
            name: "a".into(),
            address: "10.0.0.1:80".parse().ok(),
            state,
            sessions: 3,
            queue: 1,
            total: 9,
            unchanged_for,
            ..ServerSample::default()
        };
        let name = "web".to_owned();
        let backend = BackendSample {
            name,
            sessions: 3,
            queue: 1,
            requests: 9,
            servers: vec![server],
            ..BackendSample::default()
        };
        let process = Process { node: 0, pid: 1, started: 0 };
        let sample = Sample { at: UNIX_EPOCH, process, leaving: false, backends: vec![backend] };
        Arc::new(Reading { samples: vec![sample], completeness: Completeness::Complete })
    }

    #[test]
    fn old_workers_that_are_not_seen_are_said_where_they_should_be() {
        let reason = "/m: no such socket".to_owned();
        let unknown = Completeness::OldWorkersUnknown { reason };
        let without = Haproxy::default();
        let master = Haproxy { master_socket: Some("/m".into()), ..Haproxy::default() };
        let command = Haproxy { reload_command: Some("true".into()), ..master.clone() };
        let said = |haproxy| unseen(haproxy, &unknown);
        assert_eq!(said(&without), None);
        assert_eq!(
            said(&master).unwrap(),
            "old workers are not seen, and no reload is possible: /m: no such socket"
        );
        assert_eq!(said(&command).unwrap(), "old workers are not seen: /m: no such socket");
        assert_eq!(unseen(&master, &Completeness::Complete), None);
    }

    #[test]
    fn a_state_has_its_time_over_reloads_and_a_change_has_its_own() {
        let mut since = Since::default();
        let mut at = |second, state, unchanged_for| {
            let now = Timestamp::from_second(second).unwrap();
            let seen = since.note(&sampled(state, unchanged_for), now);
            let server = seen["web"]["10.0.0.1:80"].clone();
            assert_eq!((server.name.as_str(), server.sessions, server.queue), ("a", 3, 1));
            server.since.map(Timestamp::as_second)
        };
        assert_eq!(at(1000, ServerState::Up, Some(60)), Some(940));
        assert_eq!(at(1001, ServerState::Up, Some(0)), Some(940), "another worker counts anew");
        assert_eq!(
            at(1002, ServerState::Maint, Some(60)),
            Some(1002),
            "some changes move no clock of HAProxy"
        );
        assert_eq!(at(1003, ServerState::Maint, Some(61)), Some(1002));
        assert_eq!(
            Since::default().note(&sampled(ServerState::Up, None), Timestamp::now())["web"]["10.0.0.1:80"]
                .since,
            None
        );
    }

    #[test]
    fn a_pool_that_is_as_it_was_is_the_same_in_memory() {
        let mut since = Since::default();
        let mut at = |second, state| {
            since.note(&sampled(state, Some(60)), Timestamp::from_second(second).unwrap())["web"].clone()
        };
        let (first, second) = (at(1000, ServerState::Up), at(1001, ServerState::Up));
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&second, &at(1002, ServerState::Down)));
    }
}
