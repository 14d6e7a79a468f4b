use std::time::UNIX_EPOCH;

use super::*;
use crate::sample::ServerState;

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

fn group(of: &[u8]) -> BTreeSet<SocketAddr> {
    of.iter().copied().map(address).collect()
}

fn server(n: u8, sessions: u64, queue: u64) -> ServerSample {
    ServerSample {
        name: format!("s{n}"),
        address: Some(address(n)),
        state: ServerState::Up,
        sessions,
        queue,
        maxconn: Some(10),
        total: 100,
        ..ServerSample::default()
    }
}

fn backend(sessions: u64, queue: u64, servers: Vec<ServerSample>) -> BackendSample {
    BackendSample { name: "web".to_owned(), sessions, queue, servers, ..BackendSample::default() }
}

fn sample(pid: u32, leaving: bool, backends: Vec<BackendSample>) -> Sample {
    Sample { at: UNIX_EPOCH, process: Process { node: 0, pid, started: 5 }, leaving, backends }
}

fn reading(samples: Vec<Sample>) -> Reading {
    Reading { at: UNIX_EPOCH, samples, missing: Vec::new() }
}

#[track_caller]
fn work(samples: Vec<Sample>, of: &[u8]) -> (f64, f64) {
    let measure = measure(&reading(samples), &group(of)).unwrap();
    (measure.work, measure.queued)
}

#[test]
fn a_backend_of_the_groups_own_counts_whole() {
    // As measured on 2.6.12: the BACKEND row shows 20 sessions, of which 2 are served and 18 wait.
    let own = backend(20, 18, vec![server(1, 1, 0), server(2, 1, 0)]);
    assert_eq!(work(vec![sample(1, false, vec![own])], &[1, 2]), (20.0, 18.0));
}

#[test]
fn a_waiting_backup_and_empty_slots_leave_the_backend_its_own() {
    let backup = ServerSample { backup: true, ..server(9, 0, 0) };
    let slot = ServerSample { address: None, state: ServerState::Maint, ..server(8, 0, 0) };
    let own = backend(20, 18, vec![server(1, 2, 0), backup, slot]);
    assert_eq!(work(vec![sample(1, false, vec![own])], &[1]), (20.0, 18.0));
}

#[test]
fn in_a_shared_backend_the_queue_is_split_by_capacity() {
    let large = ServerSample { maxconn: Some(30), ..server(2, 30, 0) };
    // 4 bound to the group's server, 8 to any: a quarter of the capacity gives 2 of these.
    let shared = || backend(52, 12, vec![server(1, 10, 4), large.clone()]);
    assert_eq!(work(vec![sample(1, false, vec![shared()])], &[1]), (16.0, 6.0));
    assert_eq!(work(vec![sample(1, false, vec![shared()])], &[2]), (36.0, 6.0));
}

#[test]
fn shares_are_by_number_where_a_maxconn_is_missing() {
    let without = ServerSample { maxconn: None, ..server(2, 0, 0) };
    let shared = backend(20, 10, vec![server(1, 10, 0), without]);
    assert_eq!(work(vec![sample(1, false, vec![shared])], &[1]), (15.0, 5.0));
}

#[test]
fn old_workers_count_for_work_and_not_for_slots() {
    let new = sample(2, false, vec![backend(3, 0, vec![server(1, 3, 0)])]);
    let old = sample(1, true, vec![backend(4, 0, vec![server(1, 4, 0)])]);
    let measure = measure(&reading(vec![new, old]), &group(&[1])).unwrap();
    assert_eq!((measure.work, measure.serving, measure.slots), (7.0, 1, Some(10.0)));
}

#[test]
fn slots_add_up_over_processes_and_not_over_backends() {
    let both =
        || vec![backend(0, 0, vec![server(1, 0, 0)]), backend(0, 0, vec![server(1, 0, 0), server(2, 0, 0)])];
    let slots = |samples| measure(&reading(samples), &group(&[1, 2])).unwrap().slots;
    assert_eq!(slots(vec![sample(1, false, both())]), Some(10.0));
    assert_eq!(slots(vec![sample(1, false, both()), sample(2, false, both())]), Some(20.0));
    let one = || vec![backend(0, 0, vec![server(1, 0, 0)])];
    let joins = slots(vec![sample(1, false, both()), sample(2, false, one())]);
    assert_eq!(joins, Some(20.0), "the second will have them in the other process too");
    let apart = vec![sample(1, false, one()), sample(2, false, vec![backend(0, 0, vec![server(2, 0, 0)])])];
    assert_eq!(slots(apart), Some(10.0), "each is in a process of its own");
    let without = ServerSample { maxconn: None, ..server(2, 0, 0) };
    assert_eq!(slots(vec![sample(1, false, vec![backend(0, 0, vec![server(1, 0, 0), without])])]), None);
}

#[test]
fn tunnels_count_for_whom_they_stay_on() {
    let with = |n, sessions, tunnels| ServerSample { tunnels, ..server(n, sessions, 0) };
    let draining = ServerSample { state: ServerState::Drain, ..with(2, 6, 5) };
    let own = backend(16, 0, vec![with(1, 10, 7), draining.clone()]);
    let measured = |own, of: &[u8]| {
        let measure = measure(&reading(vec![sample(1, false, vec![own])]), &group(of)).unwrap();
        (measure.work, measure.tunnels, measure.left)
    };
    assert_eq!(measured(own, &[1, 2]), (4.0, 7.0, 5.0));
    let down = ServerSample { state: ServerState::Down, ..with(2, 6, 5) };
    assert_eq!(
        measured(backend(16, 0, vec![with(1, 10, 7), down]), &[1, 2]),
        (4.0, 12.0, 0.0),
        "they live on"
    );
    let shared = || backend(28, 2, vec![with(1, 10, 7), draining.clone(), with(3, 10, 4)]);
    assert_eq!(measured(shared(), &[1, 2]), (5.0, 7.0, 5.0), "half of the queue is theirs");
    assert_eq!(measured(shared(), &[3]), (7.0, 4.0, 0.0));
}

#[test]
fn an_instance_that_serves_in_one_process_keeps_its_tunnels_in_all() {
    let old = backend(3, 0, vec![ServerSample { tunnels: 3, state: ServerState::Maint, ..server(1, 3, 0) }]);
    let new = backend(2, 0, vec![ServerSample { tunnels: 1, ..server(1, 2, 0) }]);
    let measure =
        measure(&reading(vec![sample(2, false, vec![new]), sample(1, true, vec![old])]), &group(&[1]))
            .unwrap();
    assert_eq!((measure.work, measure.tunnels, measure.left), (1.0, 4.0, 0.0));
}

#[test]
fn equal_processes_of_two_nodes_are_two() {
    let on = |node| {
        let own = BackendSample { requests: 7, ..backend(3, 1, vec![server(1, 2, 0)]) };
        let process = Process { node, pid: 1, started: 5 };
        Sample { process, ..sample(1, false, vec![own]) }
    };
    let measure = measure(&reading(vec![on(0), on(1)]), &group(&[1])).unwrap();
    assert_eq!((measure.work, measure.queued, measure.serving), (6.0, 2.0, 1));
    assert_eq!(measure.slots, Some(20.0), "each admits its own maxconn");
    assert_eq!(measure.totals.values().sum::<u64>(), 14);
}

#[test]
fn missing_is_not_zero() {
    let none = backend(0, 0, vec![server(1, 0, 0)]);
    let of = |reading: &Reading, instances: &[u8]| measure(reading, &group(instances)).unwrap_err();
    let current = reading(vec![sample(1, false, vec![none.clone()])]);
    assert_eq!(of(&current, &[7]), Unknown::NoServer);
    assert_eq!(of(&current, &[]), Unknown::NoServer);
    assert_eq!(of(&reading(vec![]), &[1]), Unknown::NoProcess);
    assert_eq!(of(&reading(vec![sample(1, true, vec![none.clone()])]), &[1]), Unknown::NoProcess);
    let missing = vec!["worker 7".to_owned()];
    let nothing = Reading { missing: missing.clone(), ..reading(vec![]) };
    assert_eq!(of(&nothing, &[1]).to_string(), "HAProxy did not answer: worker 7");
    let partial = Reading { missing: missing.clone(), ..current };
    assert_eq!(of(&partial, &[7]).to_string(), "HAProxy did not answer: worker 7");
    let lower_bound = measure(&partial, &group(&[1])).unwrap();
    assert_eq!((lower_bound.work, lower_bound.missing), (0.0, missing));
}

#[test]
fn a_server_that_is_down_does_not_serve_but_keeps_its_work() {
    let down = ServerSample { state: ServerState::Down, ..server(2, 3, 0) };
    let measure = measure(
        &reading(vec![sample(1, false, vec![backend(5, 0, vec![server(1, 2, 0), down])])]),
        &group(&[1, 2]),
    )
    .unwrap();
    assert_eq!((measure.work, measure.serving), (5.0, 1));
}
