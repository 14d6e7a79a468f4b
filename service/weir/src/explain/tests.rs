//! What the page says of a policy in each state.

use serde_json::json;

use super::*;

/// The status of a leader with one policy, whose instances are on their way out.
fn status() -> Status {
    let vote = json!({
        "check": "load", "strategy": "concurrency", "wants": 2, "reason": "work of 3.0",
        "inputs": {"work": 3.0, "needs": 4.25},
    });
    let decision = json!({
        "reason": "down from 5 to 3", "job_modify_index": 54, "alarm": true, "votes": [vote],
        "clamps": [{"rule": "rates", "from": 2, "to": 3}], "words": ["2 would be too fast"],
        "demand": {"known": {"work": 3.0, "queued": 0.0, "missing": ["lb2: hangs"]}},
    });
    let instance = json!({
        "index": 4, "allocation": "a", "servers": ["web/127.0.0.1:80"], "sessions": 1,
        "words": "1 session left",
    });
    let drain = json!({
        "to": 3, "stage": "waiting", "words": "their sessions are waited for", "seconds_left": 12.0,
        "instances": [instance],
    });
    let policy = json!({
        "id": "p", "namespace": "default", "job": "web", "group": "app", "min": 2, "max": 8,
        "problems": ["unknown key"], "last_good": true, "last_decision": decision, "drain": drain,
        "deployment": "1a2b is running", "decided": "2026-01-01T00:00:10Z", "sampled": "2026-01-01T00:00:09.5Z",
        "read": "2026-01-01T00:00:08Z",
        "last_scale": {"at": "2026-01-01T00:00:00Z", "from": 2, "to": 5, "error": null},
        "decisions": {"hold": 7, "up": 1}, "blocked_seconds": 3.0, "start_seconds": 2.5,
    });
    let consul = json!({
        "state": "ok", "error": null, "since": "2026-01-01T00:00:00Z", "attempts": 1, "mode": "narrow",
        "watches": 1,
    });
    let scaling = json!({
        "leader": {"state": "leading", "holder": null}, "nomad": {"state": "ok", "error": null},
        "policies": [policy],
    });
    let status = json!({
        "version": "0", "started": "2026-01-01T00:00:00Z", "cluster": "c", "ready": true, "reasons": [],
        "consul": consul, "templates": [], "haproxy": [], "scaling": scaling,
    });
    serde_json::from_value(status).unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T00:00:11Z".parse().unwrap()
}

#[test]
fn everything_that_led_to_a_decision_and_followed_from_it_is_told() {
    let page = page(&status(), "web/app", now()).unwrap();
    let expected = [
        "web/app in namespace default, 2 to 8 instances",
        "mistake    unknown key",
        "in force   the last version without a mistake",
        "decision   down from 5 to 3",
        "1.0 s ago; what it saw of HAProxy was 0.5 s old, of the job 2.0 s old (index 54)",
        "load       work 3, queued 0; and what is not known: lb2: hangs",
        "vote       load (concurrency) wants 2: work of 3.0",
        "work 3, needs 4.25",
        "rule       rates: 2 becomes 3: 2 would be too fast",
        "ALARM      a person should look",
        "deployment 1a2b is running",
        "drain      to 3: their sessions are waited for, 12 s at most",
        "[4] web/127.0.0.1:80: 1 session left",
        "last scale 2026-01-01T00:00:00Z from 2 to 5: taken",
        "start      instances served 2.5 s after the last increase",
        "blocked    3 s in all",
        "decisions  hold 7, up 1",
    ];
    for words in expected {
        assert!(page.contains(words), "{words:?} is not in\n{page}");
    }
}

#[test]
fn what_is_not_known_and_who_acts_is_said() {
    let mut status = status();
    let scaling = status.scaling.as_mut().unwrap();
    scaling.leader = LeaderStatus { state: "following".into(), holder: Some("lb2-7".into()) };
    let policy = &mut scaling.policies[0];
    policy.trouble = Some("servers cannot be drained".into());
    policy.last_decision.as_mut().unwrap()["demand"] = json!({"unknown": {"reason": "not read yet"}});
    let said = page(&status, "web", now()).unwrap();
    for words in
        ["does not act; the leader is lb2-7", "trouble    servers cannot", "load       unknown: not read yet"]
    {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
}

#[test]
fn what_is_away_is_said_and_what_follows() {
    let mut status = status();
    status.consul.error = Some("refused".into());
    let said = |status: &Status| page(status, "web", now()).unwrap();
    let leading = said(&status);
    assert!(leading.contains("nothing is taken away until Consul answers again: refused"), "{leading}");
    let scaling = status.scaling.as_mut().unwrap();
    scaling.leader = LeaderStatus { state: "following".into(), holder: None };
    let following = said(&status);
    assert!(following.contains("nothing is scaled until Consul answers again: refused"), "{following}");
    assert!(following.contains("does not act; it is not known which weir leads"), "{following}");
    let scaling = status.scaling.as_mut().unwrap();
    scaling.leader.state = "not_seeking".into();
    scaling.nomad.error = Some("timed out".into());
    let away = said(&status);
    assert!(away.contains("nothing is scaled until Nomad answers again: timed out"), "{away}");
    assert!(away.contains("it takes the lead only while Nomad answers"), "{away}");
}

#[test]
fn a_policy_that_is_not_there_is_answered_with_those_that_are() {
    let mut status = status();
    let said = page(&status, "wbe", now()).unwrap_err().to_string();
    assert_eq!(said, "there is no scaling policy of wbe; there is web/app");
    status.scaling = None;
    assert!(page(&status, "web", now()).unwrap_err().to_string().contains("no block `nomad`"));
}
