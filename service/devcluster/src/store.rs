//! One server's state behind a lock, with blocking queries over it.
//!
//! Inputs: changes through [`Store::write`]. Outputs: answers through [`Store::read`], or through
//! [`Store::blocking`] once the index of the asked thing has moved. Nothing here can fail.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// A state and the bell that rings after each change.
pub(crate) struct Store<S> {
    state: Mutex<S>,
    changes: watch::Sender<u64>,
}

/// What a blocking query waits for: an index above `index`, for at most `limit`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    /// The index that the client has already seen.
    pub(crate) index: u64,
    /// The longest wait, jitter included.
    pub(crate) limit: Duration,
}

impl<S> Store<S> {
    pub(crate) fn new(state: S) -> Self {
        Self { state: Mutex::new(state), changes: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&S) -> R) -> R {
        look(&self.lock())
    }

    /// Changes the state and wakes everybody who waits.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut S) -> R) -> R {
        let outcome = change(&mut self.lock());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        outcome
    }

    /// Like [`Store::write`], but wakes nobody when `change` says that nothing changed.
    pub(crate) fn write_if<R>(&self, change: impl FnOnce(&mut S) -> (bool, R)) -> R {
        let (changed, outcome) = change(&mut self.lock());
        if changed {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        outcome
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until `index` of the state is above the one in `wait`, or the limit has passed; returns
    /// the index and the answer of one and the same moment.
    pub(crate) async fn blocking<R>(
        &self,
        wait: Option<Wait>,
        index: impl Fn(&S) -> u64,
        answer: impl Fn(&S) -> R,
    ) -> (u64, R) {
        let mut changes = self.subscribe();
        let now = Instant::now();
        let until = now + wait.map_or(Duration::ZERO, |wait| wait.limit);
        loop {
            changes.borrow_and_update();
            let waited_out = wait.is_none() || Instant::now() >= until;
            let found = self.read(|state| {
                let at = index(state);
                let news = wait.is_some_and(|wait| at > wait.index);
                (waited_out || news).then(|| (at, answer(state)))
            });
            if let Some(found) = found {
                return found;
            }
            let _ = timeout_at(until, changes.changed()).await;
        }
    }
}
