//! Situations of a cluster: the count goes where it should, and the decision says why.

use super::*;
use crate::history::Gain;
use crate::instances::{Instance, InstanceState};
use crate::seen::Deployment;

fn says(decision: &Decision, words: &str) {
    assert!(decision.reason.contains(words), "{}", decision.reason);
}

#[test]
fn a_deploy_that_resets_the_count_at_peak() {
    // 12 were there; the deploy wants 2 again while all are still serving.
    let deploying = Seen { deployment: Deployment::Foreign, ..seen(2, calm(105.0, 12)) };
    let decision = goes(&plain(2, 20), &deploying, 12);
    assert_eq!(decision.action, Action::Blocked);
    says(&decision, "waits for a deployment that somebody else started");
    // At the first unblocked moment the need is asked for again, at once.
    let after = Seen {
        deployment: Deployment::None,
        last_scale: Some(LastScale { at: ago(20), direction: Direction::Down }),
        ..deploying
    };
    assert_eq!(goes(&plain(2, 20), &after, 12).action, Action::Scale);
}

#[test]
fn what_is_told_of_a_decision_has_times_that_others_can_read() {
    let Demand::Known(load) = calm(0.0, 2) else { panic!("known") };
    let idle = Demand::Known(Load { idle: Some(Duration::from_millis(1500)), ..load });
    let last_scale = Some(LastScale { at: ago(60), direction: Direction::Up });
    let told = json!(decide(&plain(1, 9), &Seen { last_scale, ..seen(2, idle) }, now()));
    assert_eq!(told["at"], "1970-01-12T13:46:40Z");
    assert_eq!(told["last_scale"]["at"], "1970-01-12T13:45:40Z");
    assert_eq!(told["demand"]["known"]["idle"], 1.5);
    assert!(!told.to_string().contains("nanos"), "{told}");
}

#[test]
fn a_canary_that_waits_for_promotion() {
    // The canary serves on top of the four; its deployment blocks, and nobody's rollout is superseded.
    let rush = Load {
        queues: [300.0, 100.0],
        growth: 10.0,
        queued: 150.0,
        work: 200.0,
        steady: 50.0,
        rate: Some(300.0),
        newest_rate: Some(400.0),
        completions: Some(250.0),
        service_time: Some(0.2),
        serving: 5,
        slots: Some(10.0),
        ..Load::default()
    };
    let instance = |index, canary| Instance { id: format!("a{index}"), index, canary, ..Instance::default() };
    let instances: Vec<Instance> =
        (0..4).map(|index| instance(index, false)).chain([instance(0, true)]).collect();
    let sight = Seen { deployment: Deployment::Foreign, instances, ..seen(4, Demand::Known(rush)) };
    let decision = decide(&plain(2, 20), &sight, now());
    assert!(decision.rush && decision.to > 8, "{}", decision.reason);
    assert_eq!((decision.action, decision.supersede), (Action::Blocked, false));
    // When it is gone, the four are what counts; of those with its name goes first.
    let gone = Seen { deployment: Deployment::None, ..Seen { demand: calm(12.0, 5), ..sight } };
    assert_eq!(goes(&plain(2, 20), &gone, 2).victims, ["a0", "a3"]);
}

#[test]
fn our_own_deployment_gives_way_in_a_rush() {
    let load = Load {
        queues: [300.0, 100.0],
        growth: 10.0,
        queued: 150.0,
        work: 200.0,
        steady: 50.0,
        newest_rate: Some(400.0),
        completions: Some(250.0),
        service_time: Some(0.2),
        serving: 5,
        slots: Some(10.0),
        ..Load::default()
    };
    let own = |load: Load| Seen { deployment: Deployment::Own, ..seen(5, Demand::Known(load)) };
    let decision = decide(&plain(2, 20), &own(load.clone()), now());
    assert_eq!((decision.action, decision.supersede), (Action::Scale, true));
    let starting = decide(&plain(2, 20), &Seen { running: 4, ..own(load) }, now());
    assert_eq!(
        (starting.action, starting.supersede),
        (Action::Blocked, false),
        "Nomad would lose the health of the fifth"
    );
    says(&starting, "not superseded before all of its instances run");
    let calm = decide(&plain(2, 20), &Seen { deployment: Deployment::Own, ..seen(5, calm(80.0, 5)) }, now());
    assert_eq!((calm.action, calm.supersede), (Action::Blocked, false));
    says(&calm, "waits for the deployment of the last scale");
}

#[test]
fn what_only_a_rise_may_bring_is_asked_for_once() {
    let load = Load {
        queues: [60.0, 30.0],
        growth: 4.0,
        queued: 40.0,
        work: 50.0,
        steady: 10.0,
        newest_rate: Some(150.0),
        rise: 30.0,
        completions: Some(100.0),
        service_time: Some(0.1),
        serving: 2,
        slots: Some(5.0),
        ..Load::default()
    };
    let first = decide(&plain(2, 20), &seen(2, Demand::Known(load.clone())), now());
    let again = |deployment| {
        decide(&plain(2, 20), &Seen { deployment, ..seen(2, Demand::Known(load.clone())) }, now())
    };
    let (own, foreign) = (again(Deployment::Own), again(Deployment::Foreign));
    // 375 a second are 37.5 slots, 150 are 15.
    assert!(first.to >= 8, "{first:?}");
    assert!((4..=5).contains(&own.to), "{own:?}");
    assert_eq!(
        (foreign.to, foreign.action),
        (first.to, Action::Blocked),
        "it is asked for when that one ends"
    );
}

#[test]
fn a_placement_that_only_half_fits() {
    let decision =
        by(Rule::Placeable, &plain(2, 20), &Seen { placeable: Some(7), ..seen(2, calm(105.0, 2)) }, 7);
    says(&decision, "12 is more than the cluster has room for, 7");
    let full = Seen { placeable: Some(5), ..seen(7, calm(105.0, 7)) };
    by(Rule::Placeable, &plain(2, 20), &full, 7);
}

#[test]
fn a_slow_dependency() {
    let gain = |completions| Some(Gain { instances: 2.0, completions, error: 0.0, work: 1.5 });
    let sight = |completions| Seen { gain: gain(completions), ..seen(8, calm(120.0, 8)) };
    let decision = by(Rule::NoGain, &plain(2, 20), &sight(1.05), 8);
    assert!(decision.alarm);
    says(&decision, "14 would not help: the last increase brought no more completed requests");
    assert!(!goes(&plain(2, 20), &sight(1.9), 14).alarm);
    // Less is taken away as always, and the floor holds.
    goes(&plain(2, 20), &Seen { gain: gain(1.0), ..seen(8, calm(12.0, 8)) }, 2);
    goes(&plain(9, 20), &sight(1.0), 9);
}

#[test]
fn a_node_that_is_cut_off() {
    let instance = |index, state| Instance { id: format!("a{index}"), index, state, ..Instance::default() };
    let mut instances: Vec<Instance> = (0..4).map(|index| instance(index, InstanceState::Serving)).collect();
    instances[3].state = InstanceState::Unknown;
    // Three of four serve what needs four: one more is asked for in the place of the lost one.
    let sight = Seen { instances: instances.clone(), ..seen(4, calm(34.0, 3)) };
    goes(&plain(2, 20), &sight, 5);
    // Once Nomad has replaced it, it is not counted twice.
    instances.push(instance(4, InstanceState::Starting));
    goes(&plain(2, 20), &Seen { instances, ..sight }, 4);
}

/// Two instances of 5 slots, all busy, with so much waiting now and before.
fn pressed(queues: [f64; 2]) -> Load {
    let [newest, before] = queues;
    Load {
        queues,
        growth: (newest - before) / newest.max(160.0).sqrt(),
        queued: 40.0,
        work: 50.0,
        steady: 10.0,
        rate: Some(100.0),
        newest_rate: Some(160.0),
        completions: Some(77.0),
        service_time: Some(0.13),
        serving: 2,
        slots: Some(5.0),
        ..Load::default()
    }
}

#[test]
fn a_queue_that_appears_is_measured_for_a_second_first() {
    let first = goes(&plain(2, 20), &seen(2, Demand::Known(pressed([100.0, 0.0]))), 2);
    says(&first, "a queue has just appeared");
    let second = Load { newest_rate: Some(300.0), ..pressed([320.0, 100.0]) };
    let decision = decide(&plain(2, 20), &seen(2, Demand::Known(second)), now());
    assert!(decision.rush && decision.to >= 10, "{}", decision.reason);
}

#[test]
fn nothing_is_taken_away_while_requests_wait() {
    let load = |queues| Load {
        queues,
        queued: 12.0,
        work: 31.0,
        serving: 2,
        slots: Some(10.0),
        steady: 4.0,
        service_time: Some(0.01),
        rate: Some(100.0),
        newest_rate: Some(100.0),
        completions: Some(100.0),
        ..Load::default()
    };
    // Every slot is busy though few are needed in the mean: a queue has appeared, or is served again.
    for queues in [[90.0, 0.0], [20.0, 30.0]] {
        by(Rule::Queue, &plain(1, 20), &seen(2, Demand::Known(load(queues))), 2);
    }
    let none = Load { queued: 0.0, work: 4.0, ..load([0.0, 0.0]) };
    goes(&plain(1, 20), &seen(2, Demand::Known(none)), 1);
}

/// Long after an increase what does not serve is no new instance, but one that is drained or finds no room.
#[test]
fn an_old_increase_does_not_shorten_how_long_new_instances_take() {
    let asked = |seconds| {
        let load = Load { rate: Some(220.0), newest_rate: Some(300.0), ..pressed([320.0, 100.0]) };
        let last_scale = Some(LastScale { at: ago(seconds), direction: Direction::Up });
        let sight = Seen { last_scale, ..seen(3, Demand::Known(load)) };
        decide(&plain(2, 20), &sight, now()).to
    };
    assert!(asked(60) > asked(4), "{} {}", asked(60), asked(4));
    assert_eq!(asked(60), asked(600));
}

#[test]
fn a_count_that_a_person_set_is_the_new_start() {
    // Somebody went to 10 though 2 would do: for the cooldown it stays, then it is treated as any count.
    let by_hand = |seconds| Seen {
        last_scale: Some(LastScale { at: ago(seconds), direction: Direction::Up }),
        ..seen(10, calm(12.0, 10))
    };
    by(Rule::Cooldown, &plain(2, 20), &by_hand(5), 10);
    goes(&plain(2, 20), &by_hand(60), 2);
}
