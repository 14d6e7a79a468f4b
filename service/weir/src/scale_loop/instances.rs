//! A group's instances: what Nomad says of its allocations, joined with what HAProxy does with their servers.
//!
//! Server ↔ instance ↔ allocation are joined by address. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use weir_nomad::Allocation;
use weir_scaling::{Instance, InstanceState, Reading, Sample, ServerSample};

use super::drain::{Left, Server};
use super::join::Addresses;

/// The group's allocations that have not ended.
pub(super) fn instances(
    allocations: &[Allocation],
    group: &str,
    addresses: &Addresses,
    reading: Option<&Reading>,
) -> Vec<Instance> {
    let none = BTreeSet::new();
    let of = |allocation: &Allocation| {
        instance(allocation, addresses.get(&allocation.id).unwrap_or(&none), reading)
    };
    allocations.iter().filter(|one| one.group == group && !has_ended(one)).map(of).collect()
}

fn has_ended(allocation: &Allocation) -> bool {
    matches!(allocation.client_status.as_str(), "complete" | "failed" | "lost")
}

fn instance(allocation: &Allocation, at: &BTreeSet<SocketAddr>, reading: Option<&Reading>) -> Instance {
    let old = servers(reading, at).filter(|(sample, _, _)| sample.leaving);
    let serves = servers(reading, at).any(|(sample, _, server)| !sample.leaving && server.state.serves());
    Instance {
        id: allocation.id.clone(),
        index: allocation.index.unwrap_or_default(),
        state: state(allocation, serves),
        canary: allocation.canary,
        migrating: allocation.migrating,
        old_sessions: old.map(|(_, _, server)| server.sessions).sum(),
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

/// The servers that connect to these addresses, with their process and backend.
fn servers<'a>(
    reading: Option<&'a Reading>,
    at: &'a BTreeSet<SocketAddr>,
) -> impl Iterator<Item = (&'a Sample, &'a str, &'a ServerSample)> {
    let samples = reading.into_iter().flat_map(|reading| &reading.samples);
    samples.flat_map(move |sample| {
        let backends = sample.backends.iter();
        let all = backends.flat_map(|backend| backend.servers.iter().map(|one| (backend.name.as_str(), one)));
        let ours = all.filter(|(_, server)| server.address.is_some_and(|address| at.contains(&address)));
        ours.map(move |(backend, server)| (sample, backend, server))
    })
}

/// The names of the servers at these addresses. Every load balancer has the same ones.
pub(super) fn names(reading: Option<&Reading>, at: &BTreeSet<SocketAddr>) -> BTreeSet<Server> {
    let current = servers(reading, at).filter(|(sample, _, _)| !sample.leaving);
    current
        .map(|(_, backend, server)| Server { backend: backend.to_owned(), name: server.name.clone() })
        .collect()
}

/// What the instance at these addresses still has to do. `reading` is nothing where the newest is too old. One that is
/// listed in Consul and has no server yet may get one at any moment.
pub(super) fn left(reading: Option<&Reading>, at: &BTreeSet<SocketAddr>) -> Left {
    let is_young = !at.is_empty() && names(reading, at).is_empty();
    let mut left = Left { unknown: is_partial(reading) || is_young, ..Left::default() };
    for (sample, _, server) in servers(reading, at) {
        left.sessions += server.sessions + server.queue;
        left.takes_more |= !sample.leaving && server.state.serves();
    }
    left
}

fn is_partial(reading: Option<&Reading>) -> bool {
    reading.is_none_or(|reading| {
        !reading.missing.is_empty() || reading.samples.iter().all(|sample| sample.leaving)
    })
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

    use weir_scaling::{BackendSample, Process, ServerState};

    use super::*;

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
        let server = ServerSample {
            name: "s".into(),
            address: Some(AT),
            state,
            sessions,
            queue: 0,
            maxconn: None,
            total: 0,
            backup: false,
            unchanged_for: None,
        };
        let backend = BackendSample {
            name: "web".into(),
            sessions,
            queue: 0,
            requests: 0,
            errors: 0,
            servers: vec![server],
        };
        let process = Process { node: 0, pid: 1, started: 1 };
        Sample { at: SystemTime::UNIX_EPOCH, process, leaving, backends: vec![backend] }
    }

    fn reading(samples: Vec<Sample>) -> Reading {
        Reading { at: SystemTime::UNIX_EPOCH, samples, missing: Vec::new() }
    }

    fn state_of(client: &str, desired: &str, server: ServerState) -> Option<InstanceState> {
        let addresses = Addresses::from([("a".to_owned(), BTreeSet::from([AT]))]);
        let reading = reading(vec![sample(server, 0, false)]);
        let all = instances(&[allocation(client, desired)], "app", &addresses, Some(&reading));
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
        let both = reading(vec![sample(ServerState::Drain, 1, false), sample(ServerState::Up, 2, true)]);
        assert_eq!(left(Some(&both), &at), Left { sessions: 3, ..Left::default() });
        assert_eq!(names(Some(&both), &at).len(), 1);
        let up = reading(vec![sample(ServerState::Up, 0, false)]);
        assert!(left(Some(&up), &at).takes_more);
        let silent = Reading { missing: vec!["b".into()], ..both.clone() };
        assert!(left(Some(&silent), &at).unknown && left(None, &at).unknown);
        let old = reading(vec![sample(ServerState::Up, 2, true)]);
        let addresses = Addresses::from([("a".to_owned(), at)]);
        let all = instances(&[allocation("running", "run")], "app", &addresses, Some(&old));
        assert_eq!((all[0].old_sessions, all[0].index), (2, 3));
    }
}
