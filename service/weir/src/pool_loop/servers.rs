//! Which servers stand in which backend of a rendered configuration.

use std::collections::BTreeSet;
use std::sync::Arc;

use haproxy_cfg::{Document, Server};
use weir_pools::guard::Pools;

/// The backends of a configuration with the `ADDRESS:PORT` of their servers, as [`weir_pools::Instance::server`]
/// writes it. A backend without servers is there, and empty.
pub(crate) fn pools_of(text: &str) -> Pools {
    pools_in(&Document::parse(text))
}

/// The same of a configuration that is parsed already.
pub(crate) fn pools_in(document: &Document) -> Pools {
    let mut pools = Pools::new();
    for pool in document.pools() {
        let servers: BTreeSet<String> = pool.servers.iter().map(address_of).collect();
        Arc::make_mut(pools.entry(pool.name.into()).or_default()).extend(servers);
    }
    pools
}

/// The `ADDRESS:PORT` of a server, or what is written where it has none.
pub(crate) fn address_of(server: &Server<'_>) -> String {
    server
        .address
        .socket_addr()
        .map_or_else(|| server.written.to_owned(), |address| format!("{}:{}", address.ip(), address.port()))
}

/// Whether stick tables can be taught: the configuration has peers.
pub(crate) fn has_peers(text: &str) -> bool {
    text.lines().any(|line| line.split_whitespace().next() == Some("peers"))
}

/// What differs between two sets of pools, in words: `web +10.0.0.1:80 -10.0.0.2:80`. Empty where nothing does.
pub(crate) fn difference(before: &Pools, after: &Pools) -> String {
    let names: BTreeSet<&Arc<str>> = before.keys().chain(after.keys()).collect();
    let none = Arc::default();
    let words = names.into_iter().filter_map(|name| {
        let (old, new) = (before.get(name).unwrap_or(&none), after.get(name).unwrap_or(&none));
        if Arc::ptr_eq(old, new) {
            return None;
        }
        let added = new.difference(old).map(|server| format!(" +{server}"));
        let gone = old.difference(new).map(|server| format!(" -{server}"));
        let changes: Vec<String> = added.chain(gone).collect();
        (!changes.is_empty()).then(|| format!("{name}{}", shortened(&changes)))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// At most this many servers are named in a reason; the rest is counted.
const NAMED: usize = 6;

fn shortened(changes: &[String]) -> String {
    let named = changes.iter().take(NAMED).map(String::as_str).collect::<String>();
    let rest = changes.len().saturating_sub(NAMED);
    if rest == 0 { named } else { format!("{named} and {rest} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_and_listens_are_pools_and_empty_ones_are_there() {
        let pools = pools_of(
            "backend web\n  server a 10.0.0.1:80 check\n  server b [::1]:81\nbackend empty\nlisten l\n  bind :9\n  \
             server c example.org:80\nfrontend f\n  bind :80\n",
        );
        let servers = |name: &str| pools[name].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(servers("web"), ["10.0.0.1:80", "::1:81"]);
        assert_eq!(servers("l"), ["example.org:80"]);
        assert!(servers("empty").is_empty() && !pools.contains_key("f"));
    }

    #[test]
    fn a_difference_names_what_came_and_went() {
        let pools = |text: &str| pools_of(text);
        let before = pools("backend web\n server a 10.0.0.1:80\n server b 10.0.0.2:80\nbackend x\n");
        let after = pools("backend web\n server a 10.0.0.1:80\n server c 10.0.0.3:80\nbackend x\n");
        assert_eq!(difference(&before, &after), "web +10.0.0.3:80 -10.0.0.2:80");
        assert_eq!(difference(&after, &after), "");
    }
}
