//! The tables as they stand in a terminal.

use proptest::prelude::*;

use super::*;
use crate::status::{ConsulStatus, HaproxyState};

fn server(name: &str, state: Option<ServerState>, cause: Option<&str>) -> ServerStatus {
    ServerStatus {
        name: name.into(),
        address: name.into(),
        state,
        sessions: state.map(|_| 12),
        queue: state.map(|_| 0),
        since: state.map(|_| Timestamp::from_second(1000).unwrap()),
        cause: cause.map(|cause| cause.to_owned().into()),
    }
}

fn status(pools: Vec<PoolStatus>) -> Status {
    let now = Timestamp::UNIX_EPOCH;
    let (state, mode) = ("ok".into(), "narrow".into());
    let consul = ConsulStatus { state, error: None, since: now, attempts: 1, mode, watches: 1 };
    let haproxy = HaproxyStatus {
        name: String::new(),
        state: HaproxyState::Running,
        pid: None,
        old_workers: None,
        unseen: None,
        version: None,
        pools,
        left_out: vec![],
        last_change: None,
        last_reload: None,
        reload_pending: false,
        reloads: 0,
        held_back: None,
    };
    Status {
        version: String::new(),
        started: now,
        cluster: String::new(),
        ready: true,
        reasons: vec![],
        consul,
        templates: vec![],
        haproxy: vec![haproxy],
        wake: vec![],
        peers: Vec::new(),
        scaling: None,
        intents: vec![],
        intent_problems: vec![],
    }
}

fn web() -> Status {
    let servers = vec![
        server("10.0.0.1:8080", Some(ServerState::Up), Some("healthy")),
        server(
            "10.0.0.2:8080",
            Some(ServerState::Maint),
            Some("maintenance by alice until 14:05: kernel update"),
        ),
        server("10.0.0.3:8080", None, None),
    ];
    status(vec![PoolStatus { backend: "web".into(), servers, held: None, kept: vec![] }])
}

fn shown(status: &Status, width: Option<usize>) -> String {
    table(status, None, Timestamp::from_second(8200).unwrap(), width).unwrap()
}

#[test]
fn a_cause_is_wrapped_beside_its_server_in_eighty_columns() {
    let expected = "\
backend web: 1 of 3 servers in use, 24 sessions
  SERVER         STATE     SESSIONS  QUEUE  SINCE  CAUSE
  10.0.0.1:8080  up              12      0     2h  healthy
  10.0.0.2:8080  maint           12      0     2h  maintenance by alice until
                                                   14:05: kernel update
  10.0.0.3:8080  -                -      -      -  -
";
    assert_eq!(shown(&web(), Some(80)), expected);
}

#[test]
fn without_a_terminal_a_server_has_one_line() {
    let text = shown(&web(), None);
    assert_eq!(text.lines().count(), 5);
    assert!(text.contains("2h  maintenance by alice until 14:05: kernel update\n"), "{text}");
}

#[test]
fn a_cause_stands_below_a_long_name() {
    let name = "2001:db8:85a3:8d3:1319:8a2e:370:7348:65535";
    let servers = vec![server(name, Some(ServerState::Drain), Some("drain by bob: the disk"))];
    let text = shown(
        &status(vec![PoolStatus { backend: "web".into(), servers, held: None, kept: vec![] }]),
        Some(80),
    );
    let row: Vec<&str> = text.lines().skip(text.lines().count() - 2).collect();
    assert!(row[0].starts_with(&format!("  {name}")) && row[0].ends_with("2h"), "{text}");
    assert_eq!(row[1], "      drain by bob: the disk");
}

#[test]
fn an_unknown_backend_is_answered_with_the_nearest() {
    let error = table(&web(), Some("wbe"), Timestamp::UNIX_EPOCH, None).unwrap_err().to_string();
    assert!(error.contains("did you mean `web`"), "{error}");
    assert_eq!(shown(&status(vec![]), None), "weir keeps no pools\n");
}

#[test]
fn an_intent_about_a_server_that_is_gone_is_shown() {
    let intent = IntentStatus {
        backend: "web".into(),
        server: "10.0.0.9:8080".into(),
        wish: weir_pools::intents::Wish::Maint,
        owner: "bob".into(),
        reason: String::new(),
        since: Timestamp::UNIX_EPOCH,
        until: None,
        words: "maintenance by bob".into(),
    };
    let here = IntentStatus { server: "10.0.0.1:8080".into(), ..intent.clone() };
    let text = shown(&Status { intents: vec![intent, here], ..web() }, None);
    assert!(text.ends_with("\n\nweb/10.0.0.9:8080 is not there: maintenance by bob\n"), "{text}");
}

proptest! {
    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_word_is_lost(
        name in "[0-9:.]{1,50}", cause in "[a-z]{1,9}( [a-z]{1,9}){0,20}", width in 60_usize..160,
    ) {
        let servers = vec![server(&name, Some(ServerState::Up), Some(&cause))];
        let text = shown(&status(vec![PoolStatus { backend: "web".into(), servers, held: None, kept: vec![] }]), Some(width));
        let left = name.len() + 40;
        prop_assert!(text.lines().all(|line| line.chars().count() <= width.max(left)), "{}", text);
        let words: Vec<&str> = text.split_whitespace().collect();
        let end: Vec<&str> = cause.split(' ').collect();
        prop_assert!(words.ends_with(&end), "{}", text);
    }
}
