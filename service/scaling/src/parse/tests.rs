use serde_json::json;

use super::*;

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
fn the_smallest_policy_has_every_default() {
    let policy = parse(&raw(json!({"check": [{"load": [{"strategy": [{"concurrency": [{}]}]}]}]}))).unwrap();
    assert_eq!((policy.min, policy.max, policy.slots, policy.dry_run), (2, 20, None, false));
    assert_eq!(policy.cooldown, Policy::COOLDOWN);
    let strategy = Strategy::Concurrency(Concurrency { target: 0.8, slots: None });
    assert_eq!(policy.checks, [Check { label: "load".to_owned(), strategy }]);
}

#[test]
fn every_key_is_read_in_every_shape() {
    let policy = parse(&raw(json!({
        "cooldown": "2m", "cooldown_on_scale_up": "15s", "evaluation_interval": "5s", "on_check_error": "fail",
        "slots": 20.0,
        "target": [{"nomad-target": [{"dry-run": true}]}],
        "check": {"a": {"source": "haproxy", "query": "concurrency",
                        "strategy": {"target-value": {"target": "12.5", "threshold": 0.1, "max_scale_up": "4",
                                                      "max_scale_down": 2}}},
                  "b": {"strategy": [{"concurrency": [{"target": 0.5, "slots": "8"}]}]}}
    })))
    .unwrap();
    assert_eq!(policy.cooldown, Duration::from_mins(2));
    assert_eq!(policy.cooldown_on_scale_up, Duration::from_secs(15));
    assert_eq!(policy.evaluation_interval, Duration::from_secs(5));
    assert_eq!((policy.on_check_error, policy.slots, policy.dry_run), (OnCheckError::Fail, Some(20), true));
    let a = TargetValue { target: 12.5, threshold: 0.1, max_scale_up: Some(4), max_scale_down: Some(2) };
    assert_eq!(policy.checks[0].strategy, Strategy::TargetValue(a));
    assert_eq!(policy.checks[1].strategy, Strategy::Concurrency(Concurrency { target: 0.5, slots: Some(8) }));
}

#[test]
fn all_problems_come_at_once() {
    let found = problems(json!({
        "cooldwon": "5m", "cooldown_on_scale_up": 30, "schedule": [{}], "slots": 0,
        "target": [{"aws-asg": [{}]}],
        "check": [{"load": [{"qeury": "x", "strategy": [{"concurrency": [{"target": 70}]}]}]},
                  {"load": [{"source": "prometheus", "query": "up", "strategy": [{"concurency": [{}]}]}]},
                  {"none": [{}]}]
    }));
    let expected = [
        "unknown key \"cooldwon\"; did you mean \"cooldown\"?",
        "schedule is not supported by this version; take it out",
        "cooldown_on_scale_up = 30 is no duration: write it with a unit, such as \"30s\" or \"5m\"",
        "slots = 0: write a whole number, at least 1",
        "target \"aws-asg\" is not supported: Weir scales groups of Nomad jobs, \"nomad-target\"",
        "check \"load\": unknown key \"qeury\"; did you mean \"query\"?",
        "check \"load\", strategy \"concurrency\": target = 70 is no busy share: write more than 0 and at most 1, such as 0.8",
        "two checks are labelled \"load\": give each its own label (the Nomad Autoscaler silently drops one)",
        "check \"load\": source \"prometheus\" is not supported by this version, so the policy is not acted on; use source = \"haproxy\"",
        "check \"load\": unknown strategy \"concurency\"; did you mean \"concurrency\"?",
        "check \"none\": it has 0 strategies and needs exactly one, such as strategy \"concurrency\" {}",
    ];
    assert_eq!(found, expected);
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
    assert_eq!(with(json!({"target": 0, "max_scale_up": 1.5, "threshold": -1})).len(), 3);
}

#[test]
fn no_block_at_all_keeps_the_bounds_only() {
    assert!(parse(&raw(Value::Null)).unwrap().checks.is_empty());
    assert_eq!(problems(json!("x")), ["the policy block is no block: write policy { … }"]);
    assert_eq!(problems(json!({"check": "x"})), ["check \"x\" is no block: write check \"name\" { … }"]);
    let crossed = RawPolicy { min: 5, max: 3, ..raw(json!({})) };
    assert_eq!(parse(&crossed).unwrap_err()[0].message, "min = 5 is more than max = 3");
}
