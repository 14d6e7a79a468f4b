//! Why an instance is not in a pool, by its address.
//!
//! In: what Consul says of all instances, whatever their status. Out: a [`Cause`]. The catalogue is gone through only when somebody
//! asks, which is when a server leaves.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use weir_pools::plan::Cause;
use weir_pools::{Answer, Catalogue, Status};

/// Looks causes up.
pub(super) struct Causes<'a> {
    catalogue: &'a Catalogue,
    unreachable: &'a BTreeSet<SocketAddr>,
    /// The best status of the instances at each address.
    statuses: OnceCell<HashMap<SocketAddr, Status>>,
}

impl<'a> Causes<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, unreachable: &'a BTreeSet<SocketAddr>) -> Self {
        Self { catalogue, unreachable, statuses: OnceCell::new() }
    }

    pub(super) fn of(&self, address: SocketAddr) -> Cause {
        if self.unreachable.contains(&address) {
            return Cause::Unreachable;
        }
        match self.statuses.get_or_init(|| statuses(self.catalogue)).get(&address) {
            Some(Status::Critical) => Cause::Critical,
            Some(Status::Maintenance) => Cause::Maintenance,
            // One that passes and is not wanted all the same: its tags or its key values are others.
            Some(Status::Passing | Status::Warning) | None => Cause::Gone,
        }
    }
}

fn statuses(catalogue: &Catalogue) -> HashMap<SocketAddr, Status> {
    let lists = catalogue.iter().filter_map(|(_, answer)| match answer {
        Answer::Instances(instances) => Some(instances),
        Answer::Services(_) | Answer::Value(_) | Answer::Pairs(_) => None,
    });
    let mut statuses = HashMap::new();
    for instance in lists.flat_map(|instances| instances.iter()) {
        if let Some(address) = instance.socket_addr() {
            let best = statuses.entry(address).or_insert(instance.status);
            *best = instance.status.min(*best);
        }
    }
    statuses
}
