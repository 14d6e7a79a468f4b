//! Which addresses are a group's instances: server ↔ instance ↔ allocation.
//!
//! Nomad registers a task's service in Consul under an ID that holds the allocation's:
//! `_nomad-task-ALLOCATION-…` (`client/serviceregistration/id.go`). So an allocation's addresses are those of
//! the instances that carry its ID.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use weir_pools::{Answer, Catalogue};

/// The length of an allocation ID, a UUID in text.
const ID_LENGTH: usize = 36;
const PREFIX: &str = "_nomad-task-";

/// The addresses that each allocation's instances have in the catalogue.
pub(crate) type Addresses = BTreeMap<String, BTreeSet<SocketAddr>>;

/// The allocation that registered an instance under this ID.
pub(crate) fn allocation(instance_id: &str) -> Option<&str> {
    let id = instance_id.strip_prefix(PREFIX)?.get(..ID_LENGTH)?;
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    hex(id).then_some(id)
}

/// What follows `group-` in the ID of one of the allocation's instances, beginning with the group's name;
/// nothing for a service of a task.
pub(crate) fn group_of(catalogue: &Catalogue, allocation_id: &str) -> Option<String> {
    let lists = catalogue.iter().filter_map(|(_, answer)| match answer {
        Answer::Instances(instances) => Some(instances),
        Answer::Services(_) | Answer::Value(_) | Answer::Pairs(_) => None,
    });
    let mut ids = lists.flat_map(|instances| instances.iter()).map(|instance| instance.id.as_str());
    let rest = ids.find_map(|id| id.strip_prefix(PREFIX)?.strip_prefix(allocation_id))?;
    rest.strip_prefix("-group-").map(str::to_owned)
}

/// All addresses by allocation.
pub(crate) fn addresses(catalogue: &Catalogue) -> Addresses {
    let mut addresses = Addresses::new();
    for (_, answer) in catalogue.iter() {
        let Answer::Instances(instances) = answer else { continue };
        for instance in instances.iter() {
            if let (Some(id), Some(address)) = (allocation(&instance.id), instance.socket_addr()) {
                addresses.entry(id.to_owned()).or_default().insert(address);
            }
        }
    }
    addresses
}

/// All allocations that have an instance in the catalogue.
pub(crate) fn allocations(catalogue: &Catalogue) -> BTreeSet<String> {
    let ids = catalogue.iter().filter_map(|(_, answer)| match answer {
        Answer::Instances(instances) => Some(instances.iter().filter_map(|one| allocation(&one.id))),
        Answer::Services(_) | Answer::Value(_) | Answer::Pairs(_) => None,
    });
    ids.flatten().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocation_is_read_from_the_id_that_nomad_gives() {
        let id = "_nomad-task-0d9e3b9e-1a3c-2f5e-8b57-7f2d0a1b2c3d-group-web-http-http";
        assert_eq!(allocation(id), Some("0d9e3b9e-1a3c-2f5e-8b57-7f2d0a1b2c3d"));
        assert_eq!(allocation("web-1"), None);
        assert_eq!(allocation("_nomad-task-short"), None);
        assert_eq!(allocation("_nomad-task-zzzzzzzz-1a3c-2f5e-8b57-7f2d0a1b2c3d-x"), None);
    }
}
