//! Drains in the whole loop, against a model of Nomad, Consul's intents and HAProxy, with every accident that
//! may happen.
//!
//! Whatever happens: Nomad takes one scale for each reading of the job, what is stopped was drained, and in
//! the end the count is right and no intent is left.

mod model;

use proptest::prelude::*;
use weir_pools::intents::{Intent, Wish};

use super::owner;
use crate::journal::DrainResult;
use model::{Accident, Model};

#[test]
fn a_fall_is_drained_and_then_scaled_once() {
    let mut model = Model::new(5);
    model.seconds(20);
    assert_eq!((model.live().count(), model.taken.len()), (5, 0));
    model.load = 3;
    model.seconds(60);
    assert_eq!((model.live().count(), model.taken.len()), (2, 1));
    assert_eq!(model.results(), [DrainResult::Stopped]);
    assert!(model.kv.is_empty());
}

#[test]
fn without_consul_nothing_is_taken_away_and_the_status_says_why() {
    let mut model = Model::new(5);
    model.load = 3;
    (0..60).for_each(|_| model.second(Some(Accident::NoIntents)));
    assert_eq!(model.live().count(), 5);
    let trouble = model.scale_loop.policies["p"].trouble.clone();
    assert_eq!(trouble.as_deref(), Some("Consul is away"));
    model.seconds(40);
    assert_eq!((model.live().count(), model.scale_loop.policies["p"].trouble.clone()), (2, None));
}

#[test]
fn demand_that_returns_takes_the_drain_back_without_a_scale() {
    let mut model = Model::new(5);
    model.load = 5;
    while model.kv.is_empty() {
        model.second(Some(Accident::Long));
    }
    model.load = 24;
    (0..6).for_each(|_| model.second(Some(Accident::Long)));
    assert!(model.kv.is_empty() && model.live().count() >= 5);
    assert_eq!(model.results(), [DrainResult::Withdrawn]);
}

#[test]
fn another_leader_takes_back_what_it_finds_and_goes_down_after_a_full_window() {
    let mut model = Model::new(5);
    model.load = 3;
    while model.kv.is_empty() {
        model.second(Some(Accident::Long));
    }
    model.start();
    model.seconds(3);
    assert!(model.kv.is_empty() && model.taken.is_empty());
    model.seconds(60);
    assert_eq!((model.live().count(), model.taken.len()), (2, 1));
}

#[test]
fn owners_of_other_namespaces_are_told_apart_and_strangers_intents_stay() {
    let mut raw = Model::new(2).scale_loop.policies["p"].raw.clone();
    assert_eq!(owner(&raw), "scaler:web/app");
    raw.namespace = "prod".into();
    assert_eq!(owner(&raw), "scaler:web/app@prod");

    let mut model = Model::new(3);
    let intent = |owner: &str| Intent {
        wish: Wish::Drain,
        reason: String::new(),
        owner: owner.into(),
        since: model.time,
        until: None,
    };
    let [person, gone] = [intent("ann"), intent("scaler:old/app")];
    model.kv.insert("web", "127.0.0.1:1001", person);
    model.kv.insert("web", "gone:80", gone);
    model.seconds(5);
    let owners: Vec<String> = model.kv.iter().map(|(_, _, intent)| intent.owner.clone()).collect();
    assert_eq!(owners, ["ann"]);
}

fn accident() -> impl Strategy<Value = Option<Accident>> {
    prop_oneof![
        12 => Just(None),
        1 => (0..6_usize).prop_map(|effects| Some(Accident::Crash(effects))),
        1 => Just(Some(Accident::NoIntents)),
        1 => Just(Some(Accident::Lost)),
        1 => Just(Some(Accident::Refused)),
        1 => (0..40_u64).prop_map(|load| Some(Accident::Load(load))),
        2 => Just(Some(Accident::Long)),
        1 => (2..=8_u64).prop_map(|count| Some(Accident::Person(count))),
        1 => (0..8_u64).prop_map(|index| Some(Accident::Replaced(index))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_happens_what_is_stopped_was_drained_and_nothing_is_left_behind(
        count in 2..=8_u64,
        accidents in prop::collection::vec(accident(), 20..160),
    ) {
        let mut model = Model::new(count);
        model.load = 3;
        for accident in accidents {
            model.second(accident);
        }
        model.load = 3;
        model.seconds(150);
        prop_assert_eq!(model.live().count(), 2);
        prop_assert!(model.kv.is_empty(), "{:?}", model.kv);
        prop_assert!(model.scale_loop.policies["p"].drain.is_none());
    }
}
