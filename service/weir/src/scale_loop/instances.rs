//! A group's instances: what Nomad says of its allocations, joined with what HAProxy does with their servers.
//!
//! Server ↔ instance ↔ allocation are joined by address. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use weir_nomad::Allocation;
use weir_scaling::{Instance, InstanceState};

use super::join::Addresses;
use super::servers::{Seen, Servers};

/// The group's allocations that have not ended.
pub(super) fn instances(
    allocations: &[Allocation],
    group: &str,
    addresses: &Addresses,
    servers: Option<&Servers>,
) -> Vec<Instance> {
    let none = BTreeSet::new();
    let of = |allocation: &Allocation| {
        instance(allocation, addresses.get(&allocation.id).unwrap_or(&none), servers)
    };
    allocations.iter().filter(|one| one.group == group && !has_ended(one)).map(of).collect()
}

fn has_ended(allocation: &Allocation) -> bool {
    matches!(allocation.client_status.as_str(), "complete" | "failed" | "lost")
}

fn instance(allocation: &Allocation, at: &BTreeSet<SocketAddr>, servers: Option<&Servers>) -> Instance {
    let seen = || servers.into_iter().flat_map(|servers| servers.at(at));
    Instance {
        id: allocation.id.clone(),
        index: allocation.index.unwrap_or_default(),
        state: state(allocation, seen().any(|seen| seen.serves)),
        canary: allocation.canary,
        migrating: allocation.migrating,
        old_sessions: seen().filter(|seen| seen.leaving).map(|seen: &Seen| seen.sessions).sum(),
    }
}

fn state(allocation: &Allocation, serves: bool) -> InstanceState {
    match allocation.client_status.as_str() {
        _ if allocation.desired_status != "run" => InstanceState::Ending,
        "unknown" => InstanceState::Unknown,
        "running" if serves => InstanceState::Serving,
        _ => InstanceState::Starting,
    }
}

/// By allocation, for all of a group's instances.
pub(super) fn each<T>(
    instances: &[Instance],
    addresses: &Addresses,
    of: impl Fn(&BTreeSet<SocketAddr>) -> T,
) -> BTreeMap<String, T> {
    let none = BTreeSet::new();
    let at = |id: &str| addresses.get(id).unwrap_or(&none);
    instances.iter().map(|one| (one.id.clone(), of(at(&one.id)))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use weir_scaling::{BackendSample, Process, Reading, Sample, ServerSample, ServerState};

    use super::*;
    use crate::scale_loop::drain::Left;

    const OTHER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1002);
    const AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1001);

    fn allocation(client: &str, desired: &str) -> Allocation {
        Allocation {
            id: "a".into(),
            name: "web.app[3]".into(),
            index: Some(3),
            namespace: "default".into(),
            job: "web".into(),
            group: "app".into(),
            client_status: client.into(),
            desired_status: desired.into(),
            create_time: SystemTime::UNIX_EPOCH,
            deployment_healthy: None,
            canary: false,
            migrating: false,
        }
    }

    fn sample(state: ServerState, sessions: u64, leaving: bool) -> Sample {
        let server =
            ServerSample { name: "s".into(), address: Some(AT), state, sessions, ..ServerSample::default() };
        let backend =
            BackendSample { name: "web".into(), sessions, servers: vec![server], ..BackendSample::default() };
        let process = Process { node: 0, pid: 1, started: 1 };
        Sample { at: SystemTime::UNIX_EPOCH, process, leaving, backends: vec![backend] }
    }

    fn read(samples: Vec<Sample>, missing: &[&str]) -> Servers {
        let missing = missing.iter().map(|name| (*name).to_owned()).collect();
        Servers::of(&Reading { at: SystemTime::UNIX_EPOCH, samples, missing })
    }

    fn state_of(client: &str, desired: &str, server: ServerState) -> Option<InstanceState> {
        let addresses = Addresses::from([("a".to_owned(), BTreeSet::from([AT]))]);
        let servers = read(vec![sample(server, 0, false)], &[]);
        let all = instances(&[allocation(client, desired)], "app", &addresses, Some(&servers));
        all.first().map(|one| one.state)
    }

    #[test]
    fn an_instance_serves_once_haproxy_gives_it_sessions() {
        assert_eq!(state_of("running", "run", ServerState::Up), Some(InstanceState::Serving));
        assert_eq!(state_of("running", "run", ServerState::Down), Some(InstanceState::Starting));
        assert_eq!(state_of("pending", "run", ServerState::Up), Some(InstanceState::Starting));
        assert_eq!(state_of("unknown", "run", ServerState::Up), Some(InstanceState::Unknown));
        assert_eq!(state_of("running", "stop", ServerState::Up), Some(InstanceState::Ending));
        assert_eq!(state_of("complete", "stop", ServerState::Up), None);
        assert_eq!(state_of("failed", "run", ServerState::Up), None);
    }

    #[test]
    fn what_is_left_is_that_of_all_processes_and_unknown_where_one_is_silent() {
        let at = BTreeSet::from([AT]);
        let both = || vec![sample(ServerState::Drain, 1, false), sample(ServerState::Up, 2, true)];
        let servers = read(both(), &[]);
        assert_eq!(servers.left(&at), Left { sessions: 3, ..Left::default() });
        let names = servers.names(&at);
        assert!(names.len() == 1 && names.iter().all(|name| servers.addresses_of(name) == at));
        assert!(read(vec![sample(ServerState::Up, 0, false)], &[]).left(&at).takes_more);
        assert!(read(both(), &["b"]).left(&at).unknown, "a process did not answer");
        assert!(servers.left(&BTreeSet::from([OTHER])).unknown, "it may get a server at any moment");
        assert!(!servers.left(&BTreeSet::new()).unknown, "it is not even in Consul");
        let old = read(vec![sample(ServerState::Up, 2, true)], &[]);
        assert!(old.left(&at).unknown, "nobody takes new connections");
        let addresses = Addresses::from([("a".to_owned(), at)]);
        let all = instances(&[allocation("running", "run")], "app", &addresses, Some(&old));
        assert_eq!((all[0].old_sessions, all[0].index), (2, 3));
    }
}
