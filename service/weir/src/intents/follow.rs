//! Follows the folder of intents in Consul's answers, and tells what is in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use weir_pools::intents::{Intents, prefix};
use weir_pools::{Answer, Catalogue, KeyPair, Query};

use super::{Known, query, status};
use crate::journal::{Journal, Record};
use crate::parts::Parts;
use crate::pool_loop::Event;
use crate::publish::replace;
use crate::state_file;

/// While something is to end by itself, the clock is looked at so often at least: it may be set.
const CLOCK: Duration = Duration::from_mins(1);

/// Starts to follow the intents of a cluster. What was known when weir ended is known at once.
pub(crate) fn start(
    cluster: &str,
    state_dir: &Path,
    catalogue: watch::Receiver<Arc<Catalogue>>,
    journal: Journal,
    parts: &Parts,
) -> watch::Receiver<Arc<Known>> {
    let file = state_dir.join("intents.json");
    let mut entries: Vec<KeyPair> = state_file::read(&file).unwrap_or_default();
    // Those of another cluster, from before `cluster` was changed, are none of ours.
    entries.retain(|pair| pair.path.starts_with(&prefix(cluster)));
    let follower = Follower { entries: entries.into(), is_missing: false };
    let (sender, known) = watch::channel(Arc::default());
    let teller = Teller { sender, journal };
    teller.tell(follower.known(SystemTime::now()));
    let following = follow(follower, teller, catalogue, query(cluster), file);
    parts.spawn_cancelled("the watch of intents", following);
    known
}

/// Sends each loop what is in force: at once, and whenever it changes.
pub(crate) async fn deliver(mut known: watch::Receiver<Arc<Known>>, loops: Vec<mpsc::Sender<Event>>) {
    let mut told: Option<Arc<Intents>> = None;
    loop {
        let now = known.borrow_and_update().in_force.clone();
        if told.as_ref() != Some(&now) {
            for events in &loops {
                // The loop is gone only when the daemon ends.
                let _ = events.send(Event::Intents(now.clone())).await;
            }
            told = Some(now);
        }
        if known.changed().await.is_err() {
            return;
        }
    }
}

async fn follow(
    mut follower: Follower,
    teller: Teller,
    mut catalogue: watch::Receiver<Arc<Catalogue>>,
    query: Query,
    file: PathBuf,
) {
    loop {
        let answer = entries(&catalogue.borrow_and_update(), &query);
        if answer.is_some_and(|answer| follower.take(&answer)) {
            remember(&file, follower.entries.clone()).await;
        }
        let now = SystemTime::now();
        let known = follower.known(now);
        let next = known.in_force.next_expiry(now);
        teller.tell(known);
        tokio::select! {
            changed = catalogue.changed() => if changed.is_err() { return },
            () = until(next) => {}
        }
    }
}

fn entries(catalogue: &Catalogue, query: &Query) -> Option<Arc<[KeyPair]>> {
    match catalogue.get(query)? {
        Answer::Pairs(pairs) => Some(pairs.clone()),
        Answer::Instances(_) | Answer::Services(_) | Answer::Value(_) => None,
    }
}

async fn until(time: Option<SystemTime>) {
    match time {
        Some(time) => {
            let left = time.duration_since(SystemTime::now()).unwrap_or_default();
            tokio::time::sleep(left.min(CLOCK)).await;
        }
        None => std::future::pending().await,
    }
}

async fn remember(file: &Path, entries: Arc<[KeyPair]>) {
    let path = file.to_owned();
    let written = tokio::task::spawn_blocking(move || state_file::write(&path, &entries)).await;
    if let Ok(Err(error)) = written {
        tracing::error!("{}: cannot be written, a restart will forget intents: {error}", file.display());
    }
}

/// What is believed of Consul's answers.
#[derive(Debug, Default)]
struct Follower {
    entries: Arc<[KeyPair]>,
    /// Consul says that there is no folder, although there was one.
    is_missing: bool,
}

impl Follower {
    /// Takes an answer in; returns whether other entries are known now. An emptied folder still has its own key: where
    /// nothing at all is listed, Consul lost its keys or weir may not read them, and nothing ends by that.
    fn take(&mut self, answer: &Arc<[KeyPair]>) -> bool {
        self.is_missing = answer.is_empty() && !self.entries.is_empty();
        !self.is_missing && replace(&mut self.entries, answer.clone())
    }

    fn known(&self, now: SystemTime) -> Known {
        let entries = self.entries.iter().map(|pair| (pair.key.as_str(), pair.value.as_str()));
        let (intents, malformed) = Intents::read(entries);
        let in_force = Arc::new(intents.in_force(now));
        let mut problems: Vec<String> = malformed.iter().map(ToString::to_string).collect();
        if self.is_missing && !in_force.is_empty() {
            problems.push(MISSING.to_owned());
        }
        Known { in_force, entries: self.entries.clone(), problems }
    }
}

/// What is said while the folder is missing.
const MISSING: &str = "Consul lists no intents any more, not even their folder's own key: it lost its keys, or weir's \
    token may not read below weir/ (key:read). What was known stays in force; `weir ready BACKEND/SERVER` ends it";

/// Where changes are told.
struct Teller {
    sender: watch::Sender<Arc<Known>>,
    journal: Journal,
}

impl Teller {
    fn tell(&self, now: Known) {
        let before = self.sender.borrow().clone();
        for record in news(&before, &now, SystemTime::now()) {
            self.journal.record(record);
        }
        self.sender.send_if_modified(|known| replace(known, Arc::new(now)));
    }
}

/// What is different between two moments, as records.
fn news(before: &Known, after: &Known, now: SystemTime) -> Vec<Record> {
    let mut records = Vec::new();
    for (backend, server, intent) in after.in_force.iter() {
        if !before.in_force.of(backend, server).any(|old| old == intent) {
            records.push(Record::Intended(status(backend, server, intent)));
        }
    }
    for (backend, server, intent) in before.in_force.iter() {
        if !after.in_force.of(backend, server).any(|new| new.owner == intent.owner) {
            let expired = !intent.is_in_force(now);
            records.push(Record::IntentEnded { intent: status(backend, server, intent), expired });
        }
    }
    let fresh = after.problems.iter().filter(|problem| !before.problems.contains(problem));
    records.extend(fresh.map(|problem| Record::IntentProblem { problem: problem.clone() }));
    records
}

#[cfg(test)]
mod tests;
