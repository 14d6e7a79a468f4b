use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use weir_scaling::{Unknown, measure};

use super::*;
use crate::peers::tests::sample;

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
}

fn read(samples: Vec<Sample>) -> State {
    State::Read { samples, missed: None }
}

fn view(id: u64, ago_ms: u64, states: Vec<State>) -> View {
    let haproxies =
        states.into_iter().map(|state| Balancer { name: String::new(), age_ms: 0, state, holds: None });
    let seen = Seen { ago: Duration::from_millis(ago_ms), haproxies: haproxies.collect() };
    let name = if id == 0 { String::new() } else { format!("lb{id}") };
    View { name, id, seen: Ok(seen) }
}

fn silent(id: u64) -> View {
    View { name: format!("lb{id}"), id, seen: Err("no answer within 800ms".into()) }
}

fn group() -> BTreeSet<std::net::SocketAddr> {
    BTreeSet::from(["10.0.0.1:80".parse().unwrap()])
}

#[test]
fn equal_process_ids_on_two_nodes_add_up() {
    let node = |id| view(id, 0, vec![read(vec![sample(7, 30, 100)])]);
    let reading = Joiner::default().join(at(0), &[node(0), node(3)]);
    let measured = measure(&reading, &group()).unwrap();
    assert_eq!((measured.work, measured.slots), (60.0, Some(20.0)));
    assert_eq!(measured.totals.len(), 2);
}

#[test]
fn what_is_unknown_is_named() {
    let unknown = State::Unknown { reason: "no answer to `show stat`".into() };
    let partly = State::Read { samples: vec![sample(7, 1, 1)], missed: Some("worker 9: no answer".into()) };
    let views = [view(0, 0, vec![partly]), view(2, 0, vec![unknown]), silent(3)];
    let reading = Joiner::default().join(at(0), &views);
    assert_eq!(
        reading.missing,
        [
            "HAProxy: worker 9: no answer",
            "lb2: HAProxy: no answer to `show stat`",
            "lb3: no answer within 800ms"
        ]
    );
    assert_eq!(reading.samples.len(), 1);
}

#[test]
fn a_stopped_one_is_zero_and_leaves_its_connections_to_the_others() {
    let mut joiner = Joiner::default();
    let both = [view(0, 0, vec![read(vec![sample(7, 3, 1)])]), view(2, 0, vec![read(vec![sample(7, 3, 1)])])];
    joiner.join(at(0), &both);
    joiner.join(at(1), &both);
    assert_eq!(joiner.role_changed(), None);
    let stopped = [both[0].clone(), view(2, 0, vec![State::Stopped])];
    let reading = joiner.join(at(2), &stopped);
    assert_eq!((reading.samples.len(), reading.missing.len()), (1, 0));
    assert_eq!(joiner.role_changed(), Some(at(2)));
    joiner.join(at(3), &stopped);
    assert_eq!(joiner.role_changed(), Some(at(2)), "it stopped once");
    joiner.join(at(4), &both[..1]);
    assert_eq!(joiner.role_changed(), Some(at(4)), "its registration is gone");
}

#[test]
fn all_stopped_is_unknown_rather_than_zero() {
    let reading = Joiner::default().join(at(0), &[view(0, 0, vec![State::Stopped])]);
    assert_eq!(measure(&reading, &group()), Err(Unknown::NoProcess));
}

#[test]
fn one_that_stands_by_has_no_slots_until_it_takes_over() {
    let mut joiner = Joiner::default();
    // The master has 30 sessions and 40 arrivals a second; monitoring asks the other one, now and then.
    let mut slots = |second: u64, master: (u64, u64), backup: (u64, u64)| {
        let own = view(0, 0, vec![read(vec![sample(7, master.0, master.1)])]);
        let other = view(2, 0, vec![read(vec![sample(7, backup.0, backup.1)])]);
        let measured = measure(&joiner.join(at(second), &[own, other]), &group()).unwrap();
        (measured.slots, Some(measured.work), joiner.role_changed())
    };
    for second in 0..30 {
        let (slots, work, changed) = slots(second, (30, 40 * second), (u64::from(second == 20), second / 20));
        assert_eq!((slots, changed), (Some(10.0), None), "second {second}");
        assert_eq!(work, Some(if second == 20 { 31.0 } else { 30.0 }));
    }
    assert_eq!(slots(30, (5, 1160), (30, 40)), (Some(20.0), Some(35.0), Some(at(30))), "it takes over");
    let later: Vec<_> = (31..60).map(|second| slots(second, (0, 1160), (30, 40 * (second - 29))).0).collect();
    assert_eq!(later.last(), Some(&Some(10.0)), "the old master stands by");
}

#[test]
fn with_nothing_to_do_nobody_stands_by() {
    let mut joiner = Joiner::default();
    for second in 0..10 {
        let node = |id| view(id, 0, vec![read(vec![sample(7, 0, 0)])]);
        let measured = measure(&joiner.join(at(second), &[node(0), node(2)]), &group()).unwrap();
        assert_eq!(measured.slots, Some(20.0));
    }
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        (1u32..3, 0u64..50, 0u64..50)
            .prop_map(|(pid, sessions, requests)| read(vec![sample(pid, sessions, requests)])),
        Just(State::Stopped),
        Just(State::Unknown { reason: "no answer".into() }),
    ]
}

fn any_views() -> impl Strategy<Value = Vec<View>> {
    let one = (0u64..6000, any_state(), any::<bool>());
    prop::collection::vec(one, 1..4).prop_map(|nodes| {
        let of = |(id, (ago, state, answers))| if answers { view(id, ago, vec![state]) } else { silent(id) };
        (0u64..).zip(nodes).map(of).collect()
    })
}

fn sessions(views: &[View], fresh: impl Fn(Duration) -> bool) -> u64 {
    let seen = views.iter().filter_map(|view| view.seen.as_ref().ok()).filter(|seen| fresh(seen.ago));
    let states = seen.flat_map(|seen| &seen.haproxies).map(|haproxy| &haproxy.state);
    let of = |state: &State| match state {
        State::Read { samples, .. } => samples.iter().map(|sample| sample.backends[0].sessions).sum(),
        _ => 0,
    };
    states.map(of).sum()
}

proptest! {
    /// Nothing is lost, nothing is counted twice, and what is not there is named, view after view.
    #[test]
    fn every_session_counts_once_and_every_gap_is_named(rounds in prop::collection::vec(any_views(), 1..6)) {
        let mut joiner = Joiner::default();
        for (second, views) in (0u64..).zip(&rounds) {
            let reading = joiner.join(at(second), views);
            let joined: u64 =
                reading.samples.iter().flat_map(|s| &s.backends).map(|backend| backend.sessions).sum();
            prop_assert_eq!(joined, sessions(views, |ago| ago <= FRESH));
            let processes: BTreeSet<Process> = reading.samples.iter().map(|sample| sample.process).collect();
            prop_assert_eq!(processes.len(), reading.samples.len(), "two samples of one process");
            let unknown = |view: &&View| match &view.seen {
                Err(_) => true,
                Ok(seen) => {
                    let lost = |one: &Balancer| matches!(one.state, State::Unknown { .. });
                    seen.ago > FRESH || seen.haproxies.iter().any(lost)
                }
            };
            prop_assert_eq!(reading.missing.len(), views.iter().filter(unknown).count());
            let current = reading.samples.iter().any(|sample| !sample.leaving);
            prop_assert!(current || reading.samples.is_empty(), "one at least takes connections");
        }
    }

    /// What another node's clock says is not looked at.
    #[test]
    fn the_clocks_of_other_nodes_do_not_matter(ago in 0u64..3000, skew in any::<u32>()) {
        let mut skewed = sample(7, 3, 1);
        skewed.at = UNIX_EPOCH + Duration::from_secs(u64::from(skew));
        let own = view(0, 200, vec![read(vec![sample(7, 3, 1)])]);
        let reading = Joiner::default().join(at(0), &[own, view(2, ago, vec![read(vec![skewed])])]);
        prop_assert_eq!(reading.at, at(0) - Duration::from_millis(200));
        prop_assert_eq!(reading.samples[1].at, at(0) - Duration::from_millis(ago));
    }
}
