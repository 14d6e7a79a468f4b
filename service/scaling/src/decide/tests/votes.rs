//! What checks ask for, and what becomes of several of them.

use super::*;

fn checks(list: &Value) -> Policy {
    policy(1, 20, json!({"check": list, "stabilization": "0s"}))
}

fn target(label: &str, group: &str, target: f64) -> Value {
    json!({label: [{"source": "prometheus", "query": "q", "group": group,
                    "strategy": [{"target-value": [{"target": target}]}]}]})
}

fn with(values: &[(&str, f64)], count: u64) -> Seen {
    let metrics = values.iter().map(|(label, one)| ((*label).to_owned(), value(&[*one]))).collect();
    Seen { metrics, ..seen(count, unknown()) }
}

#[test]
fn enough_in_one_step_and_said_so() {
    let decision = goes(&plain(2, 20), &seen(2, calm(120.0, 2)), 14);
    let reason = "up from 2 to 14: check \"load\": work of 120.0, 120.0 slots busy and 132.0 needed on instances of 10 slots";
    assert_eq!((decision.reason.as_str(), decision.job_modify_index), (reason, 54));
    let targeted = json!({"check": [{"load": [{"strategy": [{"concurrency": [{"target": 0.8}]}]}]}]});
    goes(&policy(2, 20, targeted), &seen(2, calm(120.0, 2)), 15);
}

#[test]
fn a_count_that_just_fits_is_kept() {
    goes(&plain(2, 20), &seen(9, calm(84.0, 9)), 9);
    goes(&plain(2, 20), &seen(9, calm(86.0, 9)), 10);
}

#[test]
fn without_slots_it_holds_and_says_what_to_set() {
    let load = Load { work: 500.0, steady: 500.0, serving: 2, ..Load::default() };
    let sight = seen(2, Demand::Known(load));
    let decision = goes(&plain(2, 20), &sight, 2);
    assert!(decision.reason.contains("set slots in the policy, or maxconn"), "{}", decision.reason);
    goes(&policy(2, 20, with_load(json!({"slots": 50}))), &sight, 11);
}

#[test]
fn within_a_group_the_highest_counts() {
    let both = checks(&json!([target("a", "", 10.0), target("b", "", 10.0)]));
    goes(&both, &with(&[("a", 20.0), ("b", 15.0)], 4), 8);
    goes(&both, &with(&[("a", 5.0), ("b", 2.5)], 4), 2);
    goes(&both, &with(&[("a", 10.0), ("b", 2.5)], 4), 4);
    goes(&both, &with(&[("a", 15.0), ("b", 2.5)], 4), 6);
}

#[test]
fn a_named_group_hears_no_vote_for_no_change() {
    let both = checks(&json!([target("a", "g", 10.0), target("b", "g", 10.0)]));
    goes(&both, &with(&[("a", 10.0), ("b", 2.5)], 4), 1);
    goes(&both, &with(&[("a", 10.0), ("b", 10.0)], 4), 4);
    goes(&both, &with(&[("a", 15.0), ("b", 2.5)], 4), 6);
    let apart = checks(&json!([target("a", "g", 10.0), target("b", "h", 10.0)]));
    goes(&apart, &with(&[("a", 10.0), ("b", 2.5)], 4), 4);
}

#[test]
fn what_cannot_tell_lowers_nothing_in_any_group() {
    let list = |on_error: &str| {
        let mut b = target("b", "g", 10.0);
        b["b"][0]["on_error"] = on_error.into();
        checks(&json!([target("a", "g", 10.0), b]))
    };
    for on_error in ["", "ignore"] {
        goes(&list(on_error), &with(&[("a", 2.5)], 4), 4);
        goes(&list(on_error), &with(&[("a", 15.0)], 4), 6);
        goes(&list(on_error), &with(&[("a", 15.0), ("b", f64::NAN)], 4), 6);
    }
    goes(&list("fail"), &with(&[("a", 15.0)], 4), 4);
}

#[test]
fn on_missing_says_what_then() {
    let with = |keys: Value| policy(2, 20, with_load(keys));
    goes(&with(json!({})), &seen(4, unknown()), 4);
    goes(&with(json!({"on_missing": "floor", "floor": 6})), &seen(4, unknown()), 6);
    goes(&with(json!({"on_missing": "floor", "floor": 3})), &seen(4, unknown()), 4);
    let up = with(json!({"on_missing": "up"}));
    goes(&up, &seen(8, unknown()), 10);
    let just_now = Some(LastScale { at: ago(3), direction: Direction::Up });
    goes(&up, &Seen { last_scale: just_now, ..seen(8, unknown()) }, 8);
}

#[test]
fn instances_that_start_are_not_asked_for_twice() {
    let each = json!([{"a": [{"strategy": [{"target-value": [{"target": 10}]}]}]}]);
    let per_instance = |metric, count, serving| Seen {
        metrics: [("a".to_owned(), value(&[metric]))].into(),
        ..seen(count, calm(1.0, serving))
    };
    let policy = checks(&each);
    goes(&policy, &per_instance(15.0, 4, 4), 6);
    goes(&policy, &per_instance(15.0, 6, 4), 6);
    goes(&policy, &per_instance(10.0, 6, 6), 6);
    goes(&policy, &per_instance(0.0, 6, 0), 6);
}

#[test]
fn the_other_strategies_vote_too() {
    let list = |strategy: Value| {
        checks(&json!([{"a": [{"source": "prometheus", "query": "q", "strategy": [strategy]}]}]))
    };
    let seen =
        |values: &[f64]| Seen { metrics: [("a".to_owned(), value(values))].into(), ..seen(4, unknown()) };
    let step = list(json!({"threshold": [{"lower_bound": 80, "delta": 2, "within_bounds_trigger": 3}]}));
    goes(&step, &seen(&[90.0, 95.0, 99.0]), 6);
    goes(&step, &seen(&[90.0, 95.0]), 4);
    goes(&list(json!({"pass-through": [{}]})), &seen(&[1.0, 7.8]), 7);
    let fixed = checks(&json!([{"a": [{"strategy": [{"fixed-value": [{"value": 9}]}]}]}]));
    goes(&fixed, &super::seen(4, unknown()), 9);
}

#[test]
fn what_is_out_of_play_stays() {
    let busy = calm(500.0, 2);
    let policy = plain(2, 20);
    goes(&policy, &Seen { job_stopped: true, ..seen(2, busy.clone()) }, 2);
    goes(&policy, &seen(0, busy.clone()), 0);
    goes(&Policy { enabled: false, ..policy }, &seen(2, busy), 2);
}

#[test]
fn a_dry_run_only_tells() {
    let decision = decide(&Policy { dry_run: true, ..plain(2, 20) }, &seen(2, calm(120.0, 2)), now());
    assert_eq!((decision.action, decision.to), (Action::Hold, 14));
    assert!(decision.reason.starts_with("would go from 2 to 14 (dry-run)"));
}
