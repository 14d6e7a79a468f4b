//! What holds for any policy and any input.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{
    Just, Strategy as _, any, prop_assert, prop_assert_eq, prop_compose, prop_oneof, proptest,
};

use super::*;
use crate::decide::bounds::bounds;
use crate::history::Gain;
use crate::instances::{Instance, InstanceState};
use crate::seen::{Deployment, Scale, Timing};

prop_compose! {
    fn strategies()(
        which in 0u8..5,
        target in 0.05f64..=1.0,
        value in 0u64..50,
        number in -20.0f64..200.0,
        steps in (1u64..5, 1u64..5),
    ) -> Value {
        let steps = json!({"max_scale_up": steps.0, "max_scale_down": steps.1});
        match which {
            0 => json!({"concurrency": [{"target": target}]}),
            1 => json!({"concurrency": [{}]}),
            2 => json!({"threshold": [{"lower_bound": number, "delta": value, "within_bounds_trigger": 1}]}),
            3 => json!({"pass-through": [steps]}),
            _ => json!({"target-value": [{"target": number.abs()}]}),
        }
    }
}

prop_compose! {
    fn checks()(
        strategy in strategies(), group in "[gh]?", haproxy in any::<bool>(), fails in any::<bool>(),
    ) -> Value {
        let source = if haproxy { "haproxy" } else { "prometheus" };
        let query = if haproxy { "concurrency" } else { "q" };
        let on_error = if fails { "fail" } else { "ignore" };
        json!([{"source": source, "query": query, "group": group, "on_error": on_error,
                "strategy": [strategy]}])
    }
}

prop_compose! {
    fn rates()(
        unit in prop_oneof![Just("instances"), Just("percent")],
        (value, period) in (1u64..120, 1u64..120),
        select in prop_oneof![Just("min"), Just("max"), Just("disabled")],
    ) -> Value {
        json!([{"select": select, "rate": [{unit: [{"value": value, "period": format!("{period}s")}]}]}])
    }
}

prop_compose! {
    fn schedules()(
        (start, hours) in (0u64..24, 1u64..24), min in option::of(0u64..30), more in option::of(0u64..30),
    ) -> Value {
        let max = more.map(|more| min.unwrap_or(0) + more);
        json!({"start": format!("0 {start} * * *"), "duration": format!("{hours}h"), "min": min, "max": max})
    }
}

prop_compose! {
    fn policies()(
        bounds in (0u64..30, 0u64..30),
        checks in vec(checks(), 0..4),
        up in option::of(rates()),
        down in option::of(rates()),
        schedules in vec(schedules(), 0..3),
        times in (0u64..120, 0u64..120, 0u64..60),
        missing in prop_oneof![
            Just(json!({"on_missing": "up"})),
            Just(json!({"on_missing": "floor", "floor": 12})),
            Just(json!({})),
        ],
        zero in any::<bool>(),
        budget in option::of(30u64..60),
    ) -> Policy {
        let (min, max) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
        let labelled = checks.into_iter().enumerate().map(|(n, check)| json!({format!("c{n}"): check}));
        let mut block = missing;
        block["check"] = labelled.collect();
        block["schedule"] = schedules.into();
        block["cooldown"] = format!("{}s", times.0).into();
        block["cooldown_on_scale_up"] = format!("{}s", times.1).into();
        block["scale_up"] = up.unwrap_or(Value::Null);
        block["scale_down"] = down.unwrap_or(Value::Null);
        block["stabilization"] = format!("{}s", times.2).into();
        block["max_by"] = budget.map_or(Value::Null, |budget| json!({"per_instance": 1, "budget": budget}));
        block["scale_to_zero"] = (zero && min == 0).into();
        policy(min, max, block)
    }
}

prop_compose! {
    fn loads()(
        (busy, queue, before) in (0.0f64..500.0, 0.0f64..2000.0, 0.0f64..2000.0),
        rate in option::of(0.0f64..2000.0),
        (newest, done) in (option::of(0.0f64..2000.0), option::of(0.0f64..2000.0)),
        (serving, slots, time) in (0u64..40, option::of(0.1f64..50.0), option::of(0.001f64..1000.0)),
        (slope, errors_rise, idle) in (0.0f64..20.0, any::<bool>(), option::of(0u64..1000)),
        tunnels in prop_oneof![Just(0.0), 0.0f64..500.0],
        missing in vec("lb", 0..2),
    ) -> Load {
        Load {
            work: busy + queue,
            queued: queue,
            tunnels,
            left: tunnels / 2.0,
            upgrades: f64::from(u8::from(rate.is_some())) / 2.0,
            tunnel_time: time,
            queues: [queue, before],
            steady: busy,
            slope,
            rate,
            calm_rate: rate,
            rise: 0.0,
            growth: (queue - before) / queue.max(1.0).sqrt(),
            newest_rate: newest,
            completions: done,
            service_time: time,
            errors: None,
            errors_rise,
            idle: idle.map(Duration::from_secs),
            serving,
            slots,
            missing,
        }
    }
}

prop_compose! {
    fn instances()(
        (index, state, old) in (0u64..40, 0u8..4, 0u64..2), canary in any::<bool>(), migrating in any::<bool>(),
    ) -> Instance {
        let state = match state {
            0 => InstanceState::Starting,
            1 => InstanceState::Serving,
            2 => InstanceState::Unknown,
            _ => InstanceState::Ending,
        };
        Instance { id: format!("a{index}"), index, state, canary, migrating, old_sessions: old }
    }
}

prop_compose! {
    fn facts()(
        last in option::of((0u64..200, any::<bool>())),
        scales in vec((0u64..200, 0u64..40, 0u64..40), 0..5),
        gain in option::of((0.5f64..3.0, 0.5f64..3.0, 0.5f64..3.0)),
        instances in vec(instances(), 0..10),
        placeable in option::of(0u64..50),
        deployment in prop_oneof![Just(Deployment::None), Just(Deployment::Own), Just(Deployment::Foreign)],
        role in option::of(0u64..100),
        held in option::of(0u64..3),
        start in 0u64..100,
    ) -> Seen {
        let direction = |up| if up { Direction::Up } else { Direction::Down };
        Seen {
            last_scale: last.map(|(seconds, up)| LastScale { at: ago(seconds), direction: direction(up) }),
            scales: scales.into_iter().map(|(at, from, to)| Scale { at: ago(at), from, to }).collect(),
            gain: gain.map(|(instances, completions, work)| Gain { instances, completions, work, error: 0.0 }),
            instances,
            placeable,
            deployment,
            role_changed: role.map(ago),
            held: held.ok_or_else(|| "nobody holds".to_owned()),
            timing: Timing { start: Duration::from_secs(start), block: Duration::from_secs(2 * start) },
            ..Seen::default()
        }
    }
}

prop_compose! {
    fn sights()(
        facts in facts(),
        demand in prop_oneof![Just(unknown()), loads().prop_map(Demand::Known)],
        metrics in vec(option::of(vec(-10.0f64..1000.0, 0..5)), 4),
        (count, running) in (0u64..40, 0u64..40),
        job_stopped in proptest::bool::weighted(0.1),
        remembered in option::of(0u64..40),
    ) -> Seen {
        let known = metrics.iter().enumerate();
        let known = known.filter_map(|(n, values)| Some((format!("c{n}"), value(values.as_ref()?))));
        let memory = remembered.map(short).unwrap_or_default();
        Seen { demand, metrics: known.collect(), count, running, job_stopped, memory, ..facts }
    }
}

/// A memory of two minutes.
fn short(count: u64) -> Memory {
    let keep = policy(0, 9, json!({"stabilization": "2m"}));
    let mut memory = Memory::default();
    for second in (1..=120).rev().step_by(3) {
        let decision = Decision { stable: Some(count), ..decide(&keep, &Seen::default(), ago(second)) };
        memory.note(&decision, &keep);
    }
    memory
}

/// Everything that could tell is silent.
fn blind(seen: Seen) -> Seen {
    Seen { demand: unknown(), metrics: std::collections::BTreeMap::new(), ..seen }
}

proptest! {
    #[test]
    fn a_scale_stays_within_the_bounds(policy in policies(), seen in sights()) {
        let decision = decide(&policy, &seen, now());
        if decision.action != Action::Hold {
            prop_assert!(policy.min <= decision.to && decision.to <= policy.max, "{decision:?}");
            prop_assert!(decision.from != decision.to);
        }
        if seen.count > 0 && policy.enabled && !seen.job_stopped {
            prop_assert!(policy.min <= decision.to && decision.to <= policy.max, "{decision:?}");
        }
    }

    #[test]
    fn the_unknown_never_lowers(policy in policies(), seen in sights()) {
        let seen = blind(seen);
        let decision = decide(&policy, &seen, now());
        let ceiling = bounds(&policy, now()).ceiling;
        prop_assert!(decision.to >= seen.count.min(ceiling), "{decision:?}");
    }

    #[test]
    fn one_unknown_check_is_enough(policy in policies(), seen in sights(), which in 0usize..4) {
        let mut seen = seen;
        seen.metrics.remove(&format!("c{which}"));
        let decision = decide(&policy, &seen, now());
        let ceiling = bounds(&policy, now()).ceiling;
        if decision.votes.iter().any(|vote| vote.wants.is_none()) {
            prop_assert!(decision.to >= seen.count.min(ceiling), "{decision:?}");
        }
    }

    #[test]
    fn an_unknown_load_balancer_lowers_nothing(policy in policies(), load in loads(), seen in sights()) {
        let load = Load { missing: vec!["lb2".to_owned()], ..load };
        let seen = Seen { demand: Demand::Known(load), ..seen };
        let decision = decide(&policy, &seen, now());
        let ceiling = bounds(&policy, now()).ceiling;
        prop_assert!(decision.to >= seen.count.min(ceiling), "{decision:?}");
    }

    #[test]
    fn deciding_twice_gives_the_same(policy in policies(), seen in sights()) {
        prop_assert_eq!(decide(&policy, &seen, now()), decide(&policy, &seen, now()));
    }

    #[test]
    fn each_clamp_goes_on_from_the_one_before(policy in policies(), seen in sights()) {
        let decision = decide(&policy, &seen, now());
        for pair in decision.clamps.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
        }
        if let Some(last) = decision.clamps.last() {
            prop_assert_eq!(last.to, decision.to);
        }
    }

    #[test]
    fn victims_are_as_many_as_go(policy in policies(), seen in sights()) {
        let decision = decide(&policy, &seen, now());
        prop_assert!(decision.victims.len() <= seen.instances.len());
    }

    #[test]
    fn no_demand_goes_to_min(min in 1u64..10, more in 0u64..20) {
        let decision = decide(&plain(min, 40), &seen(min + more, calm(0.0, min + more)), now());
        prop_assert_eq!(decision.to, min);
    }

    /// With the same load the count that was decided on is kept.
    #[test]
    fn one_step_is_enough(work in 0.0f64..2000.0, count in 1u64..60) {
        let policy = plain(1, 1_000_000);
        let first = decide(&policy, &seen(count, calm(work, count)), now());
        let second = decide(&policy, &seen(first.to, calm(work, first.to)), now());
        prop_assert_eq!(second.to, first.to, "{} {}", first.reason, second.reason);
    }
}
