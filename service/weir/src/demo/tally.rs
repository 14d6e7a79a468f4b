//! What has happened so far, added up. Pure: records and readings in, numbers and a verdict out.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::following::Change;
use super::records::{Entry, Event, why};

/// One scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scaled {
    pub(super) at: Timestamp,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) why: String,
}

/// The sums.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The last record that was taken in.
    pub(super) seq: u64,
    pub(super) scaled: Vec<Scaled>,
    /// From Consul's change to in force, one for each server that came or went.
    in_force: Vec<Duration>,
    /// Servers that came to Consul or went, `+` or `-` and the address, and are not in force yet.
    open: BTreeMap<String, Timestamp>,
    serving: Option<Serving>,
}

/// How many servers the pool had that serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Serving {
    pub(super) least: u64,
    pub(super) most: u64,
    /// The least since there were most.
    pub(super) least_since: u64,
    pub(super) now: u64,
}

impl Tally {
    /// Consul's answer changed.
    pub(super) fn consul_changed(&mut self, change: Change) {
        self.open.extend(change.servers.into_iter().map(|server| (server, change.at)));
    }

    /// A record of weir.
    pub(super) fn record(&mut self, entry: &Entry) {
        self.seq = self.seq.max(entry.seq);
        match &entry.event {
            Event::Changed { reason, result, .. } if result == "reloaded" => {
                self.now_in_force(entry.at, reason);
            }
            Event::Scaled { from, to, reason } => {
                self.scaled.push(Scaled { at: entry.at, from: *from, to: *to, why: why(reason).to_owned() });
            }
            _ => {}
        }
    }

    /// The reason names the servers that came and went.
    fn now_in_force(&mut self, at: Timestamp, reason: &str) {
        for word in reason.split([' ', ',']) {
            let change = self.open.remove(word);
            self.in_force.extend(change.map(|change| change.duration_until(at).unsigned_abs()));
        }
    }

    /// The pool as it is now.
    pub(super) fn serving(&mut self, now: u64) {
        let Some(seen) = &mut self.serving else {
            self.serving = Some(Serving { least: now, most: now, least_since: now, now });
            return;
        };
        seen.least = seen.least.min(now);
        seen.least_since = if now >= seen.most { now } else { seen.least_since.min(now) };
        seen.most = seen.most.max(now);
        seen.now = now;
    }

    pub(super) fn pool(&self) -> Option<Serving> {
        self.serving
    }

    /// The count that weir has asked Nomad for last.
    pub(super) fn wanted(&self) -> Option<u64> {
        self.scaled.last().map(|scaled| scaled.to)
    }

    /// The median and the longest time from Consul's change to in force.
    pub(super) fn delays(&self) -> Option<(Duration, Duration)> {
        let mut all = self.in_force.clone();
        all.sort();
        Some((*all.get(all.len() / 2)?, *all.last()?))
    }
}

/// What was expected of the pool by now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) min: u64,
    pub(super) grown: bool,
    pub(super) back: bool,
}

/// Why the pool did not follow the load, if it did not: it never grew, or it has not come at least half the way back.
pub(super) fn not_followed(pool: Option<Serving>, expected: Expected) -> Option<String> {
    let min = expected.min;
    let Some(pool) = pool else { return Some("weir never told how many instances serve".into()) };
    if expected.grown && pool.most <= min {
        return Some(format!("the pool never grew: {} instances at most", pool.most));
    }
    let half = min + pool.most.saturating_sub(min) / 2;
    (expected.back && pool.least_since > half).then(|| {
        format!("the pool did not come back: {} instances at most, still {}", pool.most, pool.least_since)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    fn changed(seq: u64, at: Timestamp, reason: &str) -> Entry {
        let (reason, result) = (reason.to_owned(), "reloaded".to_owned());
        Entry { seq, at, event: Event::Changed { reason, result, took_ms: 80 } }
    }

    #[test]
    fn a_server_counts_from_consul_until_the_reload_that_brings_it() {
        let mut tally = Tally::default();
        for (millis, server) in [(0, "+a:1"), (10, "-b:1"), (90, "+c:1")] {
            tally.consul_changed(Change { at: at(millis), servers: vec![server.to_owned()] });
        }
        tally.record(&changed(1, at(100), "web +a:1 -b:1, api +x:1"));
        assert_eq!(tally.in_force, [100, 90].map(Duration::from_millis));
        tally.record(&changed(2, at(200), "web +c:1"));
        assert_eq!((tally.seq, tally.in_force.len()), (2, 3));
        assert_eq!(tally.delays(), Some((Duration::from_millis(100), Duration::from_millis(110))));
    }

    fn pool(readings: &[u64]) -> Option<Serving> {
        let mut tally = Tally::default();
        for now in readings {
            tally.serving(*now);
        }
        tally.pool()
    }

    #[test]
    fn a_pool_follows_when_it_grows_and_comes_back_half_the_way() {
        let judge =
            |readings: &[u64], grown, back| not_followed(pool(readings), Expected { min: 2, grown, back });
        assert_eq!(judge(&[2, 5, 8, 5, 4], true, true), None);
        assert_eq!(judge(&[2, 2], false, false), None);
        assert_eq!(judge(&[2, 5], true, false), None);
        assert!(judge(&[2, 2], true, false).unwrap().contains("never grew"));
        assert!(judge(&[2, 8, 6], true, true).unwrap().contains("did not come back"));
        // Down and up again is not back.
        assert!(judge(&[2, 6, 3, 8], true, true).unwrap().contains("did not come back"));
        assert!(judge(&[], false, false).is_some());
    }
}
