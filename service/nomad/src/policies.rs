//! All scaling policies, kept current by one blocking query.
//!
//! The list tells IDs and versions only, so a policy is read by itself when its version moved. Any failure, an
//! index that goes backwards and an index of 0 start over with a full read; what was good stays until then. A
//! disabled policy (its job is stopped) is kept, marked so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_scaling::RawPolicy;

use crate::backoff::Backoff;
use crate::client::{Client, Listing};
use crate::error::Error;

/// Policies read at a time.
const READERS: usize = 8;

/// What is known of Nomad's scaling policies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Policies {
    /// Whether Nomad answers.
    pub reach: Reach,
    /// The policies of the last good answer, by ID.
    pub policies: BTreeMap<String, RawPolicy>,
}

/// Whether Nomad answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It was asked and has not answered yet.
    Pending,
    /// It answered last time. A Nomad that hangs is noticed when the query's time-out passes.
    Ok,
    /// It does not.
    Unreachable {
        /// Since when.
        since: SystemTime,
        /// Why, with every cause.
        error: String,
    },
}

/// Follows the policies until `cancel`; the receiver always holds the last good ones.
pub fn spawn(client: Client, cancel: CancellationToken) -> watch::Receiver<Arc<Policies>> {
    let none = Policies { reach: Reach::Pending, policies: BTreeMap::new() };
    let (sender, receiver) = watch::channel(Arc::new(none));
    tokio::spawn(async move {
        let follower =
            Follower { client, sender, index: None, known: BTreeMap::new(), backoff: Backoff::default() };
        cancel.run_until_cancelled(follower.run()).await;
    });
    receiver
}

struct Follower {
    client: Client,
    sender: watch::Sender<Arc<Policies>>,
    /// The index of the last answer; `None` asks for a full read.
    index: Option<u64>,
    /// What need not be read again.
    known: BTreeMap<String, RawPolicy>,
    backoff: Backoff,
}

impl Follower {
    async fn run(mut self) {
        loop {
            let begun = Instant::now();
            let pause = match self.turn().await {
                Ok(true) => {
                    self.backoff.reset();
                    continue;
                }
                Ok(false) => self.backoff.next(fastrand::f64()),
                Err(error) => self.failed(&error),
            };
            // From its beginning: what was not answered in time was waited for already.
            tokio::time::sleep_until(begun + pause).await;
        }
    }

    /// One query and what follows from it; whether its index can be followed on. After a failure a question goes first
    /// that is given up sooner.
    async fn turn(&mut self) -> Result<bool, Error> {
        if self.backoff.is_failing() {
            self.client.leader().await?;
        }
        let listing = self.client.list_policies(self.index).await?;
        let next = next_index(self.index, listing.index);
        if self.index.is_some() && next.is_none() {
            self.start_over();
            return Ok(false);
        }
        let policies = self.read(listing).await?;
        self.known.clone_from(&policies);
        self.publish(policies);
        self.index = next;
        Ok(next.is_some())
    }

    /// Every listed policy, from what is known where its version has not moved.
    async fn read(&self, listing: Listing) -> Result<BTreeMap<String, RawPolicy>, Error> {
        let reads = listing.policies.into_iter().map(|(id, version)| self.read_one(id, version));
        let mut answers = stream::iter(reads).buffer_unordered(READERS);
        let mut policies = BTreeMap::new();
        while let Some(answer) = answers.next().await {
            policies.extend(answer?.map(|policy| (policy.id.clone(), policy)));
        }
        Ok(policies)
    }

    /// `None` where the policy went away after it was listed.
    async fn read_one(
        &self,
        id: String,
        (namespace, modify_index): (String, u64),
    ) -> Result<Option<RawPolicy>, Error> {
        if let Some(known) = self.known.get(&id).filter(|known| known.modify_index == modify_index) {
            return Ok(Some(known.clone()));
        }
        match self.client.policy(&namespace, &id).await {
            Ok(policy) => Ok(Some(policy)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn publish(&self, policies: BTreeMap<String, RawPolicy>) {
        self.sender.send_if_modified(|now| {
            let new = Policies { reach: Reach::Ok, policies };
            let changed = **now != new;
            *now = Arc::new(new);
            changed
        });
    }

    /// Forgets what a restarted Nomad may have replaced by something else under the same versions.
    fn start_over(&mut self) {
        self.index = None;
        self.known.clear();
    }

    fn failed(&mut self, error: &Error) -> std::time::Duration {
        self.start_over();
        let text = chain(error);
        self.sender.send_modify(|now| {
            let since = match &now.reach {
                Reach::Unreachable { since, .. } => *since,
                Reach::Pending | Reach::Ok => {
                    tracing::warn!(error = text, "scaling policies cannot be read; the last good ones stay");
                    SystemTime::now()
                }
            };
            let policies = now.policies.clone();
            *now = Arc::new(Policies { reach: Reach::Unreachable { since, error: text }, policies });
        });
        self.backoff.next(fastrand::f64())
    }
}

/// The index to ask with next; `None` where the answer's cannot be followed on.
fn next_index(asked: Option<u64>, answered: Option<u64>) -> Option<u64> {
    answered.filter(|&index| index > 0 && asked.is_none_or(|asked| index >= asked))
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
