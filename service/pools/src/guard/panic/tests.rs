use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::guard::emptied;
use crate::instance::tests::instance;

/// The state of an instance in Consul; `None`: it is not there.
type State = Option<Status>;

const PASSING: State = Some(Status::Passing);
const CRITICAL: State = Some(Status::Critical);
const MAINTENANCE: State = Some(Status::Maintenance);

fn query() -> Query {
    Query::Service { name: "web".into(), datacenter: None }
}

fn server(number: usize) -> String {
    format!("10.0.0.{number}:80")
}

fn catalogue(states: &[State]) -> Catalogue {
    let entry = |(number, state): (usize, &State)| {
        Some(Instance { status: (*state)?, ..instance("web", &server(number)) })
    };
    let instances: Vec<Instance> = states.iter().enumerate().filter_map(entry).collect();
    Catalogue::from_iter([(query(), Answer::Instances(instances.into()))])
}

/// What a template gives that prints passing instances.
fn pools(catalogue: &Catalogue) -> Pools {
    let all = catalogue.instances(&query()).unwrap().iter();
    let servers: BTreeSet<String> =
        all.filter(|instance| instance.status == Status::Passing).map(Instance::server).collect();
    Pools::from([("web".into(), Arc::new(servers))])
}

/// A load balancer: what is in force, and what it was rendered from.
#[derive(Default)]
struct World {
    guard: Guard,
    last_good: Catalogue,
    in_force: Pools,
    threshold: u8,
}

impl World {
    fn new(threshold: u8, states: &[State]) -> Self {
        let last_good = catalogue(states);
        Self { in_force: pools(&last_good), last_good, threshold, guard: Guard::default() }
    }

    /// One step, as the pool loop does it. Text that does not change leaves the last good catalogue as it is.
    fn step(&mut self, states: &[State]) -> Shift {
        let catalogue = catalogue(states);
        let given = pools(&catalogue);
        self.guard.replace(&[&given], &catalogue);
        let step = Step {
            outputs: &[(&self.in_force, Some(&given))],
            last_good: &self.last_good,
            catalogue: &catalogue,
            threshold: self.threshold,
            released: &|_| false,
        };
        let shift = self.guard.watch(&step);
        let mut effective = self.guard.effective(&catalogue);
        let emptied = emptied(&[&self.in_force], &[&pools(&effective)], |_| false);
        if !emptied.is_empty() {
            self.guard.hold(&emptied, &[&self.in_force], &self.last_good, &catalogue);
            effective = self.guard.effective(&catalogue);
        }
        if pools(&effective) != self.in_force {
            (self.in_force, self.last_good) = (pools(&effective), effective);
        }
        shift
    }

    fn size(&self) -> usize {
        self.in_force.get("web").unwrap().len()
    }

    fn panic(&self) -> Option<Share> {
        self.guard.held().find_map(|(_, held)| held.panic())
    }
}

/// So many of each.
fn states(passing: usize, critical: usize) -> Vec<State> {
    let mut states = vec![PASSING; passing];
    states.resize(passing + critical, CRITICAL);
    states
}

#[test]
fn a_pool_of_which_most_turn_critical_keeps_them_until_enough_are_healthy() {
    let mut world = World::new(30, &states(10, 0));
    let shift = world.step(&states(1, 9));
    assert_eq!(shift.held, BTreeSet::from(["web".to_owned()]));
    assert_eq!((world.size(), world.panic()), (10, Some(Share { healthy: 1, known: 10 })));
    // What is held is held once, and the last healthy one stays too when it turns critical.
    assert_eq!(world.step(&states(1, 9)), Shift::default());
    assert_eq!((world.step(&states(0, 10)), world.size()), (Shift::default(), 10));
    assert_eq!((world.step(&states(2, 8)), world.size()), (Shift::default(), 10));
    let share = Share { healthy: 3, known: 10 };
    assert_eq!(world.step(&states(3, 7)).released, BTreeMap::from([("web".to_owned(), share)]));
    assert_eq!((world.size(), world.guard.is_idle()), (3, true));
    // No flapping: those that were let go are not known any more.
    assert_eq!((world.step(&states(2, 8)), world.size()), (Shift::default(), 2));
}

#[test]
fn a_newcomer_joins_and_counts() {
    let mut world = World::new(30, &states(10, 0));
    world.step(&states(1, 9));
    let mut now = states(1, 9);
    now.push(PASSING);
    world.step(&now);
    assert_eq!((world.size(), world.panic()), (11, Some(Share { healthy: 2, known: 11 })));
    now.extend([PASSING, PASSING]);
    world.step(&now);
    assert_eq!((world.size(), world.panic()), (4, None));
}

#[test]
fn what_is_deregistered_or_in_maintenance_was_meant() {
    for meant in [None, MAINTENANCE] {
        let mut world = World::new(30, &states(10, 0));
        let mut now = vec![PASSING, PASSING];
        now.resize(10, meant);
        assert_eq!((world.step(&now), world.size()), (Shift::default(), 2));
        // Of those that are kept too.
        let mut world = World::new(30, &states(10, 0));
        world.step(&states(1, 9));
        let mut now = states(1, 4);
        now.resize(10, meant);
        world.step(&now);
        assert_eq!((world.size(), world.panic()), (5, Some(Share { healthy: 1, known: 5 })));
    }
}

#[test]
fn half_of_two_is_no_panic_and_all_of_one_is_the_other_guards() {
    let mut world = World::new(30, &states(2, 0));
    assert_eq!((world.step(&states(1, 1)), world.size()), (Shift::default(), 1));
    world.step(&states(0, 2));
    assert_eq!((world.size(), world.panic(), world.guard.is_idle()), (1, None, false));
}

#[test]
fn a_person_who_lets_them_go_does_so_once() {
    let mut world = World::new(30, &states(10, 0));
    world.step(&states(1, 9));
    world.guard.let_go("web");
    assert_eq!((world.step(&states(1, 9)), world.size()), (Shift::default(), 1));
    world.step(&states(10, 0));
    assert_eq!(world.step(&states(1, 9)).held.len(), 1);
    assert_eq!(world.size(), 10);
}

#[test]
fn an_output_that_says_nothing_ends_nothing() {
    let mut world = World::new(30, &states(10, 0));
    world.step(&states(1, 9));
    let before = world.guard.clone();
    let (catalogue, last_good) = (catalogue(&states(1, 9)), world.last_good.clone());
    let outputs = [(&world.in_force, None)];
    let (outputs, catalogue, last_good) = (&outputs[..], &catalogue, &last_good);
    let step = Step { outputs, last_good, catalogue, threshold: 30, released: &|_| false };
    assert_eq!((world.guard.watch(&step), &world.guard), (Shift::default(), &before));
    let released = Step { outputs: &[], ..step };
    assert_eq!(world.guard.watch(&released).released.len(), 1);
}

#[test]
fn an_address_that_another_service_has_now_is_not_kept() {
    let mut guard = Guard::default();
    let last_good = catalogue(&states(10, 0));
    let mut now = catalogue(&states(1, 9));
    let mail = Query::Service { name: "mail".into(), datacenter: None };
    let heir = |node: &str| Instance { node: node.into(), ..instance("mail", &server(9)) };
    let mut kept = |node: &str| {
        now.insert(mail.clone(), Answer::Instances([heir(node)].into()));
        let (before, given) = (pools(&last_good), pools(&now));
        let outputs = &[(&before, Some(&given))][..];
        let step =
            Step { outputs, last_good: &last_good, catalogue: &now, threshold: 30, released: &|_| false };
        guard.watch(&step);
        guard.held().flat_map(|(_, held)| held.kept()).count()
    };
    // Two services of one process are no reason.
    assert_eq!((kept("n1"), kept("n2")), (9, 8));
}

#[test]
fn what_is_remembered_by_an_older_weir_is_read() {
    let guard: Guard = serde_json::from_str(r#"{"held":{"web":{"kept":[],"back":[]}}}"#).unwrap();
    assert_eq!(guard.held().map(|(_, held)| held.panic()).collect::<Vec<_>>(), [None]);
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        3 => Just(PASSING),
        4 => Just(CRITICAL),
        1 => Just(Some(Status::Warning)),
        1 => Just(MAINTENANCE),
        1 => Just(None),
    ]
}

fn moments() -> impl Strategy<Value = Vec<Vec<State>>> {
    prop::collection::vec(prop::collection::vec(state(), 12), 1..12)
}

proptest! {
    /// What is in force after each step: every passing instance; of the others only such as were in force before and got worse,
    /// and these only below the threshold.
    #[test]
    fn what_is_held_was_in_force_and_got_worse(threshold in 0_u8..=100, moments in moments()) {
        let mut world = World::new(threshold, &[PASSING; 12]);
        for states in moments {
            let before = world.in_force.get("web").unwrap().clone();
            let given = pools(&catalogue(&states)).get("web").unwrap().clone();
            world.step(&states);
            let after = world.in_force.get("web").unwrap().clone();
            prop_assert!(given.is_subset(&after));
            let is_worse = |server: &&String| {
                let number: usize = server[7..server.len() - 3].parse().unwrap();
                matches!(states[number], CRITICAL | Some(Status::Warning))
            };
            let would_empty = world.guard.held().any(|(_, held)| held.panic().is_none());
            if !would_empty {
                let worse: BTreeSet<String> = before.difference(&given).filter(is_worse).cloned().collect();
                let share = Share { healthy: given.len(), known: given.len() + worse.len() };
                let expected = if share.is_below(threshold) { &*given | &worse } else { (*given).clone() };
                prop_assert_eq!(&*after, &expected);
                prop_assert_eq!(world.panic().is_some(), share.is_below(threshold));
            }
        }
    }

    /// Without a threshold nothing is held, whatever happens.
    #[test]
    fn at_0_there_is_no_panic(moments in moments()) {
        let mut world = World::new(0, &[PASSING; 12]);
        for states in moments {
            prop_assert_eq!(world.step(&states), Shift::default());
            prop_assert_eq!(world.panic(), None);
        }
    }

    /// The catalogue that is rendered has each kept instance as it was, once.
    #[test]
    fn a_kept_instance_stands_in_its_own_place(moments in moments()) {
        let mut world = World::new(40, &[PASSING; 12]);
        for states in moments {
            let now = catalogue(&states);
            world.step(&states);
            if world.guard.held().any(|(_, held)| held.panic().is_some()) {
                let effective = world.guard.effective(&now);
                let count = |catalogue: &Catalogue| catalogue.instances(&query()).unwrap().len();
                prop_assert_eq!(count(&effective), count(&now));
            }
        }
    }
}
