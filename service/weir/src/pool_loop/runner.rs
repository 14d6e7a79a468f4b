//! Waits for events, hands them to a [`PoolLoop`], and carries its effects out.
//!
//! One change is in flight at most; its outcome comes back as an event. The catalogue is remembered in the background,
//! the newest only.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_pools::{Catalogue, Query};

use super::report::Report;
use super::{Answers, Effect, Event, Files, Hands, PoolLoop, probes};
use crate::journal::Journal;
use crate::publish::replace;

/// How long a change in flight may take to end when the daemon ends. With a second for the rest, weir ends within
/// five seconds.
const GRACE: Duration = Duration::from_secs(4);
/// Events that may wait for the loop: a few per template and per second.
const WAITING: usize = 64;

/// What a loop listens to besides its own outcomes.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) catalogue: watch::Receiver<Arc<Catalogue>>,
    pub(crate) cancel: CancellationToken,
    pub(crate) journal: Journal,
    /// Where the catalogue in force is kept.
    pub(crate) answers: Answers,
}

/// A running loop.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) name: String,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) report: watch::Receiver<Report>,
    pub(crate) reads: watch::Receiver<Arc<BTreeSet<Query>>>,
    pub(crate) task: JoinHandle<()>,
}

/// Starts a loop.
pub(crate) fn spawn(name: String, pool_loop: PoolLoop, hands: Hands, inbox: Inbox) -> Handle {
    let Inbox { catalogue, cancel, journal, answers } = inbox;
    let (events, queue) = mpsc::channel(WAITING);
    let (report_sender, report) = watch::channel(pool_loop.report());
    let (reads_sender, reads) = watch::channel(Arc::default());
    let (catalogues, newest) = watch::channel(None);
    let hands = Arc::new(hands);
    let runner = Runner {
        pool_loop,
        hands: hands.clone(),
        journal,
        outcomes: events.clone(),
        report: report_sender,
        reads: reads_sender,
        catalogues,
    };
    let writer = tokio::spawn(keep_newest(answers, newest));
    let task = tokio::spawn(async move {
        runner.run(queue, catalogue, cancel).await;
        // The sender is gone with the runner: the writer ends when it has written the newest.
        let _ = writer.await;
    });
    Handle { name, events, report, reads, task }
}

struct Runner {
    pool_loop: PoolLoop,
    hands: Arc<Hands>,
    journal: Journal,
    outcomes: mpsc::Sender<Event>,
    report: watch::Sender<Report>,
    reads: watch::Sender<Arc<BTreeSet<Query>>>,
    catalogues: watch::Sender<Option<Arc<Catalogue>>>,
}

impl Runner {
    async fn run(
        mut self,
        mut queue: mpsc::Receiver<Event>,
        mut catalogue: watch::Receiver<Arc<Catalogue>>,
        cancel: CancellationToken,
    ) {
        let mut deadline: Option<Instant> = None;
        loop {
            let event = tokio::select! {
                biased;
                event = queue.recv() => event,
                () = cancel.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + GRACE);
                    Some(Event::Stop)
                }
                changed = catalogue.changed(), if deadline.is_none() => {
                    changed.ok().map(|()| Event::Catalogue(catalogue.borrow_and_update().clone()))
                }
                () = until(deadline.or(self.pool_loop.next_look())) => Some(Event::Timer),
            };
            let Some(event) = event else { break };
            self.turn(event);
            let over =
                deadline.is_some_and(|deadline| self.pool_loop.is_idle() || deadline <= Instant::now());
            if over {
                break;
            }
        }
    }

    fn turn(&mut self, event: Event) {
        let mut effects = self.pool_loop.handle(Instant::now(), event);
        // Whether somebody still answers can wait until HAProxy is told.
        effects.sort_by_key(|effect| matches!(effect, Effect::Probe(_)));
        let tells = effects.iter().any(|effect| matches!(effect, Effect::Tell(_)));
        for effect in effects {
            self.carry_out(effect);
        }
        if !tells {
            self.hands.hang_up();
        }
        let report = self.pool_loop.report();
        self.report.send_if_modified(|before| replace(before, report));
        let reads = self.pool_loop.reads();
        self.reads.send_if_modified(|before| replace(before, reads));
    }

    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Apply(change) => self.in_flight(self.hands.clone().apply(change)),
            Effect::Follow(change) => {
                self.bring_back(self.hands.clone().follow(change), Event::Followed);
            }
            Effect::TryOut { number, files } => self.try_out(number, files),
            Effect::Probe(addresses) => self.probe(addresses),
            Effect::Tell(tell) => self.in_flight(self.hands.clone().say(tell)),
            Effect::Reload { reason, restore } => {
                tracing::debug!("reloading: {reason}");
                self.in_flight(self.hands.clone().reload(restore));
            }
            Effect::RememberBegun(begun) => self.hands.begin(&begun),
            Effect::Remember(memory) => self.hands.remember(&memory),
            Effect::RememberCatalogue(catalogue) => drop(self.catalogues.send_replace(Some(catalogue))),
            Effect::ReloadDone => self.hands.reload_done(),
            Effect::Record(record) => self.journal.record(record),
        }
    }

    fn in_flight(&self, work: impl Future<Output = super::Done> + Send + 'static) {
        self.bring_back(work, Event::Done);
    }

    fn try_out(&self, number: u64, files: Files) {
        let (events, hands) = (self.outcomes.clone(), self.hands.clone());
        tokio::spawn(async move {
            let verdict = hands.try_out(files).await;
            let _ = events.send(Event::Tried { number, verdict }).await;
        });
    }

    fn probe(&self, addresses: Vec<SocketAddr>) {
        let events = self.outcomes.clone();
        tokio::spawn(async move {
            let _ = events.send(Event::Probed(probes::probe(addresses).await)).await;
        });
    }

    fn bring_back(
        &self,
        work: impl Future<Output = super::Done> + Send + 'static,
        event: fn(super::Done) -> Event,
    ) {
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            let done = work.await;
            // The loop is gone only when the daemon's grace is over.
            let _ = outcomes.send(event(done)).await;
        });
    }
}

/// Keeps the newest catalogue, off the event loop.
async fn keep_newest(answers: Answers, mut newest: watch::Receiver<Option<Arc<Catalogue>>>) {
    let answers = Arc::new(Mutex::new(answers));
    while newest.changed().await.is_ok() {
        let Some(catalogue) = newest.borrow_and_update().clone() else { continue };
        let answers = answers.clone();
        let keep = move || answers.lock().unwrap_or_else(PoisonError::into_inner).keep(&catalogue);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(keep).await {
            tracing::error!("the state directory cannot be written, a restart will forget: {error}");
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
