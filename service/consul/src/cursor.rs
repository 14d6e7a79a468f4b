//! Where a blocking query stands: which index to ask from, and what an answer's index means.
//!
//! Pure. The rules are Consul's own for blocking queries, and stricter in one point: after any failure the next read
//! is a full one, since a Consul that was restarted empty can come back at the very same index.

use std::time::Duration;

/// The next index to ask from, and how.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    index: u64,
    max_stale: Duration,
    leader_next: bool,
}

/// What to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Take it. `full`: it does not continue an earlier answer.
    Use {
        /// Whether nothing is known of what lies between this answer and the one before.
        full: bool,
    },
    /// It comes from a server that is too far behind: ask the leader.
    TooOld,
}

/// The headers of an answer that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// `X-Consul-Index`; 0 where there is none.
    pub(crate) index: u64,
    /// `X-Consul-LastContact`: how long ago the server heard from the leader.
    pub(crate) last_contact: Duration,
}

impl Cursor {
    pub(crate) fn new(max_stale: Duration) -> Self {
        Self { index: 0, max_stale, leader_next: false }
    }

    /// The index to ask from; 0 for a full read that does not wait.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// Whether any server may answer. Full reads ask the leader, so that a start never shows an older state.
    pub(crate) fn stale(&self) -> bool {
        self.index > 0 && !self.leader_next && self.max_stale > Duration::ZERO
    }

    /// Forgets the index.
    pub(crate) fn restart(&mut self) {
        self.index = 0;
        self.leader_next = false;
    }

    /// Judges an answer and moves on.
    pub(crate) fn take(&mut self, stamp: Stamp) -> Verdict {
        if self.stale() && stamp.last_contact > self.max_stale {
            self.leader_next = true;
            return Verdict::TooOld;
        }
        self.leader_next = false;
        let before = std::mem::replace(&mut self.index, stamp.index);
        if stamp.index < before {
            self.index = 0;
            return Verdict::Use { full: true };
        }
        // The same index is no promise of the same answer: a permission that is given or taken moves none.
        Verdict::Use { full: before == 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Stamp {
        Stamp { index, last_contact: Duration::ZERO }
    }

    #[test]
    fn a_growing_index_is_followed() {
        let mut cursor = Cursor::new(Duration::from_secs(2));
        assert!(!cursor.stale());
        assert_eq!(cursor.take(at(7)), Verdict::Use { full: true });
        assert_eq!((cursor.index(), cursor.stale()), (7, true));
        assert_eq!(cursor.take(at(7)), Verdict::Use { full: false });
        assert_eq!(cursor.take(at(9)), Verdict::Use { full: false });
    }

    #[test]
    fn an_index_that_goes_backwards_starts_over() {
        let mut cursor = Cursor::new(Duration::ZERO);
        cursor.take(at(900));
        assert_eq!(cursor.take(at(12)), Verdict::Use { full: true });
        assert_eq!(cursor.index(), 0);
        assert_eq!(cursor.take(at(12)), Verdict::Use { full: true });
        assert_eq!(cursor.index(), 12);
    }

    #[test]
    fn index_0_is_a_full_read_every_time() {
        let mut cursor = Cursor::new(Duration::ZERO);
        for _ in 0..3 {
            assert_eq!(cursor.take(at(0)), Verdict::Use { full: true });
            assert_eq!(cursor.index(), 0);
        }
    }

    #[test]
    fn an_answer_that_is_too_old_is_asked_of_the_leader_once() {
        let mut cursor = Cursor::new(Duration::from_secs(2));
        cursor.take(at(7));
        let old = Stamp { index: 8, last_contact: Duration::from_secs(3) };
        assert_eq!(cursor.take(old), Verdict::TooOld);
        assert_eq!((cursor.index(), cursor.stale()), (7, false));
        assert_eq!(cursor.take(at(8)), Verdict::Use { full: false });
        assert!(cursor.stale());
    }

    #[test]
    fn after_a_failure_the_same_index_is_not_taken_for_the_same_state() {
        let mut cursor = Cursor::new(Duration::ZERO);
        cursor.take(at(7));
        cursor.restart();
        assert_eq!(cursor.take(at(7)), Verdict::Use { full: true });
    }
}
