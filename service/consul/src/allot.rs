//! Which connections follow which queries.
//!
//! Pure: in, the queries that are wanted and the connections there are; out, who gets one alone, which services are followed
//! together, and what is only read from time to time.

use std::collections::{BTreeMap, BTreeSet};

use weir_pools::Query;

/// Kept free for probes, reads, sessions and the lock.
const RESERVE: usize = 16;
/// The fewest connections that services can be followed with: nodes, checks and the list of services.
const LEAST: usize = 3;

/// A service's datacenter; `None` for the agent's own.
pub(crate) type Datacenter = Option<String>;

/// Who is followed how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Allotment {
    /// By a connection each.
    pub(crate) narrow: BTreeSet<Query>,
    /// Services followed together, by datacenter.
    pub(crate) wide: BTreeMap<Datacenter, BTreeSet<Query>>,
    /// The connections of each datacenter in `wide`.
    pub(crate) share: usize,
    /// Keys for which no connection is left.
    pub(crate) sweep: BTreeSet<Query>,
}

/// The connections that watches may use out of `max_connections`.
pub(crate) fn budget(max_connections: usize) -> usize {
    max_connections.saturating_sub(RESERVE.min(max_connections / 2)).max(1)
}

/// The same for as long after the start as what ran here before may still have its connections: Consul (1.8.7) keeps a blocking
/// query that nobody waits for any more until its wait is over. Two of these fit in a limit of which `max_connections` is three
/// quarters; and one beside as many services as have a connection each, where they are on no more than fifty nodes.
pub(crate) fn budget_at_start(max_connections: usize) -> usize {
    budget(max_connections * 3 / 5)
}

/// Allots `budget` connections.
pub(crate) fn allot(wanted: &BTreeSet<Query>, budget: usize) -> Allotment {
    if wanted.len() <= budget {
        return Allotment { narrow: wanted.clone(), ..Allotment::default() };
    }
    let (services, others): (BTreeSet<_>, BTreeSet<_>) =
        wanted.iter().cloned().partition(|query| matches!(query, Query::Service { .. }));
    let wide = by_datacenter(services);
    let alone = if wide.is_empty() { budget } else { budget / 2 };
    let narrow: BTreeSet<_> = others.iter().take(alone).cloned().collect();
    let sweep = others.difference(&narrow).cloned().collect();
    let share = ((budget - narrow.len()) / wide.len().max(1)).max(LEAST);
    Allotment { narrow, wide, share, sweep }
}

fn by_datacenter(services: BTreeSet<Query>) -> BTreeMap<Datacenter, BTreeSet<Query>> {
    let mut wide: BTreeMap<Datacenter, BTreeSet<Query>> = BTreeMap::new();
    for query in services {
        if let Query::Service { datacenter, .. } = &query {
            wide.entry(datacenter.clone()).or_default().insert(query);
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query() -> impl Strategy<Value = Query> {
        let datacenter = prop_oneof![Just(None), Just(Some("dc2".to_owned()))];
        ("[a-z]{1,2}", datacenter, 0..3).prop_map(|(name, datacenter, kind)| match kind {
            0 => Query::Service { name, datacenter },
            1 => Query::Key { path: name, datacenter },
            _ => Query::Prefix { path: name, datacenter },
        })
    }

    proptest! {
        #[test]
        fn every_query_is_followed_once_and_within_the_budget(
            wanted in proptest::collection::btree_set(query(), 0..80), budget in 12_usize..60,
        ) {
            let allotment = allot(&wanted, budget);
            let mut followed: Vec<_> = allotment.narrow.iter().chain(&allotment.sweep).collect();
            followed.extend(allotment.wide.values().flatten());
            followed.sort();
            prop_assert_eq!(followed, wanted.iter().collect::<Vec<_>>());
            prop_assert!(allotment.narrow.len() + allotment.wide.len() * allotment.share <= budget);
        }
    }

    #[test]
    fn consuls_limit_is_kept_with_room_for_others() {
        assert_eq!((budget(150), budget_at_start(150)), (134, 74));
        assert_eq!(budget(4), 2);
        assert_eq!(budget(0), 1);
    }
}
