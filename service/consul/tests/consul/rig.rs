//! What both kinds of tests use: a watcher, queries, and waiting for what it publishes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use weir_consul::{Client, Health, Options, TokenSource};
use weir_pools::{Catalogue, Instance, Query};

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A watcher and what it publishes.
pub(crate) struct Watched {
    pub(crate) client: Client,
    pub(crate) wanted: watch::Sender<BTreeSet<Query>>,
    pub(crate) catalogue: watch::Receiver<Arc<Catalogue>>,
    pub(crate) health: watch::Receiver<Arc<Health>>,
    _cancel: DropGuard,
}

pub(crate) fn options(address: &str) -> Options {
    Options { address: address.to_owned(), token: TokenSource::None, ..Options::default() }
}

pub(crate) fn watched(options: Options, queries: impl IntoIterator<Item = Query>) -> Watched {
    let client = Client::new(options).unwrap();
    let (wanted, receiver) = watch::channel(queries.into_iter().collect());
    let cancel = CancellationToken::new();
    let (catalogue, health) = weir_consul::watch(client.clone(), receiver, cancel.clone());
    Watched { client, wanted, catalogue, health, _cancel: cancel.drop_guard() }
}

pub(crate) fn service(name: &str) -> Query {
    Query::Service { name: name.to_owned(), datacenter: None }
}

pub(crate) fn key(path: &str) -> Query {
    Query::Key { path: path.to_owned(), datacenter: None }
}

/// Waits until what is published satisfies `wanted`.
pub(crate) async fn until<T>(what: &str, channel: &mut watch::Receiver<T>, wanted: impl FnMut(&T) -> bool)
where
    T: Clone + std::fmt::Debug,
{
    let met = tokio::time::timeout(DEADLINE, channel.wait_for(wanted)).await.map(|met| met.is_ok());
    let met = matches!(met, Ok(true));
    if !met {
        let last: String = format!("{:?}", channel.borrow()).chars().take(2000).collect();
        panic!("{what}: not within {DEADLINE:?}; last seen: {last}");
    }
}

impl Watched {
    pub(crate) async fn instances(
        &mut self,
        what: &str,
        name: &str,
        mut wanted: impl FnMut(&[Instance]) -> bool,
    ) {
        let query = service(name);
        until(what, &mut self.catalogue, |catalogue| {
            catalogue.instances(&query).is_some_and(|instances| wanted(instances))
        })
        .await;
    }
}

pub(crate) fn ports(instances: &[Instance]) -> Vec<u16> {
    instances.iter().map(|instance| instance.port).collect()
}
