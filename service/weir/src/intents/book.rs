//! Writes intents to Consul: one key per backend, server and owner below `weir/CLUSTER/intents/`.
//!
//! What somebody else writes at the same time is never overwritten unseen. Fails where Consul does not answer
//! or refuses; nothing is then said to be in force.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use tokio::sync::watch;
use weir_consul::{Client, Error, KvEntry};
use weir_pools::intents::{ABOUT, Intent, Intents, Place, Wish, prefix};

use super::Known;

/// How often a write is tried that meets another one.
const TRIES: usize = 5;
/// How often those whose time is over are looked for.
const TIDYING: Duration = Duration::from_hours(1);
/// How long one stays in Consul when its time is over: clocks differ.
const AFTERGLOW: Duration = Duration::from_hours(1);
/// What a person reads who finds the folder's own key.
const TEXT: &str = "Wishes about servers, as BACKEND/SERVER/OWNER; `:` is written `,`. `weir drain` and `weir maint` write \
    them; `weir ready`, or their time, ends them. Leave this key here: by it weir knows an empty folder from one that it \
    may not read.\n";

/// What somebody asks of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) wish: Wish,
    pub(crate) owner: String,
    /// For how long; as before, or for ever, where it is not said.
    pub(crate) lasting: Option<Duration>,
    /// As before, or none, where it is not said.
    pub(crate) reason: Option<String>,
}

/// What was made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) intent: Intent,
    /// It stood so already.
    pub(crate) again: bool,
}

/// The folder of a cluster's intents.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    client: Client,
    prefix: String,
    known: watch::Receiver<Arc<Known>>,
}

impl Book {
    pub(crate) fn new(client: Client, cluster: &str, known: watch::Receiver<Arc<Known>>) -> Self {
        Self { client, prefix: prefix(cluster), known }
    }

    /// Notes what is asked of a server.
    pub(crate) async fn note(&self, backend: &str, server: &str, asked: &Asked) -> anyhow::Result<Noted> {
        let owner = asked.owner.clone();
        let key = Place { backend: backend.to_owned(), server: server.to_owned(), owner }.key();
        for _ in 0..TRIES {
            let folder = self.folder().await?;
            let entry = folder.iter().find(|entry| self.below(entry) == key);
            let before = entry.and_then(|entry| self.read(entry));
            let intent = merged(before.as_ref(), asked, SystemTime::now());
            if before.as_ref() == Some(&intent) {
                return Ok(Noted { intent, again: true });
            }
            let index = entry.map_or(0, |entry| entry.modify_index);
            let path = format!("{}{key}", self.prefix);
            if self.client.kv_put_if(&path, intent.value(), index).await? {
                return Ok(Noted { intent, again: false });
            }
        }
        bail!("{}{key} in Consul is changed by somebody else all the time; try again", self.prefix)
    }

    /// Ends whatever anybody wishes of a server; returns what that was.
    pub(crate) async fn strike(&self, backend: &str, server: &str) -> anyhow::Result<Vec<Intent>> {
        let mut ended = Vec::new();
        for entry in self.folder().await? {
            let (intents, _) = Intents::read([(self.below(&entry), entry.value.as_str())]);
            let Some(intent) = intents.of(backend, server).next() else { continue };
            self.client.kv_delete(&entry.key).await?;
            ended.extend(Some(intent.clone()).filter(|intent| intent.is_in_force(SystemTime::now())));
        }
        Ok(ended)
    }

    /// Ends what this owner wishes of servers, given as backend and name. What is renewed meanwhile stays.
    pub(crate) async fn take_back(&self, owner: &str, servers: Vec<(&str, &str)>) -> anyhow::Result<()> {
        let key = |(backend, server): (&str, &str)| {
            let (backend, server) = (backend.to_owned(), server.to_owned());
            Place { backend, server, owner: owner.to_owned() }.key()
        };
        let keys: Vec<String> = servers.into_iter().map(key).collect();
        for entry in self.folder().await? {
            if keys.iter().any(|key| self.below(&entry) == key) {
                self.client.kv_delete_if(&entry.key, entry.modify_index).await?;
            }
        }
        Ok(())
    }

    /// What lies in the folder. Where there is none, it is laid out with all that is known: Consul may have
    /// lost it.
    async fn folder(&self) -> anyhow::Result<Vec<KvEntry>> {
        let about = format!("{}{ABOUT}", self.prefix);
        let there = self.client.kv_list(&self.prefix).await?;
        if there.iter().any(|entry| entry.key == about) {
            return Ok(there);
        }
        let known = self.known.borrow().entries.clone();
        for pair in known.iter().filter(|pair| there.is_empty() && pair.key != ABOUT) {
            let path = format!("{}{}", self.prefix, pair.key);
            self.client.kv_put_if(&path, pair.value.as_str(), 0).await?;
        }
        self.client.kv_put_if(&about, TEXT, 0).await?;
        self.client.kv_list(&self.prefix).await.context("the folder of intents")
    }

    /// Deletes those whose time has long been over.
    async fn tidy(&self, now: SystemTime) -> Result<(), Error> {
        for entry in self.client.kv_list(&self.prefix).await? {
            if self.read(&entry).is_some_and(|intent| is_long_over(&intent, now)) {
                // Renewed meanwhile where it is not deleted.
                self.client.kv_delete_if(&entry.key, entry.modify_index).await?;
            }
        }
        Ok(())
    }

    fn below<'a>(&self, entry: &'a KvEntry) -> &'a str {
        entry.key.strip_prefix(&self.prefix).unwrap_or_default()
    }

    fn read(&self, entry: &KvEntry) -> Option<Intent> {
        let (intents, _) = Intents::read([(self.below(entry), entry.value.as_str())]);
        intents.iter().map(|(.., intent)| intent.clone()).next()
    }
}

/// Deletes every hour what ended by itself, for ever. All load balancers do; one finds it done.
pub(crate) async fn tidy_up(book: Book) {
    loop {
        tokio::time::sleep(TIDYING.mul_f64(0.5 + fastrand::f64())).await;
        let now = SystemTime::now();
        let entries = book.known.borrow().entries.clone();
        let (intents, _) = Intents::read(entries.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())));
        if intents.iter().any(|(.., intent)| is_long_over(intent, now))
            && let Err(error) = book.tidy(now).await
        {
            tracing::debug!("intents whose time is over stay in Consul for now: {}", error.chain());
        }
    }
}

fn is_long_over(intent: &Intent, now: SystemTime) -> bool {
    !intent.is_in_force(now.checked_sub(AFTERGLOW).unwrap_or(now))
}

/// What is asked now, on top of what the same owner wished before: what is not said stays, also from a drain to
/// maintenance and back.
fn merged(before: Option<&Intent>, asked: &Asked, now: SystemTime) -> Intent {
    let before = before.filter(|before| before.is_in_force(now));
    let same = before.filter(|before| before.wish == asked.wish);
    // People read these times in Consul's UI: whole seconds will do.
    let second = Duration::from_secs(1);
    let until = asked.lasting.and_then(|lasting| now.checked_add(lasting)?.checked_add(second));
    Intent {
        wish: asked.wish,
        reason: asked.reason.clone().or_else(|| Some(before?.reason.clone())).unwrap_or_default(),
        owner: asked.owner.clone(),
        since: same.map_or(whole_seconds(now), |same| same.since),
        until: until.map(whole_seconds).or_else(|| before?.until),
    }
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs())
}

#[cfg(test)]
mod tests;
