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
#[derive(Debug, Default)]
pub(super) struct Verifying {
    interval: Duration,
    pause: Duration,
    /// Those to come, the next one last. None where all are looked at together.
    left: Vec<(String, usize)>,
    at: Option<Instant>,
}

impl Verifying {
    /// Everything was read now, and is to be read again within `interval`.
    pub(super) fn begin(&mut self, now: Instant, interval: Duration, observed: &Observed) {
        let count: usize = observed.pools.values().map(BTreeMap::len).sum();
        let parts = u32::try_from(count.div_ceil(AT_ONCE).max(1)).unwrap_or(u32::MAX);
        let pools = observed.pools.iter().rev().map(|(name, servers)| (name.clone(), servers.len()));
        self.left = if parts == 1 { Vec::new() } else { pools.collect() };
        (self.interval, self.pause) = (interval, interval / parts);
        self.at = Some(now + self.pause);
    }

    /// What is due now, if anything. [`Due::All`] stays due until the next round begins.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        self.at.filter(|at| *at <= now)?;
        if self.left.is_empty() {
            return Some(Due::All);
        }
        self.at = Some(now + self.pause);
        let names = self.next();
        Some(Due::Pools { names, is_last: self.left.is_empty() })
    }

    /// Begins another round when the last pools of one were looked at.
    pub(super) fn begin_again(&mut self, now: Instant, observed: &Observed) {
        self.begin(now, self.interval, observed);
    }

    /// When something is due.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at
    }

    fn next(&mut self) -> BTreeSet<String> {
        let (mut names, mut count) = (BTreeSet::new(), 0);
        while count < AT_ONCE
            && let Some((name, servers)) = self.left.pop()
        {
            count += servers;
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
        let (start, mut verifying) = (Instant::now(), Verifying::default());
        assert_eq!(verifying.due(start), None);
        verifying.begin(start, INTERVAL, &pools(&[10; 10]));
        assert_eq!(verifying.due(start + INTERVAL / 2), None);
        let due = [(); 2].map(|()| verifying.due(start + INTERVAL));
        assert_eq!(due, [Some(Due::All), Some(Due::All)]);
    }

    proptest! {
        #[test]
        fn each_pool_is_looked_at_once_within_the_interval(sizes in prop::collection::vec(1..400_usize, 2..30)) {
            prop_assume!(sizes.iter().sum::<usize>() > AT_ONCE);
            let (start, observed, mut verifying) = (Instant::now(), pools(&sizes), Verifying::default());
            verifying.begin(start, INTERVAL, &observed);
            let mut seen = Vec::new();
            loop {
                let at = verifying.at().unwrap();
                prop_assert!(at <= start + INTERVAL);
                let Some(Due::Pools { names, is_last }) = verifying.due(at) else { panic!("all at once") };
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
