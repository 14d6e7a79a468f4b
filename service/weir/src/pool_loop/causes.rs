//! Why an instance is not in a pool, by its address.
//!
//! In: what Consul says of all instances, whatever their status. Out: a [`Cause`]. The catalogue is gone through only when somebody
//! asks, which is when a server leaves, and what was found is kept until the catalogue is another one.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use weir_pools::plan::Cause;
use weir_pools::{Answer, Catalogue, Instance, Status};

/// So many addresses are looked for one by one: reading those of all instances costs as much as looking for some dozens.
const ONE_BY_ONE: usize = 16;

/// Looks causes up.
#[derive(Debug, Default)]
pub(super) struct Causes {
    catalogue: Arc<Catalogue>,
    found: RefCell<Found>,
}

/// The best status of the instances at an address, where there are any.
#[derive(Debug)]
enum Found {
    Some(HashMap<SocketAddr, Option<Status>>),
    All(HashMap<SocketAddr, Status>),
}

impl Default for Found {
    fn default() -> Self {
        Self::Some(HashMap::new())
    }
}

impl Causes {
    /// From now on those of this catalogue.
    pub(super) fn read(&mut self, catalogue: &Arc<Catalogue>) {
        if !Arc::ptr_eq(&self.catalogue, catalogue) {
            *self = Self { catalogue: catalogue.clone(), found: RefCell::default() };
        }
    }

    pub(super) fn of(&self, address: SocketAddr, unreachable: &BTreeSet<SocketAddr>) -> Cause {
        if unreachable.contains(&address) {
            return Cause::Unreachable;
        }
        match self.found.borrow_mut().status(&self.catalogue, address) {
            Some(Status::Critical) => Cause::Critical,
            Some(Status::Maintenance) => Cause::Maintenance,
            // One that passes and is not wanted all the same: its tags or its key values are others.
            Some(Status::Passing | Status::Warning) | None => Cause::Gone,
        }
    }
}

impl Found {
    fn status(&mut self, catalogue: &Catalogue, address: SocketAddr) -> Option<Status> {
        match self {
            Self::All(all) => return all.get(&address).copied(),
            Self::Some(some) if some.len() < ONE_BY_ONE => {
                return *some.entry(address).or_insert_with(|| status(catalogue, address));
            }
            Self::Some(_) => {}
        }
        let all = statuses(catalogue);
        let status = all.get(&address).copied();
        *self = Self::All(all);
        status
    }
}

fn status(catalogue: &Catalogue, address: SocketAddr) -> Option<Status> {
    let here = instances(catalogue).filter(|instance| instance.port == address.port());
    let here = here.filter(|instance| instance.socket_addr() == Some(address));
    here.map(|instance| instance.status).min()
}

fn instances(catalogue: &Catalogue) -> impl Iterator<Item = &Instance> {
    let lists = catalogue.iter().filter_map(|(_, answer)| match answer {
        Answer::Instances(instances) => Some(instances),
        Answer::Services(_) | Answer::Value(_) | Answer::Pairs(_) => None,
    });
    lists.flat_map(|instances| instances.iter())
}

fn statuses(catalogue: &Catalogue) -> HashMap<SocketAddr, Status> {
    let mut statuses = HashMap::new();
    for instance in instances(catalogue) {
        if let Some(address) = instance.socket_addr() {
            let best = statuses.entry(address).or_insert(instance.status);
            *best = instance.status.min(*best);
        }
    }
    statuses
}
