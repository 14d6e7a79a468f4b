//! When what HAProxy has is read back although nothing happened: all of it within each `verify_interval`.
//!
//! Some pools at a time, as a change has to wait while HAProxy is looked at: to read thousands of servers takes it, and weir, tens of
//! milliseconds. In: the servers as they were last read. Out: which pools to look at now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use weir_pools::plan::Observed;

/// So many servers are looked at together; more where one pool has more.
const AT_ONCE: usize = 250;

/// What is to be looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// At everything.
    All,
    /// At some pools; with the last of a round all were looked at.
    Pools { names: BTreeSet<String>, is_last: bool },
}

/// One round over all pools.
#[derive(Debug)]
pub(super) struct Verifying {
    interval: Duration,
    /// Those to come, the next one last. None where all are looked at together.
    left: Vec<String>,
    /// Between one look and the next.
    pause: Duration,
    at: Option<Instant>,
}

impl Verifying {
    /// Nothing is due before everything was read once.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, left: Vec::new(), pause: interval, at: None }
    }

    /// Everything was read now.
    pub(super) fn begin(&mut self, now: Instant, observed: &Observed) {
        let count: usize = observed.pools.values().map(BTreeMap::len).sum();
        let parts = u32::try_from(count.div_ceil(AT_ONCE).max(1)).unwrap_or(u32::MAX);
        self.left = if parts == 1 { Vec::new() } else { observed.pools.keys().rev().cloned().collect() };
        self.pause = self.interval / parts;
        self.at = Some(now + self.pause);
    }

    /// What is due now, if anything. [`Due::All`] stays due until everything was read.
    pub(super) fn due(&mut self, now: Instant, observed: &Observed) -> Option<Due> {
        self.at.filter(|at| *at <= now)?;
        if self.left.is_empty() {
            return Some(Due::All);
        }
        let names = self.next(observed);
        let is_last = self.left.is_empty();
        if is_last {
            self.begin(now, observed);
        } else {
            self.at = Some(now + self.pause);
        }
        Some(Due::Pools { names, is_last })
    }

    /// When something is due.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    fn next(&mut self, observed: &Observed) -> BTreeSet<String> {
        let (mut names, mut count) = (BTreeSet::new(), 0);
        while count < AT_ONCE
            && let Some(name) = self.left.pop()
        {
            count += observed.pools.get(&name).map_or(0, BTreeMap::len);
            names.insert(name);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;
    use weir_pools::plan::{Admin, CheckState, ObservedServer};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn pools(sizes: &[usize]) -> Observed {
        let server = ObservedServer {
            id: 1,
            address: Some(SocketAddr::from(([127, 0, 0, 1], 80))),
            weight: 1,
            maxconn: 0,
            admin: Admin::Ready,
            is_down: false,
            check: CheckState::None,
            sessions: 0,
            is_backup: false,
        };
        let mut observed = Observed::default();
        for (pool, size) in sizes.iter().enumerate() {
            for name in 0..*size {
                observed.insert(format!("p{pool}"), format!("s{name}"), server.clone());
            }
        }
        observed
    }

    #[test]
    fn a_few_servers_are_looked_at_together() {
        let (start, observed, mut verifying) = (Instant::now(), pools(&[10; 10]), Verifying::new(INTERVAL));
        assert_eq!(verifying.due(start, &observed), None);
        verifying.begin(start, &observed);
        assert_eq!(verifying.due(start + INTERVAL / 2, &observed), None);
        let due = [(); 2].map(|()| verifying.due(start + INTERVAL, &observed));
        assert_eq!(due, [Some(Due::All), Some(Due::All)]);
    }

    proptest! {
        #[test]
        fn each_pool_is_looked_at_once_within_the_interval(sizes in prop::collection::vec(1..400_usize, 2..30)) {
            prop_assume!(sizes.iter().sum::<usize>() > AT_ONCE);
            let (start, observed, mut verifying) = (Instant::now(), pools(&sizes), Verifying::new(INTERVAL));
            verifying.begin(start, &observed);
            let mut seen = Vec::new();
            loop {
                let at = verifying.at().unwrap();
                prop_assert!(at <= start + INTERVAL);
                let Some(Due::Pools { names, is_last }) = verifying.due(at, &observed) else { panic!("all at once") };
                let sizes: Vec<usize> = names.iter().map(|name| observed.pools[name].len()).collect();
                let most = sizes.iter().max().copied().unwrap_or(0);
                prop_assert!(sizes.iter().sum::<usize>() < AT_ONCE + most);
                seen.extend(names);
                if is_last {
                    break;
                }
            }
            seen.sort();
            prop_assert_eq!(seen, observed.pools.keys().cloned().collect::<Vec<_>>());
        }
    }
}
