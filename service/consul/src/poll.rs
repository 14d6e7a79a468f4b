//! One blocking query, asked again and again.
//!
//! In: a [`Read`] and how to decode its answer. Out: each answer that may be news. What concerns Consul as a whole is
//! waited out at the gate; what concerns this query alone is returned, and the next call waits before it asks again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Client, Read, Reply};
use crate::cursor::{Cursor, Verdict};
use crate::gate::{backoff, jittered};
use crate::pace::Pace;
use crate::{Error, Reach};

/// The longest wait of one query that fails while others are answered.
const LONGEST_OWN: Duration = Duration::from_secs(30);
/// How often a server that gives no index is asked.
const NO_INDEX: Duration = Duration::from_secs(1);

/// A query and where it stands.
#[derive(Debug)]
pub(crate) struct Poll {
    client: Client,
    read: Read,
    cursor: Cursor,
    /// The gate's when this was last asked.
    generation: u64,
    pace: Pace,
    /// Failures of this query in a row.
    failures: u32,
    not_before: Option<Instant>,
}

/// An answer that may be news.
#[derive(Debug)]
pub(crate) struct News<T> {
    pub(crate) answer: T,
    /// Whether it does not continue an earlier answer.
    pub(crate) full: bool,
}

impl Poll {
    /// The pace of a query that nothing else depends on: four changes in a row at once, then 20 a second.
    pub(crate) fn new(client: Client, read: Read) -> Self {
        Self::paced(client, read, Pace::new(20, 4))
    }

    pub(crate) fn paced(client: Client, read: Read, pace: Pace) -> Self {
        client.watches().fetch_add(1, Ordering::Relaxed);
        let cursor = Cursor::new(client.options().max_stale);
        let generation = client.gate().generation();
        Self { client, read, cursor, generation, pace, failures: 0, not_before: None }
    }

    /// Every answer comes from the leader.
    pub(crate) fn consistent(mut self) -> Self {
        self.cursor = Cursor::new(Duration::ZERO);
        self
    }

    /// The next answer, or what holds up this query alone.
    pub(crate) async fn next<T>(
        &mut self,
        decode: impl Fn(&Reply) -> Result<T, Error>,
    ) -> Result<News<T>, Error> {
        loop {
            let Some(outcome) = self.ask().await else { continue };
            match outcome.and_then(|reply| self.judge(&reply, &decode)) {
                Ok(Some(news)) => return Ok(news),
                Ok(None) => {}
                Err(error) => {
                    if self.fail(&error) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// One request, when its time has come; `None` where everything has to be read anew before it is answered.
    async fn ask(&mut self) -> Option<Result<Reply, Error>> {
        if let Some(at) = self.not_before.take() {
            tokio::time::sleep_until(at).await;
        }
        match self.pace.wait(Instant::now()) {
            // Who waits for the last answer goes first. A sleep of no time would set a timer.
            Duration::ZERO => tokio::task::yield_now().await,
            wait => tokio::time::sleep(wait).await,
        }
        let gate = self.client.gate();
        gate.pass(&self.client).await;
        let generation = gate.generation();
        if std::mem::replace(&mut self.generation, generation) != generation {
            self.cursor.restart();
        }
        (self.read.index, self.read.stale) = (self.cursor.index(), self.cursor.stale());
        tokio::select! {
            outcome = self.client.get(&self.read) => Some(outcome),
            () = gate.reopened_after(generation) => {
                self.cursor.restart();
                None
            }
        }
    }

    fn judge<T>(
        &mut self,
        reply: &Reply,
        decode: impl Fn(&Reply) -> Result<T, Error>,
    ) -> Result<Option<News<T>>, Error> {
        self.pace.take(Instant::now());
        let verdict = self.cursor.take(reply.stamp);
        let Verdict::Use { full } = verdict else {
            self.succeed();
            return Ok(None);
        };
        let answer = decode(reply)?;
        self.succeed();
        if reply.stamp.index == 0 {
            self.not_before = Some(Instant::now() + NO_INDEX);
        } else if !full {
            self.client.wakeups().fetch_add(1, Ordering::Relaxed);
        }
        Ok(Some(News { answer, full }))
    }

    fn succeed(&mut self) {
        self.failures = 0;
        self.client.gate().worked();
    }

    /// Whether the failure is this query's own: what Consul says to it alone, or a 5xx that it meets again although Consul
    /// was found to be well after the first.
    fn fail(&mut self, error: &Error) -> bool {
        self.cursor.restart();
        self.failures += 1;
        let again = self.failures > 1 && error.reach() == Some(Reach::Failing);
        let own = again || !self.client.gate().failed(error);
        if own {
            let delay = jittered(backoff(self.failures, LONGEST_OWN), fastrand::f64());
            self.not_before = Some(Instant::now() + delay);
        }
        own
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.client.watches().fetch_sub(1, Ordering::Relaxed);
    }
}
