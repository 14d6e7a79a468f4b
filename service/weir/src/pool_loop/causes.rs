//! Why an instance is not in a pool, by its address.
//!
//! In: what Consul says of all instances, whatever their status. Out: a [`Cause`]. Somebody asks whenever a server leaves, so that it
//! is known which answers have an instance at which port: of thousands of instances only those are looked at.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use weir_pools::plan::Cause;
use weir_pools::{Catalogue, Instance, Query, Status};

/// Looks causes up.
#[derive(Debug, Default)]
pub(super) struct Causes {
    catalogue: Arc<Catalogue>,
    ports: RefCell<Ports>,
}

/// Which answers of a catalogue have instances at which ports.
#[derive(Debug, Default)]
struct Ports {
    catalogue: Arc<Catalogue>,
    queries: HashMap<u16, BTreeSet<Arc<Query>>>,
}

impl Causes {
    /// From now on those of this catalogue.
    pub(super) fn read(&mut self, catalogue: &Arc<Catalogue>) {
        self.catalogue.clone_from(catalogue);
    }

    pub(super) fn of(&self, address: SocketAddr, unreachable: &BTreeSet<SocketAddr>) -> Cause {
        if unreachable.contains(&address) {
            return Cause::Unreachable;
        }
        match self.status(address) {
            Some(Status::Critical) => Cause::Critical,
            Some(Status::Maintenance) => Cause::Maintenance,
            // One that passes and is not wanted all the same: its tags or its key values are others.
            Some(Status::Passing | Status::Warning) | None => Cause::Gone,
        }
    }

    /// The best status of the instances at an address, where there are any.
    fn status(&self, address: SocketAddr) -> Option<Status> {
        let mut ports = self.ports.borrow_mut();
        ports.read(&self.catalogue);
        let queries = ports.queries.get(&address.port()).into_iter().flatten();
        let instances = queries.filter_map(|query| self.catalogue.instances(query));
        let here = instances.flat_map(|list| list.iter()).filter(|instance| is_at(instance, address));
        here.map(|instance| instance.status).min()
    }
}

fn is_at(instance: &Instance, address: SocketAddr) -> bool {
    instance.port == address.port() && instance.socket_addr() == Some(address)
}

impl Ports {
    /// Goes on to another catalogue. Costs what differs.
    fn read(&mut self, catalogue: &Arc<Catalogue>) {
        let before = std::mem::replace(&mut self.catalogue, catalogue.clone());
        for query in before.differing(catalogue) {
            for port in ports(&before, query) {
                self.forget(port, query);
            }
            let Some((query, _)) = catalogue.entry(query) else { continue };
            for port in ports(catalogue, query) {
                self.queries.entry(port).or_default().insert(query.clone());
            }
        }
    }

    fn forget(&mut self, port: u16, query: &Query) {
        if let Some(queries) = self.queries.get_mut(&port) {
            queries.remove(query);
            if queries.is_empty() {
                self.queries.remove(&port);
            }
        }
    }
}

fn ports<'a>(catalogue: &'a Catalogue, query: &Query) -> impl Iterator<Item = u16> + use<'a> {
    catalogue.instances(query).into_iter().flat_map(|list| list.iter()).map(|instance| instance.port)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use weir_pools::{Answer, Weights};

    use super::*;

    const STATUSES: [Status; 4] = [Status::Passing, Status::Warning, Status::Critical, Status::Maintenance];

    fn instance(host: u8, port: u16, status: Status) -> Instance {
        Instance {
            id: String::new(),
            name: String::new(),
            address: format!("10.0.0.{host}"),
            port,
            tags: vec![],
            service_meta: BTreeMap::new(),
            service_tagged_addresses: BTreeMap::new(),
            weights: Weights::default(),
            node: String::new(),
            node_id: String::new(),
            node_address: String::new(),
            node_meta: BTreeMap::new(),
            node_tagged_addresses: BTreeMap::new(),
            datacenter: String::new(),
            status,
            checks: vec![],
        }
    }

    fn moment() -> impl Strategy<Value = Arc<Catalogue>> {
        let instance = (1..3_u8, 1..4_u16, prop::sample::select(STATUSES.to_vec()))
            .prop_map(|(host, port, status)| instance(host, port, status));
        let lists = prop::collection::btree_map("[a-c]", prop::collection::vec(instance, 0..3), 0..3);
        lists.prop_map(|lists| {
            let answer = |(name, list): (String, Vec<Instance>)| {
                (Query::Service { name, datacenter: None }, Answer::Instances(list.into()))
            };
            Arc::new(lists.into_iter().map(answer).collect())
        })
    }

    proptest! {
        #[test]
        fn what_is_known_of_ports_is_what_the_whole_catalogue_says(moments in prop::collection::vec(moment(), 1..8)) {
            let mut causes = Causes::default();
            for catalogue in moments {
                causes.read(&catalogue);
                for (host, port) in (1..3_u8).flat_map(|host| (1..4_u16).map(move |port| (host, port))) {
                    let address = SocketAddr::from(([10, 0, 0, host], port));
                    let lists = catalogue.iter().filter_map(|(query, _)| catalogue.instances(query));
                    let here = lists.flat_map(|list| list.iter()).filter(|instance| is_at(instance, address));
                    prop_assert_eq!(causes.status(address), here.map(|instance| instance.status).min());
                }
            }
        }
    }
}
