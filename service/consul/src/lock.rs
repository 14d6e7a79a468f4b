//! A lock in Consul: a key that a session holds.
//!
//! In: the key, who we are, and whether the lock is sought at all. Out: [`Leadership`]. A leader may act only until
//! [`Leadership::Leading`]'s `until`, which each renewal moves; where renewals fail the leadership ends there by itself, before
//! Consul gives the lock to somebody else. On `cancel`, and when the lock is no longer sought, it is released at once.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Keys, Read, Session};
use crate::decode::{self, Holder};
use crate::gate::{backoff, jittered};
use crate::poll::Poll;
use crate::{Error, Reach};

/// Letting go takes no longer; what was not let go of ends with its session's TTL.
const RELEASE: Duration = Duration::from_secs(2);
/// How long to wait between tries while nobody holds the key but a lock-delay may run.
const RETRY: Duration = Duration::from_secs(1);
/// The longest wait after Consul refused something for itself.
const LONGEST: Duration = Duration::from_secs(30);

/// Which lock, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockOptions {
    /// The key, such as `weir/CLUSTER/leader`.
    pub key: String,
    /// What the holder writes into it: who it is.
    pub value: String,
    /// How long the lock outlives its holder at least; Consul may take twice as long. It takes 10 s at least.
    pub ttl: Duration,
    /// How long the key stays locked after its holder was lost without letting go. 1 s is enough where writes
    /// are fenced.
    pub lock_delay: Duration,
}

impl LockOptions {
    /// With a TTL of 10 s and a lock-delay of 1 s.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        let (ttl, lock_delay) = (Duration::from_secs(10), Duration::from_secs(1));
        Self { key: key.into(), value: value.into(), ttl, lock_delay }
    }
}

/// Whether we hold the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// We do not.
    Following {
        /// What the holder wrote into the key; `None` while nobody holds it or it is not known.
        holder: Option<String>,
    },
    /// We do.
    Leading {
        /// The session that holds the lock.
        session: String,
        /// When it ends unless it is renewed; a leader checks this before it acts.
        until: Instant,
    },
}

impl Leadership {
    /// Whether a leader may act at `now`.
    pub fn leads_at(&self, now: Instant) -> bool {
        matches!(self, Self::Leading { until, .. } if now < *until)
    }
}

/// Seeks the lock while `seek` says so, until `cancel`. The channel closes once the lock has been let go of, so that a
/// process that ends can wait for it (2 s at most).
#[must_use]
pub fn lock(
    client: Client,
    options: LockOptions,
    seek: watch::Receiver<bool>,
    cancel: CancellationToken,
) -> watch::Receiver<Leadership> {
    let (state, leadership) = watch::channel(Leadership::Following { holder: None });
    let seeker = Seeker { client, options, seek, cancel, state };
    tokio::spawn(seeker.run());
    leadership
}

struct Seeker {
    client: Client,
    options: LockOptions,
    seek: watch::Receiver<bool>,
    cancel: CancellationToken,
    state: watch::Sender<Leadership>,
}

impl Seeker {
    async fn run(self) {
        let mut abandoned = None;
        let mut failures = 0;
        while self.cancel.run_until_cancelled(self.sought(true)).await.is_some() {
            match self.turn(&mut abandoned).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    self.report(&error);
                    let delay = jittered(backoff(failures, LONGEST), fastrand::f64());
                    self.cancel.run_until_cancelled(tokio::time::sleep(delay)).await;
                }
            }
        }
    }

    /// Ends when the lock is sought (or is not); a `seek` that is dropped counts as not sought.
    async fn sought(&self, wanted: bool) {
        let mut seek = self.seek.clone();
        let dropped = seek.wait_for(|sought| *sought == wanted).await.is_err();
        if dropped && wanted {
            self.cancel.cancelled().await;
        }
    }

    async fn stopped(&self) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.sought(false) => {}
        }
    }

    /// Waits for the key to be free, tries to get it, and holds it as long as it lasts.
    async fn turn(&self, abandoned: &mut Option<String>) -> Result<(), Error> {
        let (session, until) = tokio::select! {
            () = self.stopped() => { self.follow(None); return Ok(()) }
            session = self.session(abandoned) => session?,
        };
        let ended = tokio::select! {
            () = self.stopped() => Ok(Ended::Lost),
            ended = self.hold(&session, until) => ended,
        };
        self.follow(None);
        if !self.let_go(&session).await {
            *abandoned = Some(session);
        }
        if matches!(ended, Ok(Ended::NotGiven)) {
            let delay = jittered(RETRY, fastrand::f64());
            tokio::select! { () = self.stopped() => {}, () = tokio::time::sleep(delay) => {} }
        }
        ended.map(drop)
    }

    /// A session to try with, once the key looks free, and until when it is good.
    async fn session(&self, abandoned: &mut Option<String>) -> Result<(String, Instant), Error> {
        self.client.gate().pass(&self.client).await;
        if let Some(session) = abandoned.clone() {
            // Best effort: one that is left ends with its TTL.
            self.let_go(&session).await;
            *abandoned = None;
        }
        self.free().await?;
        let name = format!("weir: {}", self.options.key);
        let LockOptions { ttl, lock_delay, .. } = self.options;
        let asked = Instant::now();
        let session = Session { name, ttl, lock_delay, keys: Keys::Release };
        let session = self.client.session_create(&session).await?;
        Ok((session, self.until(asked)))
    }

    fn poll(&self) -> Poll {
        Poll::new(self.client.clone(), Read::key(&self.options.key)).consistent()
    }

    /// Ends when nobody holds the key; says meanwhile who does.
    async fn free(&self) -> Result<(), Error> {
        let mut poll = self.poll();
        while let Some(holder) = poll.next(decode::lock_holder).await?.answer {
            self.follow(Some(holder.value));
        }
        Ok(())
    }

    /// Takes the lock and keeps it until it is lost.
    async fn hold(&self, session: &str, until: Instant) -> Result<Ended, Error> {
        let LockOptions { key, value, .. } = &self.options;
        if !self.client.kv_acquire(key, session, value.as_str()).await? {
            return Ok(Ended::NotGiven);
        }
        self.lead(session, until);
        tracing::info!(key, session, "lock taken");
        tokio::select! {
            () = self.renew(session, until) => tracing::warn!(key, "lock lost: its session could not be renewed"),
            () = self.taken_away(session) => tracing::warn!(key, "lock lost: Consul gave it up or to somebody else"),
        }
        Ok(Ended::Lost)
    }

    /// Renews the session; ends when that was not possible in time.
    async fn renew(&self, session: &str, mut until: Instant) {
        let every = self.options.ttl / 3;
        loop {
            tokio::time::sleep_until((Instant::now() + every).min(until)).await;
            let started = tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                renewed = self.renewed(session) => renewed,
            };
            let Some(started) = started else { return };
            until = self.until(started);
            self.lead(session, until);
        }
    }

    /// When the renewal that succeeded was sent; `None` where the session is gone. Waits as long as it takes.
    async fn renewed(&self, session: &str) -> Option<Instant> {
        for failures in 1.. {
            self.client.gate().pass(&self.client).await;
            let started = Instant::now();
            match self.client.session_renew(session).await {
                Ok(there) => return there.then_some(started),
                Err(error) => self.report(&error),
            }
            tokio::time::sleep(jittered(backoff(failures, RETRY), fastrand::f64())).await;
        }
        None
    }

    /// Ends when the key is no longer held by our session.
    async fn taken_away(&self, session: &str) {
        let mut poll = self.poll();
        loop {
            match poll.next(decode::lock_holder).await {
                Ok(news) if held_by(news.answer.as_ref(), session) => {}
                Ok(_) => return,
                // Whether it is still ours is not known: the session's time decides.
                Err(error) => self.report(&error),
            }
        }
    }

    /// Releases the key and ends the session; whether Consul said so in time.
    async fn let_go(&self, session: &str) -> bool {
        let LockOptions { key, value, .. } = &self.options;
        let both = async {
            // Released first: a session that ends while it holds a key leaves it locked for the lock-delay.
            let released = self.client.kv_release(key, session, value.as_str()).await;
            released.map(drop).and(self.client.session_destroy(session).await)
        };
        match tokio::time::timeout(RELEASE, both).await {
            // Rejected: there is no such session, so it holds nothing.
            Ok(Ok(()) | Err(Error::Rejected { .. })) => true,
            Ok(Err(error)) => {
                tracing::warn!(
                    key,
                    error = error.chain(),
                    "lock not released: it ends with its session's TTL"
                );
                false
            }
            Err(_) => false,
        }
    }

    /// A tenth of the TTL before Consul's own end: clocks do not run alike, and a write takes time.
    fn until(&self, renewed: Instant) -> Instant {
        renewed + self.options.ttl - self.options.ttl / 10
    }

    fn follow(&self, holder: Option<String>) {
        self.set(Leadership::Following { holder });
    }

    fn lead(&self, session: &str, until: Instant) {
        self.set(Leadership::Leading { session: session.to_owned(), until });
    }

    fn set(&self, now: Leadership) {
        self.state.send_if_modified(|state| {
            let changed = *state != now;
            *state = now;
            changed
        });
    }

    fn report(&self, error: &Error) {
        // A 5xx to a write may well concern the lock alone.
        let shared = error.reach() != Some(Reach::Failing) && self.client.gate().failed(error);
        if !shared {
            tracing::warn!(key = self.options.key, error = error.chain(), "lock: Consul refused");
        }
    }
}

/// How holding the lock ended.
enum Ended {
    /// It was never ours.
    NotGiven,
    /// It was ours.
    Lost,
}

fn held_by(holder: Option<&Holder>, session: &str) -> bool {
    holder.is_some_and(|holder| holder.session == session)
}
