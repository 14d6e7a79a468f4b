//! One endpoint of a service, as Consul describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// One instance of a service. Serialized, its fields have Consul Template's names, so that templates carry over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Instance {
    /// The service ID; unique per Consul agent only.
    #[serde(rename = "ID")]
    pub id: String,
    /// The service's name.
    pub name: String,
    /// The service's address, or its node's where the service has none.
    pub address: String,
    /// The service's port; 0 where it was registered without one.
    pub port: u16,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// The service's metadata.
    pub service_meta: BTreeMap<String, String>,
    /// Named addresses of the service, such as `lan` and `wan`.
    pub service_tagged_addresses: BTreeMap<String, String>,
    /// DNS weights of the service.
    pub weights: Weights,
    /// The node's name.
    pub node: String,
    /// The node's ID.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// The node's address.
    pub node_address: String,
    /// The node's metadata.
    pub node_meta: BTreeMap<String, String>,
    /// Named addresses of the node.
    pub node_tagged_addresses: BTreeMap<String, String>,
    /// The node's datacenter.
    pub datacenter: String,
    /// The worst of the instance's checks.
    pub status: Status,
    /// The node's and the service's checks, without their output: output changes on every run and says
    /// nothing about the pool (hashicorp/consul-template#666).
    pub checks: Vec<Check>,
}

/// DNS weights of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Weights {
    /// Weight while every check passes.
    pub passing: u32,
    /// Weight while a check warns.
    pub warning: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// One health check of an instance or of its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Check {
    /// The check's ID; unique per node.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// The check's name.
    pub name: String,
    /// The check's status.
    pub status: Status,
}

/// The status of a check, or the worst of an instance's checks. Ordered from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every check passes, or there is none.
    Passing,
    /// A check warns.
    Warning,
    /// A check fails.
    Critical,
    /// The node or the service is in maintenance mode.
    Maintenance,
}

impl Status {
    /// The word that Consul and templates use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Maintenance => "maintenance",
        }
    }
}

impl Instance {
    /// The name of the instance's server: `ADDRESS:PORT`, unique in the service and equal on every load
    /// balancer. (Consul's IDs are unique per agent only.)
    pub fn server(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    /// The instance's address and port, where the address is an IP address.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.address.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

/// The lowest number [`server_ids`] gives out; HAProxy numbers servers without `id` from 1 up.
const FIRST_ID: u32 = 1 << 16;
/// HAProxy keeps a server's `id` in a signed 32-bit number.
const LAST_ID: u32 = i32::MAX as u32;

/// A stable number for each server name, for `id` in a `server` line: the same on every load balancer and after
/// every restart, unique among `servers`.
///
/// The number is a hash of the name; where two collide, the later in order takes the next free one.
pub fn server_ids<'a>(servers: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, u32> {
    let names: BTreeSet<&str> = servers.into_iter().collect();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeMap::new();
    for name in names {
        let mut id = FIRST_ID + fnv1a(name) % (LAST_ID - FIRST_ID);
        while !taken.insert(id) {
            id = if id == LAST_ID { FIRST_ID } else { id + 1 };
        }
        ids.insert(name, id);
    }
    ids
}

/// FNV-1a, 32 bit: fixed by its definition, unlike the standard library's hasher.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A passing instance of `service` at `ADDRESS:PORT`.
    pub(crate) fn instance(service: &str, server: &str) -> Instance {
        let addr: SocketAddr = server.parse().unwrap();
        Instance {
            id: format!("{service}-{server}"),
            name: service.into(),
            address: addr.ip().to_string(),
            port: addr.port(),
            tags: vec![],
            service_meta: BTreeMap::new(),
            service_tagged_addresses: BTreeMap::new(),
            weights: Weights::default(),
            node: "n1".into(),
            node_id: String::new(),
            node_address: addr.ip().to_string(),
            node_meta: BTreeMap::new(),
            node_tagged_addresses: BTreeMap::new(),
            datacenter: "dc1".into(),
            status: Status::Passing,
            checks: vec![],
        }
    }

    #[test]
    fn server_ids_are_unique_and_do_not_depend_on_the_company() {
        let names: Vec<String> = (0..5000).map(|n| format!("10.0.{}.{}:8080", n / 250, n % 250)).collect();
        let ids = server_ids(names.iter().map(String::as_str));
        assert_eq!(ids.values().collect::<BTreeSet<_>>().len(), 5000);
        assert!(ids.values().all(|id| (FIRST_ID..=LAST_ID).contains(id)));
        let alone = server_ids(["10.0.3.7:8080"]);
        assert_eq!(alone["10.0.3.7:8080"], ids["10.0.3.7:8080"]);
    }

    #[test]
    fn a_server_is_named_by_its_address_and_port() {
        let instance = instance("web", "10.0.0.1:80");
        assert_eq!(instance.server(), "10.0.0.1:80");
        assert_eq!(instance.socket_addr(), Some("10.0.0.1:80".parse().unwrap()));
    }
}
