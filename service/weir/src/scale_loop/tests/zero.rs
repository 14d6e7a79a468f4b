//! To zero and back: nothing is drained before all load balancers hold what comes, and what is held wakes the group.

use std::collections::BTreeSet;

use weir_pools::intents::{Intent, Wish};
use weir_pools::plan::{WAKE, WakeState};

use super::*;
use crate::wake::{Holder, Holds, Said};

/// A leader over an idle job that may go to zero.
fn idle() -> World {
    let mut world = World { sessions: 0, min: 0, count: 1, instances: 1, ..World::leading() };
    let policy = json!({
        "cooldown": "1s", "stabilization": "1s", "check": CHECK.parse::<Value>().unwrap(),
        "scale_to_zero": true, "scale_to_zero_after": "3s",
    });
    world.policy(Reach::Ok, policy);
    world.holders([None]);
    world
}

impl World {
    /// So many load balancers hold so much.
    fn holders<const N: usize>(&mut self, holds: [Option<(WakeState, u64)>; N]) {
        let said = |(state, waiting)| Holds::from([("web".to_owned(), Said { waiting, state })]);
        let holder = |(number, holds): (usize, Option<_>)| Holder {
            name: format!("lb{number}"),
            holds: holds.map(said),
        };
        let holders = holds.into_iter().enumerate().map(holder).collect();
        self.scale_loop.note_holders(holders);
    }

    /// Consul says what is wished so far.
    fn tell_intents(&mut self) {
        let mut intents = Intents::default();
        for noting in &self.notes {
            for server in &noting.servers {
                let (wish, reason, owner) = (noting.wish, noting.reason.clone(), noting.owner.clone());
                let intent = Intent { wish, reason, owner, since: self.time, until: None };
                intents.insert(&server.backend, &server.name, intent);
            }
        }
        self.event(Event::Intents(Arc::new(intents)));
    }

    /// It was brought to zero: what it gets is wished to be held.
    fn wish_stands(&mut self) {
        let servers = BTreeSet::from([drain::Server { backend: "web".into(), name: WAKE.into() }]);
        let (policy, owner, reason) = ("p".to_owned(), "scaler:web/app".to_owned(), String::new());
        self.notes.push(Noting { policy, owner, wish: Wish::Wake, servers, reason, lasting: None });
        self.tell_intents();
    }

    /// Until the first wish is written.
    fn until_wished(&mut self) {
        let wished = (0..60).any(|_| {
            self.second();
            !self.notes.is_empty()
        });
        assert!(wished, "{}", self.reason());
    }

    fn wishes(&self) -> Vec<Wish> {
        self.notes.iter().map(|noting| noting.wish).collect()
    }

    fn reason(&self) -> String {
        self.scale_loop.policies["p"].last.as_ref().unwrap().reason.clone()
    }
}

#[test]
fn without_a_block_wake_on_every_load_balancer_the_last_instance_stays() {
    let mut world = idle();
    world.holders([Some((WakeState::Absent, 0)), None]);
    assert!(world.seconds(30).is_empty());
    assert!(world.notes.is_empty(), "{:?}", world.notes);
    let said =
        "the last instance stays: lb1 would not hold the first requests: its weir.hcl has no block `wake`";
    assert!(world.reason().ends_with(said), "{}", world.reason());
}

#[test]
fn the_last_instances_are_drained_once_every_load_balancer_holds_requests() {
    let mut world = idle();
    world.holders([Some((WakeState::Coming, 0)), Some((WakeState::InForce, 0))]);
    world.until_wished();
    assert_eq!(world.wishes(), [Wish::Wake]);
    let server = world.notes[0].servers.first().unwrap();
    assert_eq!((server.backend.as_str(), server.name.as_str()), ("web", WAKE));
    world.tell_intents();
    world.seconds(3);
    assert_eq!(world.wishes(), [Wish::Wake], "one of them does not yet");
    world.holders([Some((WakeState::InForce, 0)), Some((WakeState::InForce, 0))]);
    world.second();
    assert_eq!(world.wishes(), [Wish::Wake, Wish::Drain]);
    world.holders([Some((WakeState::InForce, 1)), Some((WakeState::InForce, 0))]);
    world.second();
    assert!(world.reason().contains("stays"), "somebody came meanwhile: {}", world.reason());
}

#[test]
fn a_pool_that_cannot_hold_is_named_and_not_tried_again_soon() {
    let mut world = idle();
    world.holders([Some((WakeState::Unfit("`balance source`".into()), 0))]);
    world.until_wished();
    world.tell_intents();
    world.seconds(30);
    let said = "lb0 cannot hold requests of pool web: `balance source`";
    assert!(world.reason().ends_with(said), "{}", world.reason());
    assert_eq!(world.wishes(), [Wish::Wake], "not again");
    let taken_back = world.strikes.iter().any(|striking| striking.servers.iter().any(|one| one.name == WAKE));
    assert!(taken_back, "{:?}", world.strikes);
}

#[test]
fn what_is_held_brings_it_back_and_the_wish_ends_once_an_instance_serves() {
    let mut world = World { count: 0, instances: 0, ..idle() };
    world.holders([Some((WakeState::InForce, 0)), Some((WakeState::InForce, 0))]);
    assert!(world.seconds(7).is_empty());
    assert!(world.reason().contains("left so until somebody sets it"), "{}", world.reason());
    world.wish_stands();
    assert!(world.second().is_empty(), "nobody waits");
    world.holders([Some((WakeState::InForce, 0)), Some((WakeState::InForce, 2))]);
    let asked = world.second();
    assert_eq!(asked.first().map(|asked| asked.count), Some(1), "{}", world.reason());

    world.count = 1;
    world.index += 1;
    world.answer(asked.into_iter().next().unwrap(), Ok(()));
    world.second();
    assert!(world.strikes.is_empty(), "nobody serves yet");
    world.instances = 1;
    world.second();
    assert_eq!(world.strikes.len(), 1, "{:?}", world.strikes);
}

#[test]
fn a_policy_with_a_mistake_leaves_a_new_leader_with_what_is_held() {
    let mut world = World { count: 0, instances: 0, ..World::leading() };
    world.min = 0;
    // Nobody saw a good version of it yet.
    world.scale_loop.policies.clear();
    world.policy(Reach::Ok, json!({"cooldwon": "1s"}));
    world.holders([Some((WakeState::InForce, 0))]);
    world.wish_stands();
    world.seconds(10);
    assert!(world.strikes.is_empty(), "{:?}", world.strikes);
}

#[test]
fn one_that_shall_go_to_zero_no_more_comes_back_although_nobody_waits() {
    let mut world = World { count: 0, instances: 0, ..idle() };
    world.wish_stands();
    world.holders([Some((WakeState::InForce, 0))]);
    world.seconds(3);
    world.policies(Reach::Ok);
    let asked = world.seconds(2);
    assert_eq!(asked.first().map(|asked| asked.count), Some(1), "{}", world.reason());
    assert!(world.strikes.is_empty(), "it is held until an instance serves: {:?}", world.strikes);
}
