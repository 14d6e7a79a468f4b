//! What is counted of the connections that are held for one backend.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For so long somebody who gave up counts as waiting: whoever asks with less patience than it takes to notice would
/// otherwise never bring the group back. Load balancers are read once a second, and one reading may fail.
const LATELY: Duration = Duration::from_secs(3);
/// How often it is said at most that connections are not held.
const SAID: Duration = Duration::from_mins(1);

/// Counters since weir started, and what is held now.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    held: AtomicU64,
    passed: AtomicU64,
    expired: AtomicU64,
    refused: AtomicU64,
    came: Mutex<Option<Instant>>,
    said: Mutex<Option<Instant>>,
}

/// The same at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Held now.
    pub(crate) held: u64,
    /// Went on to an instance.
    pub(crate) passed: u64,
    /// Waited for the whole time, and were closed.
    pub(crate) expired: u64,
    /// Were too many, and closed at once.
    pub(crate) refused: u64,
}

/// One connection that is held, as long as it lives.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a Tally);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tally {
    /// One more is held.
    pub(super) fn hold(&self, now: Instant) -> Held<'_> {
        self.note_coming(now);
        self.held.fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    /// It went on to an instance: nobody waits for what others must bring about.
    pub(super) fn pass(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
        *self.came.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// It waited for the whole time. Out: whether that is to be said.
    pub(super) fn expire(&self, now: Instant) -> bool {
        self.expired.fetch_add(1, Ordering::Relaxed);
        self.is_to_be_said(now)
    }

    /// It is one too many. Out: whether that is to be said.
    pub(super) fn refuse(&self, now: Instant) -> bool {
        self.note_coming(now);
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.is_to_be_said(now)
    }

    /// How many ask for an instance: those that are held, or one that came a moment ago and gave up.
    pub(crate) fn waiting(&self, now: Instant) -> u64 {
        let came = *self.came.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = came.is_some_and(|at| now.saturating_duration_since(at) < LATELY);
        self.held.load(Ordering::Relaxed).max(u64::from(lately))
    }

    pub(crate) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (held, passed) = (of(&self.held), of(&self.passed));
        Counts { held, passed, expired: of(&self.expired), refused: of(&self.refused) }
    }

    fn note_coming(&self, now: Instant) {
        *self.came.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    fn is_to_be_said(&self, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = said.is_none_or(|at| now.saturating_duration_since(at) >= SAID);
        if is_news {
            *said = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_who_gave_up_a_moment_ago_still_asks() {
        let (tally, now) = (Tally::default(), Instant::now());
        assert_eq!(tally.waiting(now), 0);
        let two = (tally.hold(now), tally.hold(now));
        assert_eq!(tally.waiting(now + LATELY), 2);
        drop(two);
        assert_eq!((tally.waiting(now), tally.counts().held), (1, 0));
        let now = now + LATELY;
        assert_eq!(tally.waiting(now), 0);
        assert!(tally.refuse(now) && !tally.refuse(now) && !tally.expire(now), "it is said once in a while");
        assert!(tally.expire(now + SAID));
        assert_eq!(tally.waiting(now), 1, "who was refused asked too");
        tally.pass();
        let counts = Counts { held: 0, passed: 1, expired: 2, refused: 2 };
        assert_eq!((tally.waiting(now), tally.counts()), (0, counts));
    }
}
