//! Reads queries that something else showed as changed, a few at a time.
//!
//! In: names of queries to read. Out: their answers, as [`Event`]s. A query that is marked while it is read is read again after;
//! one that fails for itself is tried again later, and does not hold up the others.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use weir_pools::{Answer, Query};

use crate::poll::Poll;
use crate::{Client, Error, decode};

/// Reads at one time.
const AT_ONCE: usize = 8;
/// How often queries without a connection of their own are read where nothing tells that they changed.
const SWEEP: Duration = Duration::from_secs(5);
/// How often what failed for itself is read again.
pub(crate) const RETRY: Duration = Duration::from_secs(15);

/// What became of one query.
#[derive(Debug)]
pub(crate) enum Event {
    Answer(Query, Answer),
    /// It alone is held up; its last answer stays.
    Problem(Query, String),
}

impl Event {
    pub(crate) fn of(query: Query, outcome: Result<Answer, Error>) -> Self {
        match outcome {
            Ok(answer) => Self::Answer(query, answer),
            Err(error) => Self::Problem(query, error.chain()),
        }
    }
}

type Outcome = (Query, Result<Answer, Error>);

/// The queries to read and those being read.
pub(crate) struct Reader {
    client: Client,
    marked: BTreeSet<Query>,
    running: BTreeSet<Query>,
    failed: BTreeSet<Query>,
    reads: FuturesUnordered<BoxFuture<'static, Outcome>>,
}

impl Reader {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            marked: BTreeSet::new(),
            running: BTreeSet::new(),
            failed: BTreeSet::new(),
            reads: FuturesUnordered::new(),
        }
    }

    /// Has the queries read.
    pub(crate) fn mark(&mut self, queries: impl IntoIterator<Item = Query>) {
        self.marked.extend(queries);
        self.fill();
    }

    /// Has those read again that failed for themselves.
    pub(crate) fn retry(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        self.mark(failed);
    }

    /// Forgets what is not wanted any more.
    pub(crate) fn retain(&mut self, wanted: &BTreeSet<Query>) {
        self.marked.retain(|query| wanted.contains(query));
        self.failed.retain(|query| wanted.contains(query));
    }

    /// What the next read brings; waits for ever while there is none.
    pub(crate) async fn next(&mut self) -> Event {
        let Some((query, outcome)) = self.reads.next().await else {
            return std::future::pending().await;
        };
        self.running.remove(&query);
        if outcome.is_err() {
            self.failed.insert(query.clone());
        }
        self.fill();
        Event::of(query, outcome)
    }

    fn idle(&self) -> bool {
        self.reads.is_empty()
    }

    fn fill(&mut self) {
        while self.reads.len() < AT_ONCE
            && let Some(query) = self.marked.difference(&self.running).next().cloned()
        {
            self.marked.remove(&query);
            self.running.insert(query.clone());
            self.reads.push(Box::pin(read(self.client.clone(), query)));
        }
    }
}

/// The first answer of a poll is a full read from the leader: at least as new as whatever showed the change.
async fn read(client: Client, query: Query) -> Outcome {
    let mut poll = Poll::new(client, decode::read_of(&query));
    let outcome = poll.next(|reply| decode::answer(&query, reply)).await;
    (query, outcome.map(|news| news.answer))
}

/// Reads `queries` for ever, all of them every few seconds.
pub(crate) async fn sweep(client: Client, queries: BTreeSet<Query>, out: mpsc::Sender<Event>) {
    let mut reader = Reader::new(client);
    loop {
        reader.mark(queries.iter().cloned());
        while !reader.idle() {
            if out.send(reader.next().await).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(SWEEP).await;
    }
}
