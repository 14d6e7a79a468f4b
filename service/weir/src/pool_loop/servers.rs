//! Which servers stand in which backend of a rendered configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haproxy_cfg::{Part, PoolNames, Sections, Server};
use weir_pools::guard::{Pools, differing};

/// The backends of a configuration with the `ADDRESS:PORT` of their servers, as [`weir_pools::Instance::server`]
/// writes it. A backend without servers is there, and empty.
pub(crate) fn pools_in(sections: &Sections) -> Arc<Pools> {
    pools_again(&Sections::default(), &Arc::default(), sections)
}

/// The same of a later text: `pools` are those in `before`. What did not change is the same in memory.
pub(crate) fn pools_again(before: &Sections, pools: &Arc<Pools>, sections: &Sections) -> Arc<Pools> {
    let names = changed_pools(before, sections);
    let mut found: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for part in sections.parts().iter().filter(|part| part.is_one_of(&names)) {
        for pool in part.document.pools() {
            let servers = pool.servers.iter().filter(|server| !is_free_slot(server)).map(address_of);
            found.entry(pool.name).or_default().extend(servers);
        }
    }
    let same = |name: &str| match (pools.get(name), found.get(name)) {
        (Some(before), Some(now)) => **before == *now,
        (before, now) => before.is_none() && now.is_none(),
    };
    let news: Vec<&str> = names.iter().filter(|name| !same(name)).collect();
    let mut pools = pools.clone();
    for name in news {
        let pools = Arc::make_mut(&mut pools);
        match found.remove(name) {
            Some(servers) => drop(pools.insert(name.into(), servers.into())),
            None => drop(pools.remove(name)),
        }
    }
    pools
}

/// The names of the pools in those sections that are not the same in both texts.
fn changed_pools<'a>(before: &'a Sections, now: &'a Sections) -> PoolNames<'a> {
    let (before, now) = (before.parts(), now.parts());
    let same = |(a, b): &(&Part, &Part)| Arc::ptr_eq(&a.document, &b.document);
    if before.len() == now.len() {
        let changed = before.iter().zip(now).filter(|both| !same(both));
        return changed.flat_map(|(a, b)| [a.pool(), b.pool()]).flatten().collect();
    }
    let first = before.iter().zip(now).take_while(same).count();
    let (before, now) = (&before[first..], &now[first..]);
    let last = before.iter().rev().zip(now.iter().rev()).take_while(same).count();
    let middle = before[..before.len() - last].iter().chain(&now[..now.len() - last]);
    middle.filter_map(Part::pool).collect()
}

/// The `ADDRESS:PORT` of a server, or what is written where it has none.
pub(crate) fn address_of(server: &Server<'_>) -> String {
    server
        .address
        .socket_addr()
        .map_or_else(|| server.written.to_owned(), |address| format!("{}:{}", address.ip(), address.port()))
}

/// Whether it only keeps a name for a server that may come: `server web3 0.0.0.0:1 disabled`.
fn is_free_slot(server: &Server<'_>) -> bool {
    server.address.socket_addr().is_some_and(|address| address.ip().is_unspecified())
}

/// Whether stick tables can be taught: the configuration has peers.
pub(crate) fn has_peers(text: &str) -> bool {
    text.lines().any(|line| line.split_whitespace().next() == Some("peers"))
}

/// What differs between two sets of pools, in words: `web +10.0.0.1:80 -10.0.0.2:80`. Empty where nothing does.
pub(crate) fn difference(before: &Pools, after: &Pools) -> String {
    let words = differing(before, after).filter_map(|(name, old, new)| {
        let none = BTreeSet::new();
        let (old, new) = (old.map_or(&none, |old| &**old), new.map_or(&none, |new| &**new));
        let added = new.difference(old).map(|server| format!(" +{server}"));
        let gone = old.difference(new).map(|server| format!(" -{server}"));
        let changes: Vec<String> = added.chain(gone).collect();
        (!changes.is_empty()).then(|| format!("{name}{}", shortened(&changes)))
    });
    let words: Vec<String> = words.collect();
    let named = words.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let rest = words.len().saturating_sub(NAMED);
    if rest == 0 { named } else { format!("{named}, and {rest} more pools") }
}

/// At most this many pools, and servers of each, are named in a reason; the rest is counted.
const NAMED: usize = 6;

fn shortened(changes: &[String]) -> String {
    let named = changes.iter().take(NAMED).map(String::as_str).collect::<String>();
    let rest = changes.len().saturating_sub(NAMED);
    if rest == 0 { named } else { format!("{named} and {rest} more") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pools_of(text: &str) -> Pools {
        Pools::clone(&pools_in(&Sections::parse(text)))
    }

    #[test]
    fn backends_and_listens_are_pools_and_empty_ones_are_there() {
        let pools = pools_of(
            "backend web\n  server a 10.0.0.1:80 check\n  server b [::1]:81\nbackend empty\nlisten l\n  bind :9\n  \
             server c example.org:80\nfrontend f\n  bind :80\n",
        );
        let servers = |name: &str| pools.get(name).unwrap().iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(servers("web"), ["10.0.0.1:80", "::1:81"]);
        assert_eq!(servers("l"), ["example.org:80"]);
        assert!(servers("empty").is_empty() && !pools.contains_key("f"));
    }

    #[test]
    fn a_difference_names_what_came_and_went() {
        let before = pools_of("backend web\n server a 10.0.0.1:80\n server b 10.0.0.2:80\nbackend x\n");
        let after = pools_of("backend web\n server a 10.0.0.1:80\n server c 10.0.0.3:80\nbackend x\n");
        assert_eq!(difference(&before, &after), "web +10.0.0.3:80 -10.0.0.2:80");
        assert_eq!(difference(&after, &after), "");
        assert_eq!(difference(&after, &Pools::new()), "web -10.0.0.1:80 -10.0.0.3:80");
        let many: Vec<String> = (1..=9).map(|n| format!("backend b{n}\n server a 10.0.0.{n}:80\n")).collect();
        let words = difference(&Pools::new(), &pools_of(&many.concat()));
        assert!(words.starts_with("b1 +10.0.0.1:80, b2") && words.ends_with(", and 3 more pools"), "{words}");
    }

    fn text() -> impl Strategy<Value = String> {
        let section = prop::sample::select(vec![
            "backend a\n",
            "backend b # x\n",
            "listen a\n",
            "backend\n",
            "frontend a\n",
            "global\n",
        ]);
        let servers = prop::collection::vec(1..4_u8, 0..3);
        let section = (section, servers).prop_map(|(header, servers)| {
            let server = |n: &u8| format!("  server s{n} 10.0.0.{n}:80\n");
            header.to_owned() + &servers.iter().map(server).collect::<String>()
        });
        prop::collection::vec(section, 0..6).prop_map(|sections| sections.concat())
    }

    proptest! {
        #[test]
        fn pools_of_a_later_text_are_those_of_a_first_one(texts in prop::collection::vec(text(), 1..5)) {
            let (mut sections, mut pools) = (Sections::default(), Arc::<Pools>::default());
            for text in texts {
                let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
                for pool in haproxy_cfg::Document::parse(text.as_str()).pools() {
                    expected.entry(pool.name.to_owned()).or_default().extend(pool.servers.iter().map(address_of));
                }
                let now = sections.parse_again(&*text);
                let again = pools_again(&sections, &pools, &now);
                let found: BTreeMap<String, BTreeSet<String>> =
                    again.iter().map(|(name, servers)| (name.to_string(), BTreeSet::clone(servers))).collect();
                prop_assert_eq!(found, expected);
                for (name, servers) in again.iter() {
                    let before = pools.get(name).filter(|before| *before == servers);
                    prop_assert!(before.is_none_or(|before| Arc::ptr_eq(before, servers)), "shared: {}", name);
                }
                prop_assert_eq!(Arc::ptr_eq(&again, &pools), again == pools);
                (sections, pools) = (now, again);
            }
        }
    }
}
