use serde_json::json;

use std::time::Duration;

use super::*;
use crate::policy::{
    Behavior, Change, Concurrency, NomadMetric, Panic, PassThrough, Rate, RateUnit, Resource, Select, Signal,
    Source, Statistic, Steps, Strategy, TargetValue, Threshold, Window,
};

fn raw(policy: Value) -> RawPolicy {
    RawPolicy {
        id: "p".to_owned(),
        namespace: "default".to_owned(),
        job: "web".to_owned(),
        group: "app".to_owned(),
        min: 2,
        max: 20,
        enabled: true,
        modify_index: 7,
        policy,
    }
}

fn problems(policy: Value) -> Vec<String> {
    parse(&raw(policy)).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_problem_carries_its_key() {
    let load = || json!({"load": [{"query": "queu", "strategy": [{"concurrency": [{"wait": 2}]}]}]});
    let policy = json!({"cooldwon": "1m", "panic": [{}, {}], "check": [load(), load()]});
    let problems = parse(&raw(policy)).unwrap_err();
    let mut found: Vec<(&str, &str, usize)> =
        problems.iter().map(|problem| (&*problem.place, &*problem.key, problem.nth)).collect();
    found.sort_unstable();
    found.dedup();
    let check = "check \"load\"";
    let expected = [
        ("", check, 1),
        ("", "cooldwon", 0),
        ("", "panic", 1),
        (check, "query", 0),
        ("check \"load\", strategy \"concurrency\"", "wait", 0),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_smallest_policy_has_every_default() {
    let policy = parse(&raw(json!({"check": [{"load": [{"strategy": [{"concurrency": [{}]}]}]}]}))).unwrap();
    assert_eq!((policy.min, policy.max, policy.slots, policy.dry_run), (2, 20, None, false));
    assert_eq!(policy.cooldown, Policy::COOLDOWN);
    assert_eq!(policy.checks[0].label, "load");
    assert_eq!(policy.checks[0].source, Source::Haproxy(Signal::Concurrency));
    assert_eq!(policy.checks[0].strategy, Strategy::Concurrency(Concurrency::default()));
    assert_eq!(
        policy.scale_down,
        Behavior { tolerance: Behavior::TOLERANCE, adapts: true, ..Behavior::within(Policy::COOLDOWN) }
    );
}

#[test]
fn every_key_of_the_nomad_autoscaler_is_read() {
    let policy = parse(&raw(json!({
        "cooldown": "2m", "cooldown_on_scale_up": "15s", "evaluation_interval": "5s", "on_check_error": "fail",
        "target": [{"nomad-target": [{"dry-run": true}]}],
        "schedule": [{"start": "0 9 * * 1-5", "end": "0 17 * * 1-5"}],
        "check": [
            {"a": [{"source": "prometheus", "query": "up", "query_window": "instant", "query_window_offset": "5s",
                    "group": "g", "on_error": "ignore", "schedule": [{"start": "0 * * * *", "duration": "10m"}],
                    "strategy": [{"target-value": [{"target": "12.5", "threshold": 0.1, "max_scale_up": "4",
                                                    "max_scale_down": 2.0}]}]}]},
            {"b": [{"query": "avg_cpu-allocated", "query_window": "3m", "strategy": [{"threshold": [
                    {"lower_bound": "10", "upper_bound": 90, "within_bounds_trigger": "3", "delta": "-1"}]}]}]},
            {"c": [{"strategy": [{"fixed-value": [{"value": "3"}]}]}]},
            {"d": [{"source": "nomad-apm", "query": "max_memory", "strategy": [{"pass-through": [{"max_scale_up": 2}]}]}]},
        ]
    })))
    .unwrap();
    assert_eq!(
        (policy.cooldown, policy.cooldown_on_scale_up),
        (Duration::from_mins(2), Duration::from_secs(15))
    );
    assert_eq!(policy.scale_down.stabilization, policy.cooldown);
    assert_eq!((policy.on_check_error, policy.dry_run), (OnCheckError::Fail, true));
    assert!(policy.schedules[0].is_gate());
    let [a, b, c, d] = &policy.checks[..] else { panic!("{:?}", policy.checks) };
    let steps = Steps { max_scale_up: Some(4), max_scale_down: Some(2) };
    assert_eq!(a.strategy, Strategy::TargetValue(TargetValue { target: 12.5, threshold: 0.1, steps }));
    assert_eq!(
        (&a.source, a.window, a.offset),
        (&Source::Prometheus("up".to_owned()), Window::Instant, Duration::from_secs(5))
    );
    assert_eq!((a.group.as_str(), a.on_error, a.schedules.len()), ("g", Some(OnCheckError::Ignore), 1));
    let change = Change::Delta(-1);
    let threshold = Threshold { lower: Some(10.0), upper: Some(90.0), trigger: 3, change };
    assert_eq!(
        (b.strategy, b.window),
        (Strategy::Threshold(threshold), Window::Span(Duration::from_mins(3)))
    );
    let cpu = NomadMetric { statistic: Statistic::Avg, resource: Resource::Cpu, allocated: true };
    assert_eq!(
        b.source,
        Source::Nomad(cpu),
        "as in the Nomad Autoscaler, which asks Nomad where nothing else is said"
    );
    assert_eq!((c.strategy, &c.source), (Strategy::FixedValue(3), &Source::Nothing));
    let passed = PassThrough { steps: Steps { max_scale_up: Some(2), max_scale_down: None } };
    assert_eq!(d.strategy, Strategy::PassThrough(passed));
}

#[test]
fn every_key_of_weirs_own_is_read_in_every_shape() {
    let policy = parse(&RawPolicy { min: 0, ..raw(json!({
        "slots": 20.0, "max_by": {"per_instance": 85, "budget": "500"}, "on_missing": "floor", "floor": 6,
        "panic": [{"window": "10s", "queue": "1s"}], "drain": [{"deadline": "20s"}],
        "scale_to_zero": true, "scale_to_zero_after": "10m",
        "schedule": [{"office": [{"start": "0 9 * * 1-5", "duration": "8h", "timezone": "UTC", "min": 4, "max": 8}]}],
        "scale_up": [{"tolerance": 0.1, "select": "min", "rate": [
            {"pods": [{"value": 4, "period": "15s"}]}, {"percent": [{"value": "100", "period": "1m"}]}]}],
        "scale_down": [{"stabilization": "5m", "select": "disabled"}],
        "check": {"load": {"source": "haproxy", "query": "concurrency", "strategy": {"concurrency":
            {"target": 0.5, "slots": "8", "wait": 0.1, "queue_drain": "10s"}}}}
    }))})
    .unwrap();
    assert_eq!((policy.slots, policy.max_by.unwrap().instances()), (Some(20), 5));
    assert_eq!(
        (policy.on_missing, policy.scale_to_zero),
        (OnMissing::Floor(6), Some(Duration::from_mins(10)))
    );
    assert_eq!(policy.panic, Panic { window: Duration::from_secs(10), queue: Duration::from_secs(1) });
    assert_eq!(policy.drain.deadline, Duration::from_secs(20));
    assert_eq!((policy.schedules[0].min, policy.schedules[0].max), (Some(4), Some(8)));
    let rate = |unit, value, seconds| Rate { unit, value, period: Duration::from_secs(seconds) };
    let rates = vec![rate(RateUnit::Instances, 4.0, 15), rate(RateUnit::Percent, 100.0, 60)];
    let up = Behavior { tolerance: 0.1, select: Select::Min, rates, ..Behavior::within(Duration::ZERO) };
    assert_eq!(policy.scale_up, up);
    let down = Behavior {
        select: Select::Disabled,
        tolerance: Behavior::TOLERANCE,
        ..Behavior::within(Duration::from_mins(5))
    };
    assert_eq!(policy.scale_down, down);
    let concurrency =
        Concurrency { target: Some(0.5), slots: Some(8), wait: 0.1, queue_drain: Duration::from_secs(10) };
    assert_eq!(policy.checks[0].strategy, Strategy::Concurrency(concurrency));
    let short = parse(&raw(json!({"stabilization": "1m", "drain": "5s"}))).unwrap();
    assert_eq!(
        (short.scale_down.stabilization, short.drain.deadline),
        (Duration::from_mins(1), Duration::from_secs(5))
    );
}

#[test]
fn all_problems_come_at_once() {
    let found = problems(json!({
        "cooldwon": "5m", "cooldown_on_scale_up": 30, "slots": 0, "on_missing": "flor",
        "max_by": {"per_instance": 600, "budget": 500},
        "schedule": [{"start": "9 * *", "end": "0 17 * * *", "timezone": "Europe/Brelin", "min": 5, "max": 3}, {"start": "0 9 * * *"}],
        "scale_up": [{"select": "most", "rate": [{"pod": [{}]}, {"percent": [{"value": 5}]}]}],
        "target": [{"aws-asg": [{}]}],
        "check": [{"load": [{"qeury": "x", "strategy": [{"concurrency": [{"target": 70}]}]}]},
                  {"load": [{"source": "promtheus", "query": "up", "strategy": [{"concurency": [{}]}]}]},
                  {"cpu": [{"source": "nomad", "query": "avg_disk", "strategy": [{"pass-through": [{}]}]}]},
                  {"busy": [{"query": "buzy", "strategy": [{"threshold": [{"delta": 1, "value": 2}]}]}]},
                  {"none": [{}]}]
    }));
    let expected = [
        "unknown key \"cooldwon\"; did you mean \"cooldown\"?",
        "scale_up: select = \"most\" is not known; known are disabled, max, min",
        "scale_up: unknown rate \"pod\"; did you mean \"pods\"?",
        "scale_up, rate \"percent\": write both value and period, such as value = 4 and period = \"15s\"",
        "cooldown_on_scale_up = 30 is no duration: write it with a unit, such as \"30s\" or \"5m\", up to \"366d\"",
        "on_missing = \"flor\" is not known; did you mean \"floor\"?",
        "slots = 0: write a whole number, at least 1",
        "max_by: it bears 0 instances, fewer than min = 2",
        "schedule: min = 5 is more than max = 3",
        "schedule: timezone = \"Europe/Brelin\" is not in the time zone database: write an IANA name, such as \"Europe/Berlin\"",
        "schedule: start = \"9 * *\": it has 3 fields and needs five: minute hour day month weekday, such as \"0 9 * * 1-5\"",
        "schedule: write either end, such as end = \"0 17 * * 1-5\", or duration, such as duration = \"8h\"",
        "target \"aws-asg\" is not supported: Weir scales groups of Nomad jobs, \"nomad-target\"",
        "check \"load\": unknown key \"qeury\"; did you mean \"query\"?",
        "check \"load\", strategy \"concurrency\": target = 70 is no busy share: write more than 0 and at most 1, such as 0.8",
        "two checks are labelled \"load\": give each its own label (the Nomad Autoscaler silently drops one)",
        "check \"load\": unknown source \"promtheus\"; did you mean \"prometheus\"?",
        "check \"load\": unknown strategy \"concurency\"; did you mean \"concurrency\"?",
        "check \"cpu\": query = \"avg_disk\" is none of Nomad's: write avg, max, min or sum, then _cpu, _cpu-allocated, _memory or _memory-allocated",
        "check \"busy\": query = \"buzy\" is no signal of HAProxy; did you mean \"busy\"?",
        "check \"busy\", strategy \"threshold\": write lower_bound, upper_bound or both",
        "check \"busy\", strategy \"threshold\": write exactly one of delta, percentage and value",
        "check \"none\": it has 0 strategies and needs exactly one, such as strategy \"concurrency\" {}",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_contradicts_itself_is_told() {
    let one = |policy: Value| problems(policy).remove(0);
    assert_eq!(one(json!({"on_missing": "floor"})), "on_missing = \"floor\" needs floor, such as floor = 6");
    assert_eq!(one(json!({"floor": 6})), "floor means something with on_missing = \"floor\" only");
    assert_eq!(one(json!({"scale_to_zero": true})), "scale_to_zero needs min = 0, and min is 2");
    let twice = json!({"stabilization": "1m", "scale_down": [{"stabilization": "2m"}]});
    assert_eq!(one(twice), "scale_down: stabilization stands here and in the policy: write it once");
    let cpu = json!({"check": [{"a": [{"query": "avg_cpu", "strategy": [{"concurrency": [{}]}]}]}]});
    assert!(one(cpu).starts_with("check \"a\": strategy \"concurrency\" needs the work in the system"));
}

#[test]
fn time_zones_come_from_the_caller() {
    let berlin = TimeZone::fixed(jiff::tz::offset(1));
    let zones = |name: &str| (name == "Europe/Berlin").then(|| berlin.clone());
    let with =
        |zone: &str| raw(json!({"schedule": [{"start": "0 9 * * *", "duration": "1h", "timezone": zone}]}));
    assert_eq!(parse_in(&with("Europe/Berlin"), &zones).unwrap().schedules[0].zone, berlin);
    assert!(parse_in(&with("Europe/Paris"), &zones).is_err());
}

#[test]
fn a_label_written_twice_is_found_in_both_shapes() {
    let check = json!({"strategy": [{"concurrency": [{}]}]});
    for policy in
        [json!({"check": [{"a": [check, check]}]}), json!({"check": [{"a": [check]}, {"a": [check]}]})]
    {
        assert!(problems(policy)[0].starts_with("two checks are labelled \"a\""));
    }
}

#[test]
fn target_value_needs_a_target() {
    let with =
        |options: Value| problems(json!({"check": [{"a": [{"strategy": [{"target-value": [options]}]}]}]}));
    assert_eq!(with(json!({})).len(), 1);
    assert_eq!(
        with(json!({"target": "ten"})),
        ["check \"a\", strategy \"target-value\": target = \"ten\" is no number"]
    );
    assert_eq!(with(json!({"target": -1, "max_scale_up": 1.5, "threshold": -1})).len(), 3);
}

#[test]
fn no_block_at_all_keeps_the_bounds_only() {
    assert!(parse(&raw(Value::Null)).unwrap().checks.is_empty());
    assert_eq!(problems(json!("x")), ["the policy block is no block: write policy { … }"]);
    assert_eq!(problems(json!({"check": "x"})), ["check \"x\" is no block: write check \"name\" { … }"]);
    let crossed = RawPolicy { min: 5, max: 3, ..raw(json!({})) };
    assert_eq!(parse(&crossed).unwrap_err()[0].message, "min = 5 is more than max = 3");
}
