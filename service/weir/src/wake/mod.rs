//! Holds the first requests of groups at zero, until an instance serves.
//!
//! In: for which backends that is wished (intents), how it stands with each in HAProxy and who serves there (the pool
//! loops). Out: a [`Gate`] for each backend, of which the loops are told so that HAProxy sends there what nobody else
//! takes; and what is held, for the scaler, the status and the metrics. Where a port cannot be had it is tried again.
//!
//! Each backend has a port of its own: a connection then tells by where it came what it is for, and nothing of it has to
//! be read. The ports are free ones, since HAProxy learns of them at run time, and of others after a restart.
//!
//! | module | its idea |
//! |---|---|
//! | `gate` | one backend's port |
//! | `doors` | who takes what is held, and how many at once |
//! | `hold` | one connection, from its coming to its end |
//! | `tally` | what is counted of them |
//! | `said` | what load balancers tell one another |

mod doors;
mod gate;
mod hold;
mod said;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use weir_pools::intents::{Intents, Wish};
use weir_pools::plan::{WAKE, WakeState};

pub(crate) use said::{Holder, Holds, Said};

use crate::config;
use crate::intents::Known;
use crate::journal::{Journal, Record};
use crate::parts::Parts;
use crate::pool_loop::{Event, Handle, Hold, Report};
use crate::status::WakeStatus;
use gate::{Bounds, Gate};
use tally::Tally;

/// How soon a port that could not be had is tried for again.
const AGAIN: Duration = Duration::from_secs(1);
/// More than any process can have open.
const MOST: usize = 1_000_000;

/// What is held; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Wake {
    ledger: Ledger,
    reports: Arc<BTreeMap<String, watch::Receiver<Report>>>,
}

/// Every gate that there is or was, by HAProxy and backend.
type Ledger = Arc<Mutex<BTreeMap<(String, String), Entry>>>;

#[derive(Debug, Clone, Default)]
struct Entry {
    /// Where it listens; nothing once it is closed.
    address: Option<SocketAddr>,
    tally: Arc<Tally>,
}

/// Begins to hold what is wished, for every HAProxy.
pub(crate) fn start(
    config: &config::Wake,
    intents: &watch::Receiver<Arc<Known>>,
    handles: &[Handle],
    journal: &Journal,
    parts: &Parts,
) -> Wake {
    let bounds = Bounds {
        address: config.address,
        deadline: config.deadline,
        places: Arc::new(Semaphore::new(config.max_connections.min(MOST))),
    };
    let ledger = Ledger::default();
    for handle in handles {
        let keeper = Keeper {
            haproxy: handle.name.clone(),
            bounds: bounds.clone(),
            gates: BTreeMap::new(),
            told: BTreeMap::new(),
            ledger: ledger.clone(),
            journal: journal.clone(),
            cancel: parts.cancel.clone(),
        };
        let keeping = keeper.run(intents.clone(), handle.report.clone(), handle.events.clone());
        parts.spawn_cancelled(format!("the holding of requests {}", handle.name).trim_end(), keeping);
    }
    let reports = handles.iter().map(|handle| (handle.name.clone(), handle.report.clone()));
    Wake { ledger, reports: Arc::new(reports.collect()) }
}

impl Wake {
    /// What is held for one HAProxy, by backend.
    pub(crate) fn said(&self, haproxy: &str) -> Holds {
        let Some(report) = self.reports.get(haproxy) else { return Holds::new() };
        let states = report.borrow().holds.clone();
        let said = |(backend, hold): (String, Hold)| {
            let waiting =
                self.entry(haproxy, &backend).map_or(0, |entry| entry.tally.waiting(Instant::now()));
            (backend, Said { waiting, state: hold.state })
        };
        states.into_iter().map(said).collect()
    }

    /// Every gate, as the status shows it.
    pub(crate) fn status(&self) -> Vec<WakeStatus> {
        let entries = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone();
        entries
            .into_iter()
            .map(|((haproxy, backend), entry)| self.one_status(haproxy, backend, &entry))
            .collect()
    }

    fn one_status(&self, haproxy: String, backend: String, entry: &Entry) -> WakeStatus {
        let state = self.reports.get(&haproxy).and_then(|report| {
            let report = report.borrow();
            report.holds.get(&backend).map(|hold| hold.state.clone())
        });
        let (word, why) = match state {
            Some(WakeState::InForce) => ("in_force", None),
            Some(WakeState::Coming) => ("changing", None),
            Some(WakeState::Unfit(why)) => ("unfit", Some(why)),
            Some(WakeState::Absent) | None => ("off", None),
        };
        let counts = entry.tally.counts();
        WakeStatus {
            haproxy,
            backend,
            address: entry.address.map(|address| address.to_string()),
            state: word.to_owned(),
            why,
            held: counts.held,
            woken: counts.passed,
            expired: counts.expired,
            refused: counts.refused,
        }
    }

    fn entry(&self, haproxy: &str, backend: &str) -> Option<Entry> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.get(&(haproxy.to_owned(), backend.to_owned())).cloned()
    }
}

/// The gates of one HAProxy.
struct Keeper {
    haproxy: String,
    bounds: Bounds,
    gates: BTreeMap<String, Gate>,
    /// What its loop was told of last.
    told: BTreeMap<String, SocketAddr>,
    ledger: Ledger,
    journal: Journal,
    cancel: CancellationToken,
}

impl Keeper {
    /// Goes on for ever.
    async fn run(
        mut self,
        mut intents: watch::Receiver<Arc<Known>>,
        mut report: watch::Receiver<Report>,
        events: mpsc::Sender<Event>,
    ) {
        let mut is_whole = true;
        loop {
            let wished = wished(&intents.borrow_and_update().in_force);
            is_whole = self.open(&wished, is_whole).await;
            self.tell(&wished, &events).await;
            let holds = report.borrow_and_update().holds.clone();
            self.follow(&wished, &holds);
            tokio::select! {
                Ok(()) = intents.changed() => {}
                Ok(()) = report.changed() => {}
                () = tokio::time::sleep(AGAIN), if !is_whole => {}
                else => return std::future::pending().await,
            }
        }
    }

    /// Opens the gates that are missing. Out: whether all could be; where that is news, it is said.
    async fn open(&mut self, wished: &BTreeSet<String>, was_whole: bool) -> bool {
        let mut is_whole = true;
        for backend in wished {
            if self.gates.contains_key(backend) {
                continue;
            }
            let tally = self.tally(backend);
            match Gate::open(&self.bounds, tally, self.teller(backend), self.cancel.child_token()).await {
                Ok(gate) => {
                    self.list(backend, Some(gate.address()));
                    self.gates.insert(backend.clone(), gate);
                }
                Err(error) => {
                    is_whole = false;
                    let address = self.bounds.address;
                    if was_whole {
                        tracing::warn!("{address}: no port to hold requests at, tried again: {error}");
                    }
                }
            }
        }
        is_whole
    }

    /// Tells the loop where requests can be held, where that is news.
    async fn tell(&mut self, wished: &BTreeSet<String>, events: &mpsc::Sender<Event>) {
        let gates = self.gates.iter().filter(|(backend, _)| wished.contains(*backend));
        let now: BTreeMap<String, SocketAddr> =
            gates.map(|(backend, gate)| (backend.clone(), gate.address())).collect();
        if now != self.told {
            self.told.clone_from(&now);
            // The loop is gone only when the daemon ends.
            let _ = events.send(Event::Hold(now)).await;
        }
    }

    /// Lets what is held go to those that serve; closes the gates that HAProxy no longer knows.
    fn follow(&mut self, wished: &BTreeSet<String>, holds: &BTreeMap<String, Hold>) {
        for (backend, gate) in &self.gates {
            let doors = holds.get(backend).map(|hold| hold.doors.clone());
            gate.lead_to(doors.unwrap_or_default());
        }
        let is_over = |backend: &&String| !wished.contains(*backend) && !holds.contains_key(*backend);
        let over: Vec<String> = self.gates.keys().filter(is_over).cloned().collect();
        for backend in over {
            self.gates.remove(&backend);
            self.list(&backend, None);
        }
    }

    /// What was counted for a backend since weir started, whichever gate it was.
    fn tally(&self, backend: &str) -> Arc<Tally> {
        self.entry(backend, |entry| entry.tally.clone())
    }

    fn list(&self, backend: &str, address: Option<SocketAddr>) {
        self.entry(backend, |entry| entry.address = address);
    }

    fn entry<T>(&self, backend: &str, of: impl FnOnce(&mut Entry) -> T) -> T {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        of(ledger.entry((self.haproxy.clone(), backend.to_owned())).or_default())
    }

    /// What records that connections are not held.
    fn teller(&self, backend: &str) -> impl Fn(String) + Send + Sync + 'static {
        let (haproxy, backend, journal) = (self.haproxy.clone(), backend.to_owned(), self.journal.clone());
        move |why| {
            journal.record(Record::NotHeld { haproxy: haproxy.clone(), backend: backend.clone(), why });
        }
    }
}

/// The backends whose requests shall be held.
fn wished(intents: &Intents) -> BTreeSet<String> {
    let held = intents.iter().filter(|(_, server, intent)| *server == WAKE && intent.wish == Wish::Wake);
    held.map(|(backend, ..)| backend.to_owned()).collect()
}

#[cfg(test)]
mod tests;
