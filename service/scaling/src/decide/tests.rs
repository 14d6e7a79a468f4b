use std::time::UNIX_EPOCH;

use proptest::prelude::{
    any, prop_assert, prop_assert_eq, prop_assert_ne, prop_assume, prop_compose, proptest,
};

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn check(strategy: Strategy) -> Check {
    Check { label: "load".to_owned(), strategy }
}

fn concurrency(target: f64) -> Check {
    check(Strategy::Concurrency(Concurrency { target, slots: None }))
}

fn per_instance(target: f64) -> TargetValue {
    TargetValue { target, threshold: 0.01, max_scale_up: None, max_scale_down: None }
}

fn policy(min: u64, max: u64, checks: Vec<Check>) -> Policy {
    Policy {
        id: "p".to_owned(),
        namespace: "default".to_owned(),
        job: "web".to_owned(),
        group: "app".to_owned(),
        min,
        max,
        enabled: true,
        cooldown: MINUTE,
        cooldown_on_scale_up: Duration::ZERO,
        evaluation_interval: Duration::from_secs(1),
        on_check_error: OnCheckError::Ignore,
        slots: None,
        dry_run: false,
        checks,
    }
}

fn known(work: f64, peak: Option<f64>, serving: u64) -> Demand {
    Demand::Known(Load { work, queued: 0.0, peak, rate: None, serving, slots: Some(10.0) })
}

fn unknown() -> Demand {
    Demand::Unknown { reason: "gone".to_owned() }
}

fn seen(count: u64, demand: Demand) -> Seen {
    Seen { count, job_modify_index: 54, running: count, job_stopped: false, demand, last_scale: None }
}

#[track_caller]
fn goes(policy: &Policy, seen: &Seen, to: u64) -> Decision {
    let decision = decide(policy, seen, now());
    assert_eq!(decision.to, to, "{}", decision.reason);
    assert_eq!(decision.action == Action::Scale, to != seen.count);
    decision
}

#[test]
fn enough_in_one_step_and_said_so() {
    let decision = goes(&policy(2, 20, vec![concurrency(0.8)]), &seen(2, known(120.0, None, 2)), 15);
    let reason = "up from 2 to 15: check \"load\": work of 120.0 on instances of 10 slots at 80 % busy";
    assert_eq!((decision.reason.as_str(), decision.job_modify_index), (reason, 54));
}

#[test]
fn down_only_by_the_peak_and_only_when_it_is_known() {
    let policy = policy(2, 20, vec![concurrency(0.8)]);
    goes(&policy, &seen(15, known(16.0, Some(16.0), 15)), 2);
    goes(&policy, &seen(15, known(16.0, Some(80.0), 15)), 10);
    goes(&policy, &seen(15, known(16.0, Some(900.0), 15)), 15);
    goes(&policy, &seen(15, known(16.0, None, 15)), 15);
}

#[test]
fn the_cooldown_holds_decreases_back_and_no_increases() {
    let policy = policy(2, 20, vec![concurrency(0.8)]);
    for direction in [Direction::Up, Direction::Down] {
        let after = |seconds, demand| Seen {
            last_scale: Some(LastScale { at: now() - Duration::from_secs(seconds), direction }),
            ..seen(10, demand)
        };
        let held = goes(&policy, &after(59, known(0.0, Some(0.0), 10)), 10);
        assert_eq!(held.clamps, [Clamp { rule: Rule::Cooldown, from: 0, to: 10 }]);
        goes(&policy, &after(60, known(0.0, Some(0.0), 10)), 2);
        goes(&policy, &after(1, known(120.0, None, 10)), 15);
    }
}

#[test]
fn cooldown_on_scale_up_waits_after_increases_only() {
    let policy = Policy { cooldown_on_scale_up: MINUTE, ..policy(2, 20, vec![concurrency(0.8)]) };
    let after = |direction| Seen {
        last_scale: Some(LastScale { at: now() - Duration::from_secs(9), direction }),
        ..seen(10, known(120.0, None, 10))
    };
    goes(&policy, &after(Direction::Up), 10);
    goes(&policy, &after(Direction::Down), 15);
}

#[test]
fn the_bounds_hold_whatever_is_known() {
    for checks in [vec![], vec![concurrency(0.8)]] {
        let policy = policy(3, 5, checks);
        goes(&policy, &seen(2, unknown()), 3);
        goes(&policy, &seen(9, unknown()), 5);
        goes(&policy, &seen(4, unknown()), 4);
        let recent = Some(LastScale { at: now(), direction: Direction::Up });
        goes(&policy, &Seen { last_scale: recent, ..seen(9, unknown()) }, 5);
    }
}

#[test]
fn what_is_out_of_play_stays() {
    let policy = policy(2, 20, vec![concurrency(0.8)]);
    let busy = known(500.0, None, 2);
    goes(&policy, &Seen { job_stopped: true, ..seen(2, busy.clone()) }, 2);
    goes(&policy, &seen(0, busy.clone()), 0);
    goes(&Policy { enabled: false, ..policy }, &seen(2, busy), 2);
}

#[test]
fn the_last_instance_stays() {
    let policy = policy(0, 20, vec![concurrency(0.8)]);
    let decision = goes(&policy, &seen(3, known(0.0, Some(0.0), 3)), 1);
    assert_eq!(decision.clamps[0].rule, Rule::LastInstance);
}

#[test]
fn without_slots_it_holds_and_says_what_to_set() {
    let load = Load { work: 500.0, queued: 0.0, peak: None, rate: None, serving: 2, slots: None };
    let seen = seen(2, Demand::Known(load));
    let policy = policy(2, 20, vec![concurrency(0.8)]);
    let decision = goes(&policy, &seen, 2);
    assert!(decision.reason.contains("set slots in the policy, or maxconn"), "{}", decision.reason);
    goes(&Policy { slots: Some(50), ..policy }, &seen, 13);
}

#[test]
fn one_check_raises_and_all_must_agree_to_lower() {
    let load = known(40.0, Some(40.0), 8);
    let low = check(Strategy::TargetValue(per_instance(20.0)));
    let high = check(Strategy::Concurrency(Concurrency { target: 0.5, slots: Some(5) }));
    goes(&policy(1, 20, vec![low.clone()]), &seen(8, load.clone()), 2);
    goes(&policy(1, 20, vec![low.clone(), high]), &seen(8, load.clone()), 16);
    let silent = Demand::Known(Load {
        work: 40.0,
        queued: 0.0,
        peak: Some(40.0),
        rate: None,
        serving: 8,
        slots: None,
    });
    let raise = check(Strategy::TargetValue(per_instance(4.0)));
    goes(&policy(1, 20, vec![low, concurrency(0.8)]), &seen(8, silent.clone()), 8);
    let both = policy(1, 20, vec![raise, concurrency(0.8)]);
    goes(&both, &seen(8, silent.clone()), 10);
    goes(&Policy { on_check_error: OnCheckError::Fail, ..both }, &seen(8, silent), 8);
}

#[test]
fn instances_that_start_are_not_asked_for_twice() {
    // 60 of work for 10 each needs 6; 6 are wanted, 4 serve.
    let policy = policy(1, 20, vec![check(Strategy::TargetValue(per_instance(10.0)))]);
    goes(&policy, &seen(4, known(60.0, None, 4)), 6);
    goes(&policy, &seen(6, known(60.0, None, 4)), 6);
    goes(&policy, &seen(6, known(60.0, None, 6)), 6);
    goes(&policy, &seen(6, known(60.0, None, 0)), 6);
}

#[test]
fn bounded_steps_count_from_the_wanted_count() {
    let options = TargetValue { max_scale_up: Some(1), max_scale_down: Some(1), ..per_instance(10.0) };
    let policy = policy(1, 20, vec![check(Strategy::TargetValue(options))]);
    goes(&policy, &seen(6, known(200.0, None, 4)), 6);
    goes(&policy, &seen(6, known(200.0, None, 6)), 7);
    goes(&policy, &seen(6, known(1.0, Some(1.0), 4)), 5);
}

#[test]
fn a_dry_run_only_tells() {
    let policy = Policy { dry_run: true, ..policy(2, 20, vec![concurrency(0.8)]) };
    let decision = decide(&policy, &seen(2, known(120.0, None, 2)), now());
    assert_eq!((decision.action, decision.to), (Action::Hold, 15));
    assert!(decision.reason.starts_with("would go from 2 to 15 (dry-run)"));
}

prop_compose! {
    fn policies()(
        bounds in (0u64..30, 0u64..30),
        target in 0.05f64..=1.0,
        work_each in 0.1f64..50.0,
        threshold in 0.0f64..0.5,
        steps in (proptest::option::of(1u64..5), proptest::option::of(1u64..5)),
        which in 0u8..4,
        cooldowns in (0u64..120, 0u64..120),
        fail in any::<bool>(),
        slots in proptest::option::of(1u64..40),
    ) -> Policy {
        let (min, max) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
        let by_value = TargetValue { target: work_each, threshold, max_scale_up: steps.0, max_scale_down: steps.1 };
        let mut checks = Vec::new();
        if which & 1 > 0 { checks.push(concurrency(target)); }
        if which & 2 > 0 { checks.push(check(Strategy::TargetValue(by_value))); }
        Policy {
            cooldown: Duration::from_secs(cooldowns.0),
            cooldown_on_scale_up: Duration::from_secs(cooldowns.1),
            on_check_error: if fail { OnCheckError::Fail } else { OnCheckError::Ignore },
            slots,
            ..policy(min, max, checks)
        }
    }
}

prop_compose! {
    fn demands()(
        known in any::<bool>(),
        work in 0.0f64..2000.0,
        above in proptest::option::of(0.0f64..500.0),
        serving in 0u64..40,
        slots in proptest::option::of(1.0f64..50.0),
    ) -> Demand {
        if !known { return unknown(); }
        Demand::Known(Load { work, queued: 0.0, peak: above.map(|above| work + above), rate: None, serving, slots })
    }
}

prop_compose! {
    fn sights()(
        demand in demands(),
        count in 0u64..40,
        job_stopped in proptest::bool::weighted(0.1),
        last in proptest::option::of((0u64..200, any::<bool>())),
    ) -> Seen {
        let last_scale = last.map(|(ago, up)| LastScale {
            at: now() - Duration::from_secs(ago),
            direction: if up { Direction::Up } else { Direction::Down },
        });
        Seen { job_stopped, last_scale, ..seen(count, demand) }
    }
}

proptest! {
    #[test]
    fn a_scale_stays_within_the_bounds(policy in policies(), seen in sights()) {
        let decision = decide(&policy, &seen, now());
        if decision.action == Action::Scale {
            prop_assert!(policy.min <= decision.to && decision.to <= policy.max, "{decision:?}");
            prop_assert_ne!(decision.from, decision.to);
        }
    }

    #[test]
    fn the_unknown_never_lowers(policy in policies(), sight in sights()) {
        let sight = Seen { demand: unknown(), ..sight };
        let decision = decide(&policy, &sight, now());
        prop_assert!(decision.to >= sight.count.min(policy.max), "{decision:?}");
    }

    #[test]
    fn deciding_twice_gives_the_same(policy in policies(), seen in sights()) {
        prop_assert_eq!(decide(&policy, &seen, now()), decide(&policy, &seen, now()));
    }

    #[test]
    fn no_demand_goes_to_min_after_the_cooldown(min in 1u64..10, more in 0u64..20, target in 0.05f64..=1.0) {
        let policy = policy(min, 40, vec![concurrency(target)]);
        let decision = decide(&policy, &seen(min + more, known(0.0, Some(0.0), min + more)), now());
        prop_assert_eq!(decision.to, min);
    }

    /// With the same load the count that was decided on is kept, whether or not the instances serve yet.
    #[test]
    fn one_step_is_enough(policy in policies(), sight in sights(), served in any::<bool>()) {
        let unbounded = policy.checks.iter().all(|check| match check.strategy {
            Strategy::TargetValue(options) => options.max_scale_up.is_none() && options.max_scale_down.is_none(),
            Strategy::Concurrency(_) => true,
        });
        prop_assume!(unbounded);
        let first = decide(&policy, &sight, now());
        prop_assume!(first.action == Action::Scale);
        let mut demand = sight.demand.clone();
        if let (Demand::Known(load), true) = (&mut demand, served) { load.serving = first.to; }
        let last_scale = Direction::between(first.from, first.to).map(|direction| LastScale { at: now(), direction });
        let next = Seen { count: first.to, running: first.to, demand, last_scale, ..sight };
        let second = decide(&policy, &next, now() + Duration::from_secs(1));
        // A threshold around the target, and a first step held by another rule, may leave a rest; never the way back.
        let back = Direction::between(first.from, first.to) != Direction::between(second.from, second.to);
        prop_assert!(second.to == first.to || !back, "{first:?}\n{second:?}");
    }

    #[test]
    fn concurrency_holds_after_one_step(work in 0.0f64..2000.0, above in 0.0f64..300.0, count in 1u64..60, target in 0.05f64..=1.0) {
        let policy = policy(1, 1_000_000, vec![concurrency(target)]);
        let demand = known(work, Some(work + above), count);
        let first = decide(&policy, &seen(count, demand.clone()), now());
        let second = decide(&policy, &seen(first.to, demand), now());
        prop_assert_eq!(second.to, first.to);
    }
}
