//! Follows a changing set of queries and publishes one catalogue.
//!
//! In: the queries that somebody wants answered. Out: the answers known, and how Consul is. Nothing here fails: what cannot be
//! answered is missing from the catalogue, or keeps its last answer, and stands in [`Health`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use weir_pools::{Catalogue, Query};

use crate::allot::{Allotment, Datacenter, allot, budget, budget_at_start};
use crate::gate::State;
use crate::poll::Poll;
use crate::reader::{Event, sweep};
use crate::{Client, Health, Mode, decode, wide};

/// Answers that may wait to be put in.
const QUEUE: usize = 256;
/// How often counters are published where nothing else happens.
const TICK: Duration = Duration::from_secs(1);

/// Follows what is `wanted` until `cancel`; the channels then close.
///
/// A catalogue is published as soon as any answer is there, and again whenever one changed. Changes that arrive together are
/// published together.
#[must_use]
pub fn watch(
    client: Client,
    wanted: watch::Receiver<BTreeSet<Query>>,
    cancel: CancellationToken,
) -> (watch::Receiver<Arc<Catalogue>>, watch::Receiver<Arc<Health>>) {
    let gate = client.gate().watch();
    let (send, events) = mpsc::channel(QUEUE);
    let catalogue = watch::Sender::new(Arc::default());
    let follower = Follower::new(client, send);
    let health = watch::Sender::new(Arc::new(follower.health(&gate.borrow())));
    let channels = (catalogue.subscribe(), health.subscribe());
    let watcher = Watcher { wanted, gate, events, follower, catalogue, health };
    tokio::spawn(async move { cancel.run_until_cancelled(watcher.run()).await });
    channels
}

struct Watcher {
    wanted: watch::Receiver<BTreeSet<Query>>,
    gate: watch::Receiver<State>,
    events: mpsc::Receiver<Event>,
    follower: Follower,
    catalogue: watch::Sender<Arc<Catalogue>>,
    health: watch::Sender<Arc<Health>>,
}

impl Watcher {
    async fn run(mut self) {
        let mut tick = ticks();
        // Where nobody can change what is wanted any more, it stays as it is.
        let mut changing = true;
        let mut starting = true;
        let started = tokio::time::sleep(left_behind(self.follower.client.options().wait));
        tokio::pin!(started);
        self.want();
        loop {
            tokio::select! {
                changed = self.wanted.changed(), if changing => match changed {
                    Ok(()) => self.want(),
                    Err(_) => changing = false,
                },
                Some(event) = self.events.recv() => self.take(event),
                _ = self.gate.changed() => {}
                () = &mut started, if starting => {
                    starting = false;
                    self.follower.use_all();
                }
                _ = tick.tick() => {}
            }
            self.tell();
        }
    }

    fn want(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        self.follower.follow(&wanted);
        self.catalogue.send_if_modified(|catalogue| {
            let gone = catalogue.iter().any(|(query, _)| !wanted.contains(query));
            if gone {
                Arc::make_mut(catalogue).retain(&wanted);
            }
            gone
        });
    }

    /// Puts one answer in, and all others that are there already.
    fn take(&mut self, first: Event) {
        let mut catalogue = Catalogue::clone(&self.catalogue.borrow());
        let mut changed = false;
        let mut next = Some(first);
        while let Some(event) = next {
            changed |= self.follower.learn(event, &mut catalogue);
            next = self.events.try_recv().ok();
        }
        if changed {
            self.catalogue.send_replace(Arc::new(catalogue));
        }
    }

    fn tell(&mut self) {
        let now = self.follower.health(&self.gate.borrow_and_update());
        self.health.send_if_modified(|health| {
            let changed = **health != now;
            if changed {
                *health = Arc::new(now);
            }
            changed
        });
    }
}

/// How long Consul keeps a blocking query: the wait, up to a sixteenth more, and what it takes to end.
fn left_behind(wait: Duration) -> Duration {
    wait + wait / 16 + Duration::from_secs(1)
}

fn ticks() -> Interval {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// The tasks that follow queries, and what holds up single ones.
struct Follower {
    client: Client,
    send: mpsc::Sender<Event>,
    wanted: BTreeSet<Query>,
    /// Connections that watches may use.
    budget: usize,
    problems: BTreeMap<Query, String>,
    narrow: BTreeMap<Query, AbortOnDropHandle<()>>,
    wide: BTreeMap<Datacenter, Wide>,
    sweep: Option<(BTreeSet<Query>, AbortOnDropHandle<()>)>,
}

/// The services of one datacenter that are followed together.
struct Wide {
    services: watch::Sender<BTreeSet<Query>>,
    share: usize,
    _task: AbortOnDropHandle<()>,
}

impl Follower {
    fn new(client: Client, send: mpsc::Sender<Event>) -> Self {
        Self {
            budget: budget_at_start(client.options().max_connections),
            client,
            send,
            wanted: BTreeSet::new(),
            problems: BTreeMap::new(),
            narrow: BTreeMap::new(),
            wide: BTreeMap::new(),
            sweep: None,
        }
    }

    /// Starts and stops tasks as it takes.
    fn follow(&mut self, wanted: &BTreeSet<Query>) {
        let Allotment { narrow, wide, share, sweep } = allot(wanted, self.budget);
        self.problems.retain(|query, _| wanted.contains(query));
        self.wanted.clone_from(wanted);
        self.follow_narrow(narrow);
        self.follow_wide(wide, share);
        self.follow_swept(sweep);
    }

    /// What ran before has no connections any more.
    fn use_all(&mut self) {
        self.budget = budget(self.client.options().max_connections);
        let wanted = self.wanted.clone();
        self.follow(&wanted);
    }

    fn follow_narrow(&mut self, queries: BTreeSet<Query>) {
        self.narrow.retain(|query, _| queries.contains(query));
        for query in queries {
            if !self.narrow.contains_key(&query) {
                let task = tokio::spawn(follow_one(self.client.clone(), query.clone(), self.send.clone()));
                self.narrow.insert(query, AbortOnDropHandle::new(task));
            }
        }
    }

    fn follow_wide(&mut self, wide: BTreeMap<Datacenter, BTreeSet<Query>>, share: usize) {
        self.wide.retain(|datacenter, running| wide.contains_key(datacenter) && running.share == share);
        for (datacenter, services) in wide {
            if let Some(running) = self.wide.get(&datacenter) {
                running.services.send_if_modified(|before| {
                    let changed = *before != services;
                    *before = services;
                    changed
                });
            } else {
                let running = self.start_wide(datacenter.clone(), services, share);
                self.wide.insert(datacenter, running);
            }
        }
    }

    fn start_wide(&self, datacenter: Datacenter, services: BTreeSet<Query>, share: usize) -> Wide {
        let (services, wanted) = watch::channel(services);
        let task = wide::follow(self.client.clone(), datacenter, wanted, share, self.send.clone());
        Wide { services, share, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    fn follow_swept(&mut self, queries: BTreeSet<Query>) {
        if self.sweep.as_ref().is_some_and(|(running, _)| *running == queries) {
            return;
        }
        self.sweep = (!queries.is_empty()).then(|| {
            let task = tokio::spawn(sweep(self.client.clone(), queries.clone(), self.send.clone()));
            (queries, AbortOnDropHandle::new(task))
        });
    }

    /// Takes up what became of a query; whether the catalogue changed.
    fn learn(&mut self, event: Event, catalogue: &mut Catalogue) -> bool {
        match event {
            Event::Answer(query, answer) if self.wanted.contains(&query) => {
                if self.problems.remove(&query).is_some() {
                    tracing::info!(%query, "answered again");
                }
                catalogue.insert(query, answer)
            }
            Event::Problem(query, problem) if self.wanted.contains(&query) => {
                if self.problems.get(&query) != Some(&problem) {
                    let known = catalogue.get(&query).is_some();
                    tracing::warn!(%query, problem, "not answered: {}", what_holds(known));
                    self.problems.insert(query, problem);
                }
                false
            }
            Event::Answer(..) | Event::Problem(..) => false,
        }
    }

    fn health(&self, state: &State) -> Health {
        let wide = !self.wide.is_empty() || self.sweep.is_some();
        Health {
            state: state.reach,
            error: state.error.clone(),
            since: state.since,
            attempts: self.client.attempts(),
            mode: if wide { Mode::Wide } else { Mode::Narrow },
            watches: self.client.watches().load(Ordering::Relaxed),
            wakeups: self.client.wakeups().load(Ordering::Relaxed),
            problems: self.problems.clone(),
        }
    }
}

/// What a query that is not answered leaves in the catalogue.
fn what_holds(known: bool) -> &'static str {
    if known { "its last answer stays" } else { "nothing is known of it yet" }
}

/// One blocking query for one query.
async fn follow_one(client: Client, query: Query, out: mpsc::Sender<Event>) {
    let mut poll = Poll::new(client, decode::read_of(&query));
    loop {
        let outcome = poll.next(|reply| decode::answer(&query, reply)).await;
        let event = Event::of(query.clone(), outcome.map(|news| news.answer));
        if out.send(event).await.is_err() {
            return;
        }
    }
}
