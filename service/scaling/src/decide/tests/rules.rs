//! Each rule by itself: that it holds, when it does not, and that the decision names it.

use super::*;
use crate::history::Gain;
use crate::instances::Instance;
use crate::seen::Scale;

/// Enough for 10 instances, and for 2.
const HIGH: f64 = 88.0;
const LOW: f64 = 12.0;

fn scaled(direction: Direction, seconds: u64) -> LastScale {
    LastScale { at: ago(seconds), direction }
}

#[test]
fn the_bounds_hold_whatever_is_known() {
    for policy in [plain(3, 5), policy(3, 5, json!({}))] {
        by(Rule::Min, &policy, &seen(2, unknown()), 3);
        by(Rule::Max, &policy, &seen(9, unknown()), 5);
        goes(&policy, &seen(4, unknown()), 4);
        goes(&policy, &Seen { last_scale: Some(scaled(Direction::Up, 0)), ..seen(9, unknown()) }, 5);
    }
}

#[test]
fn a_decrease_is_the_greatest_of_its_window() {
    let policy = policy(2, 20, with_load(json!({"stabilization": "1m"})));
    let remembers = |count| Seen { memory: remembers(count), ..seen(12, calm(LOW, 12)) };
    goes(&policy, &remembers(0), 2);
    by(Rule::Stabilization, &policy, &remembers(8), 8);
    by(Rule::Stabilization, &policy, &remembers(30), 12);
    by(Rule::Stabilization, &policy, &Seen { memory: Memory::default(), ..seen(12, calm(LOW, 12)) }, 12);
}

#[test]
fn an_increase_is_the_least_of_its_window() {
    let policy = policy(2, 20, with_load(json!({"scale_up": [{"stabilization": "30s"}]})));
    let remembers = |count| Seen { memory: remembers(count), ..seen(4, calm(HIGH, 4)) };
    goes(&policy, &remembers(15), 10);
    by(Rule::Stabilization, &policy, &remembers(6), 6);
    by(Rule::Stabilization, &policy, &remembers(2), 4);
    by(Rule::Stabilization, &policy, &Seen { memory: Memory::default(), ..seen(4, calm(HIGH, 4)) }, 4);
}

#[test]
fn a_fall_that_goes_on_is_waited_for() {
    let policy = policy(2, 20, with_load(json!({"stabilization": "1m"})));
    let mut memory = Memory::default();
    for second in (0..=70).rev() {
        let stable = if second > 45 { 10 } else { 3 };
        let decision = Decision { stable: Some(stable), ..decide(&policy, &seen(1, unknown()), ago(second)) };
        memory.note(&decision, &policy);
    }
    by(Rule::Falling, &policy, &Seen { memory, ..seen(12, calm(LOW, 12)) }, 12);
}

#[test]
fn rates_are_those_of_the_hpa() {
    // Cases by the formulas of `horizontal.go`: from the count at the start of the period, 4 instances or 100
    // percent.
    let rate = |value, period| json!([{"value": value, "period": period}]);
    let policy = |select: &str| {
        let rates = json!([{"instances": rate(4, "15s")}, {"percent": rate(100, "15s")}]);
        let down = json!([{"instances": rate(1, "1m")}]);
        let up = json!([{"select": select, "rate": rates}]);
        policy(1, 50, with_load(json!({"scale_up": up, "scale_down": [{"rate": down}]})))
    };
    by(Rule::Rates, &policy("max"), &seen(3, calm(HIGH, 3)), 7);
    by(Rule::Rates, &policy("max"), &seen(8, calm(400.0, 8)), 16);
    by(Rule::Rates, &policy("min"), &seen(8, calm(400.0, 8)), 12);
    by(Rule::Rates, &policy("disabled"), &seen(8, calm(400.0, 8)), 8);
    let after = |from, to, seconds| Seen {
        scales: vec![Scale { at: ago(seconds), from, to }],
        ..seen(to, calm(400.0, to))
    };
    by(Rule::Rates, &policy("max"), &after(3, 6, 10), 7);
    by(Rule::Rates, &policy("max"), &after(3, 6, 20), 12);
    by(Rule::Rates, &policy("max"), &seen(12, calm(LOW, 12)), 11);
    let went_down = Seen { scales: vec![Scale { at: ago(30), from: 13, to: 12 }], ..seen(12, calm(LOW, 12)) };
    by(Rule::Rates, &policy("max"), &went_down, 12);
}

#[test]
fn small_decreases_are_not_worth_it_but_the_last_is() {
    let policy = policy(2, 20, with_load(json!({"scale_down": [{"tolerance": 0.2}]})));
    by(Rule::Hysteresis, &policy, &seen(10, calm(80.0, 10)), 10);
    goes(&policy, &seen(10, calm(70.0, 10)), 8);
    goes(&policy, &seen(3, calm(LOW, 3)), 2);
}

#[test]
fn the_cooldown_holds_decreases_after_increases_and_no_increases() {
    let policy = policy(2, 20, with_load(json!({"stabilization": "0s"})));
    let after = |direction, seconds, work| Seen {
        last_scale: Some(scaled(direction, seconds)),
        ..seen(8, calm(work, 8))
    };
    by(Rule::Cooldown, &policy, &after(Direction::Up, 14, LOW), 8);
    goes(&policy, &after(Direction::Up, 15, LOW), 2);
    goes(&policy, &after(Direction::Up, 1, HIGH), 10);
    goes(&policy, &after(Direction::Down, 1, LOW), 2);
    let written = super::policy(2, 20, with_load(json!({"cooldown": "1m"})));
    by(Rule::Cooldown, &written, &after(Direction::Down, 59, LOW), 8);
    goes(&written, &after(Direction::Down, 60, LOW), 2);
}

#[test]
fn what_is_drained_is_not_called_back_by_chance() {
    let policy = plain(2, 20);
    // Five are needed, or four with half of the margin; six were needed a moment ago.
    let sight = |work, draining| Seen { memory: remembers(6), draining, ..seen(8, calm(work, 8)) };
    by(Rule::Stabilization, &policy, &sight(38.0, None), 6);
    goes(&policy, &sight(38.0, Some(5)), 5);
    goes(&policy, &sight(47.0, Some(5)), 5);
    by(Rule::Draining, &policy, &sight(20.0, Some(5)), 5);
    assert!(decide(&policy, &sight(49.5, Some(5)), now()).to > 5, "half of the margin is gone");
    // Neither is it a reason against the others.
    let changed = Seen { role_changed: Some(ago(1)), ..sight(38.0, Some(5)) };
    by(Rule::RoleChange, &policy, &changed, 8);
}

/// Where sessions take long to end, they are waited for within the window and not after it.
#[test]
fn the_last_part_of_the_window_is_spent_drained() {
    let policy = policy(2, 20, with_load(json!({"stabilization": "60s"})));
    let needed = |seconds, drains| {
        let mut memory = Memory::default();
        for second in (1..=600).rev() {
            let stable = if second >= seconds { 6 } else { 0 };
            let one = decide(&policy, &seen(1, unknown()), ago(second));
            memory.note(&Decision { stable: Some(stable), ..one }, &policy);
        }
        let drains = Duration::from_secs(drains);
        Seen { memory, drains, ..seen(8, calm(LOW, 8)) }
    };
    goes(&policy, &needed(49, 0), 8);
    goes(&policy, &needed(49, 12), 2);
    goes(&policy, &needed(47, 12), 8);
    // Half of it is watched first in any case.
    goes(&policy, &needed(29, 600), 8);
    goes(&policy, &needed(31, 600), 2);
}

#[test]
fn cooldown_on_scale_up_waits_after_increases_only() {
    let policy = policy(2, 20, with_load(json!({"cooldown_on_scale_up": "1m"})));
    let after = |direction| Seen { last_scale: Some(scaled(direction, 9)), ..seen(8, calm(HIGH, 8)) };
    by(Rule::CooldownOnScaleUp, &policy, &after(Direction::Up), 8);
    goes(&policy, &after(Direction::Down), 10);
}

#[test]
fn nothing_is_taken_away_soon_after_a_rush() {
    let policy = policy(2, 20, with_load(json!({"stabilization": "0s", "panic": [{"window": "30s"}]})));
    let rushed = |seconds| {
        let mut memory = Memory::default();
        let decision = Decision { rush: true, ..decide(&policy, &seen(1, unknown()), ago(seconds)) };
        memory.note(&decision, &policy);
        Seen { memory, ..seen(8, calm(LOW, 8)) }
    };
    by(Rule::Panic, &policy, &rushed(29), 8);
    goes(&policy, &rushed(30), 2);
}

#[test]
fn nothing_is_taken_away_within_a_window_after_a_change_of_roles() {
    let policy = policy(2, 20, with_load(json!({"stabilization": "15s"})));
    let changed = |seconds| Seen { role_changed: Some(ago(seconds)), ..seen(8, calm(LOW, 8)) };
    by(Rule::RoleChange, &policy, &changed(14), 8);
    goes(&policy, &changed(15), 2);
    let more = Seen { role_changed: Some(ago(1)), ..seen(8, calm(HIGH, 8)) };
    goes(&policy, &more, 10);
}

#[test]
fn nothing_is_taken_away_while_a_load_balancer_is_unknown_or_errors_rise() {
    let load = |work| Load { work, steady: work, serving: 8, slots: Some(10.0), ..Load::default() };
    let partial = |work| Demand::Known(Load { missing: vec!["lb2".to_owned()], ..load(work) });
    let decision = by(Rule::LoadBalancerUnknown, &plain(2, 20), &seen(8, partial(LOW)), 8);
    // Nor is the window blamed that has no recommendations meanwhile.
    let policy = policy(2, 20, with_load(json!({"stabilization": "15s"})));
    by(Rule::LoadBalancerUnknown, &policy, &Seen { memory: Memory::default(), ..seen(8, partial(LOW)) }, 8);
    assert!(decision.reason.contains("a part of the load is not known: lb2"), "{}", decision.reason);
    goes(&plain(2, 20), &seen(8, partial(HIGH)), 10);
    let failing = |work| Demand::Known(Load { errors_rise: true, ..load(work) });
    by(Rule::Errors, &plain(2, 20), &seen(8, failing(LOW)), 8);
    goes(&plain(2, 20), &seen(8, failing(HIGH)), 10);
}

#[test]
fn old_sessions_protect_their_own_instance() {
    let instance = |index| Instance { id: format!("a{index}"), index, ..Instance::default() };
    let mut instances: Vec<Instance> = (0..8).map(instance).collect();
    instances[4].old_sessions = 1;
    let decision = by(Rule::OldWorkers, &plain(2, 20), &Seen { instances, ..seen(8, calm(LOW, 8)) }, 5);
    assert_eq!(decision.victims, ["a7", "a6", "a5"]);
}

#[test]
fn what_the_instances_share_caps_the_count() {
    let policy = policy(2, 20, with_load(json!({"max_by": {"per_instance": 85, "budget": 500}})));
    by(Rule::Budget, &policy, &seen(4, calm(HIGH, 4)), 5);
    by(Rule::Budget, &policy, &seen(8, calm(HIGH, 8)), 5);
    goes(&policy, &seen(8, unknown()), 8);
}

#[test]
fn schedules_are_floors_and_ceilings() {
    let schedule = |keys: Value| {
        let mut all = json!({"start": "0 0 * * *", "duration": "24h"});
        all.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        all
    };
    let with = |list: Vec<Value>| policy(2, 20, with_load(json!({"schedule": list})));
    by(Rule::ScheduleMin, &with(vec![schedule(json!({"min": 6}))]), &seen(4, calm(LOW, 4)), 6);
    by(Rule::ScheduleMax, &with(vec![schedule(json!({"max": 6}))]), &seen(4, calm(HIGH, 4)), 6);
    by(Rule::ScheduleMax, &with(vec![schedule(json!({"max": 6}))]), &seen(9, unknown()), 6);
    let overlapping = vec![schedule(json!({"min": 6, "max": 7})), schedule(json!({"min": 4, "max": 9}))];
    by(Rule::ScheduleMin, &with(overlapping.clone()), &seen(2, calm(LOW, 2)), 6);
    by(Rule::ScheduleMax, &with(overlapping), &seen(2, calm(HIGH, 2)), 9);
    by(Rule::Max, &with(vec![schedule(json!({"min": 30}))]), &seen(25, unknown()), 20);
    let closed = json!({"start": "0 0 29 2 *", "duration": "1h", "min": 9});
    goes(&with(vec![closed]), &seen(4, calm(LOW, 4)), 2);
}

#[test]
fn outside_of_a_gate_only_the_bounds_are_kept() {
    let gate = json!({"schedule": [{"start": "0 0 29 2 *", "duration": "1h"}]});
    goes(&policy(2, 20, with_load(gate.clone())), &seen(4, calm(HIGH, 4)), 4);
    by(Rule::Min, &policy(2, 20, with_load(gate)), &seen(1, calm(HIGH, 1)), 2);
}

#[test]
fn to_zero_and_back_by_opt_in() {
    let idle = |seconds| {
        let load = Load {
            serving: 1,
            slots: Some(10.0),
            idle: Some(Duration::from_secs(seconds)),
            ..Load::default()
        };
        seen(1, Demand::Known(load))
    };
    by(Rule::LastInstance, &plain(0, 20), &idle(10_000), 1);
    let zero = policy(0, 20, with_load(json!({"scale_to_zero": true, "scale_to_zero_after": "10m"})));
    by(Rule::LastInstance, &zero, &idle(599), 1);
    let held = |held, seen| Seen { held: Ok(held), ..seen };
    goes(&zero, &held(0, idle(600)), 0);
    goes(&zero, &held(1, idle(600)), 1);
    let raised = |seconds| vec![Scale { at: ago(seconds), from: 0, to: 1 }];
    by(Rule::LastInstance, &zero, &Seen { scales: raised(599), ..held(0, idle(600)) }, 1);
    goes(&zero, &Seen { scales: raised(600), ..held(0, idle(600)) }, 0);
    goes(&zero, &held(0, seen(0, unknown())), 0);
    goes(&zero, &held(3, seen(0, unknown())), 1);
    goes(&Policy { slots: Some(2), ..zero.clone() }, &held(3, seen(0, unknown())), 2);
    // Where nothing would bring it back, the last instance stays, and a person's zero too.
    let nobody = Seen { held: Err("lb2 has no block `wake`".to_owned()), ..idle(600) };
    let decision = by(Rule::LastInstance, &zero, &nobody, 1);
    assert!(
        decision.reason.ends_with("the last instance stays: lb2 has no block `wake`"),
        "{}",
        decision.reason
    );
    goes(&zero, &Seen { count: 0, ..nobody }, 0);
}

#[test]
fn nothing_that_was_seen_of_instances_keeps_the_first_one_back() {
    let rates = json!([{"percent": [{"value": 100, "period": "15s"}]}]);
    let block = json!({"scale_to_zero": true, "scale_up": [{"rate": rates}], "cooldown": "1h"});
    let policy = policy(0, 20, with_load(block));
    let brought_nothing = Gain { instances: 2.0, completions: 1.0, error: 0.0, work: 1.5 };
    let asked = Seen {
        held: Ok(1),
        gain: Some(brought_nothing),
        last_scale: Some(scaled(Direction::Down, 1)),
        ..seen(0, unknown())
    };
    let decision = goes(&policy, &asked, 1);
    assert!(decision.reason.contains("a request waits"), "{}", decision.reason);
    goes(&Policy { enabled: false, ..policy }, &asked, 0);
}
