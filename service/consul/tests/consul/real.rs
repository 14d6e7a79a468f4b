//! Against a real Consul.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weir_consul::{Client, Leadership, LockOptions, Mode, Presence, Reach, be_present, lock};
use weir_pools::{Answer, Query, Status};

use crate::rig::{options, ports, service, until, watched};
use crate::server::Consul;

#[tokio::test]
async fn instances_keys_and_services_are_followed() {
    let Some(consul) = Consul::start().await else { return };
    let (key, prefix) = (crate::rig::key("app/a b"), Query::Prefix { path: "app".into(), datacenter: None });
    let names = Query::Services { datacenter: None };
    let queries = [service("web"), key.clone(), prefix.clone(), names.clone()];
    let mut seen = watched(options(&consul.address()), queries);
    seen.instances("an unknown service is empty", "web", <[_]>::is_empty).await;
    until("a missing key", &mut seen.catalogue, |c| c.get(&key) == Some(&Answer::Value(None))).await;

    consul.put("agent/service/register", json!({"ID": "web", "Name": "web", "Port": 80})).await;
    seen.instances("registered", "web", |all| ports(all) == [80]).await;
    consul.register("other", "web", "web", 81, Some("critical")).await;
    seen.instances("the same ID on another node, critical", "web", |all| {
        ports(all) == [81, 80] && all[0].status == Status::Critical && all[1].status == Status::Passing
    })
    .await;
    consul.put("agent/service/maintenance/web?enable=true", "").await;
    seen.instances("maintenance", "web", |all| all[1].status == Status::Maintenance).await;
    consul.put("agent/service/deregister/web", "").await;
    seen.instances("deregistered", "web", |all| ports(all) == [81]).await;

    consul.put("kv/app/a%20b", "hello").await;
    until("the key", &mut seen.catalogue, |c| c.get(&key) == Some(&Answer::Value(Some("hello".into()))))
        .await;
    until("the keys", &mut seen.catalogue, |c| {
        matches!(c.get(&prefix), Some(Answer::Pairs(p)) if p.len() == 1 && p[0].key == "a b" && p[0].value == "hello")
    })
    .await;
    until("the services", &mut seen.catalogue, |c| {
        matches!(c.get(&names), Some(Answer::Services(s)) if s.iter().any(|s| s.name == "web" && s.tags == ["port-81"]))
    })
    .await;
}

#[tokio::test]
async fn the_last_of_many_changes_is_seen() {
    let Some(consul) = Consul::start().await else { return };
    let mut seen = watched(options(&consul.address()), [service("web")]);
    for port in 1000..1100 {
        consul.register("n", "w", "web", port, None).await;
    }
    seen.instances("the last port", "web", |all| ports(all) == [1099]).await;
}

fn names() -> impl Iterator<Item = String> {
    (0..300).map(|n| format!("s{n}"))
}

/// 300 services of 5 instances each, on three nodes and the agent's own.
async fn three_hundred(consul: &Consul) {
    for name in names() {
        for n in 0..4 {
            let id = format!("{name}-{n}");
            consul.register(&format!("node{}", n % 3), &id, &name, 1000 + n, Some("passing")).await;
        }
        consul.put("agent/service/register", json!({"Name": name, "Port": 1004})).await;
    }
}

#[tokio::test]
async fn three_hundred_services_fit_consuls_limit_of_connections() {
    let Some(consul) = Consul::start().await else { return };
    three_hundred(&consul).await;
    let mut seen = watched(options(&consul.address()), names().map(|name| service(&name)));
    changes_are_seen(&consul, &mut seen).await;
    let health = seen.health.borrow().clone();
    assert_eq!((health.state, health.mode), (Reach::Ok, Mode::Wide));
    assert!(health.watches <= 150, "{}", health.watches);
}

#[tokio::test]
async fn services_are_followed_where_even_the_nodes_do_not_fit() {
    let Some(consul) = Consul::start().await else { return };
    three_hundred(&consul).await;
    let few = weir_consul::Options { max_connections: 10, ..options(&consul.address()) };
    let mut seen = watched(few, names().map(|name| service(&name)));
    changes_are_seen(&consul, &mut seen).await;
}

#[tokio::test]
async fn one_that_starts_again_leaves_room_for_the_connections_of_the_one_before() {
    let Some(consul) = Consul::start().await else { return };
    let queries = || (0..12).map(|n| service(&format!("s{n}")));
    let few = weir_consul::Options {
        max_connections: 30,
        wait: Duration::from_secs(1),
        ..options(&consul.address())
    };
    let mut seen = watched(few, queries());
    until("few connections at first", &mut seen.health, |health| health.mode == Mode::Wide).await;
    consul.register("n", "s7", "s7", 1, None).await;
    seen.instances("a change", "s7", |all| ports(all) == [1]).await;
    until("then one each", &mut seen.health, |health| health.mode == Mode::Narrow && health.watches >= 12)
        .await;
    consul.register("n", "s7", "s7", 2, None).await;
    seen.instances("another", "s7", |all| ports(all) == [2]).await;
}

#[tokio::test]
async fn many_services_are_answered_at_once_after_a_restart() {
    let Some(consul) = Consul::start().await else { return };
    let queries = || (0..120).map(|n| service(&format!("s{n}")));
    let all = |health: &Arc<weir_consul::Health>| health.mode == Mode::Narrow && health.watches >= 120;
    // So many that it has a connection each from its start on.
    let many = weir_consul::Options { max_connections: 250, ..options(&consul.address()) };
    let mut before = watched(many, queries());
    until("a connection each", &mut before.health, all).await;
    drop(before);
    let mut after = watched(options(&consul.address()), queries());
    until("all are answered", &mut after.catalogue, |catalogue| catalogue.iter().count() == 120).await;
    consul.register("n", "s7", "s7", 1, None).await;
    after.instances("a change", "s7", |all| ports(all) == [1]).await;
    let health = after.health.borrow().clone();
    assert_eq!((health.state, health.error.as_deref()), (Reach::Ok, None));
    // Consul counts what is gone too, for a minute.
    let room = 200 - 120;
    assert!(health.watches + 16 <= room, "{}", health.watches);
}

async fn changes_are_seen(consul: &Consul, seen: &mut crate::rig::Watched) {
    until("all services", &mut seen.catalogue, |c| {
        names().all(|name| c.instances(&service(&name)).is_some_and(|all| all.len() == 5))
    })
    .await;
    consul.register("node2", "s7-2", "s7", 2222, Some("passing")).await;
    seen.instances("port and tag", "s7", |all| {
        all.iter().any(|one| one.port == 2222 && one.tags == ["port-2222"])
    })
    .await;
    consul.register("node1", "s299-1", "s299", 1001, Some("critical")).await;
    let critical =
        |all: &[weir_pools::Instance]| all.iter().filter(|one| one.status == Status::Critical).count();
    seen.instances("status", "s299", |all| critical(all) == 1).await;
    consul.deregister("node0", "s0-0").await;
    seen.instances("deregistered", "s0", |all| all.len() == 4).await;
    consul.put("agent/service/register", json!({"Name": "s5", "Port": 3333})).await;
    seen.instances("through an agent", "s5", |all| ports(all).contains(&3333)).await;
    consul.register("node9", "s8-9", "s8", 9999, None).await;
    seen.instances("on a new node", "s8", |all| ports(all).contains(&9999)).await;
    consul.put("catalog/deregister", json!({"Node": "node9"})).await;
    seen.instances("its node is gone", "s8", |all| all.len() == 5).await;
    let body = json!({"Node": "node0", "Address": "10.0.0.1", "Check": {"CheckID": "mem", "Name": "mem", "Status": "warning"}});
    consul.put("catalog/register", body).await;
    seen.instances("a node's check", "s100", |all| all.iter().any(|one| one.status == Status::Warning)).await;
    seen.wanted.send_if_modified(|wanted| wanted.insert(service("late")));
    seen.instances("one more query", "late", <[_]>::is_empty).await;
    consul.register("node0", "late", "late", 1, None).await;
    seen.instances("its first instance", "late", |all| all.len() == 1).await;
}

#[tokio::test]
async fn a_consul_that_comes_back_empty_is_followed_soon_and_without_a_busy_loop() {
    let Some(mut consul) = Consul::start().await else { return };
    consul.register("n", "w", "web", 1, None).await;
    let queries = (0..20).map(|n| service(&format!("other{n}"))).chain([service("web")]);
    let mut seen = watched(options(&consul.address()), queries);
    seen.instances("before", "web", |all| ports(all) == [1]).await;
    until("all answered", &mut seen.catalogue, |catalogue| catalogue.iter().count() == 21).await;

    consul.kill();
    consul.wipe();
    until("noticed", &mut seen.health, |health| health.state == Reach::Unreachable).await;
    let before = seen.client.attempts();
    // By then the probes have reached their longest distance.
    until("probed", &mut seen.health, |health| health.attempts >= before + 5).await;
    assert!(seen.client.attempts() - before < 8, "one probe for all");
    assert_eq!(ports(seen.catalogue.borrow().instances(&service("web")).unwrap()), [1], "kept");

    consul.launch();
    consul.has_leader().await;
    consul.register("n", "w", "web", 2, None).await;
    seen.instances("after", "web", |all| ports(all) == [2]).await;
}

fn present(consul: &Consul, value: &str) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let cancel = CancellationToken::new();
    let client = Client::new(options(&consul.address())).unwrap();
    let (folder, ttl) = ("weir/test/peers".to_owned(), Duration::from_secs(10));
    let presence = Presence { folder, value: value.to_owned(), ttl };
    (cancel.clone(), tokio::spawn(be_present(client, presence, cancel)))
}

#[tokio::test]
async fn who_is_there_is_written_and_goes_a_while_after_it() {
    let Some(consul) = Consul::start().await else { return };
    let folder = Query::Prefix { path: "weir/test/peers/".into(), datacenter: None };
    let mut seen = watched(options(&consul.address()), [folder.clone()]);
    let values = |catalogue: &weir_pools::Catalogue| match catalogue.get(&folder) {
        Some(Answer::Pairs(pairs)) => {
            let mut values: Vec<String> = pairs.iter().map(|pair| pair.value.clone()).collect();
            values.sort();
            Some(values)
        }
        _ => None,
    };
    let are = |wanted: &[&str]| {
        let wanted: Vec<String> = wanted.iter().map(|value| (*value).to_owned()).collect();
        move |catalogue: &Arc<weir_pools::Catalogue>| values(catalogue) == Some(wanted.clone())
    };
    until("nobody", &mut seen.catalogue, are(&[])).await;
    let (cancel, ended) = present(&consul, "a");
    let (_killed, killed) = present(&consul, "b");
    until("both", &mut seen.catalogue, are(&["a", "b"])).await;
    // A session that Consul loses comes back by itself.
    let sessions = consul.get("session/list").await.unwrap();
    for session in sessions.as_array().unwrap() {
        consul.put(&format!("session/destroy/{}", session["ID"].as_str().unwrap()), "").await;
    }
    until("lost", &mut seen.catalogue, are(&[])).await;
    until("both again", &mut seen.catalogue, are(&["a", "b"])).await;

    cancel.cancel();
    ended.await.unwrap();
    // What a process looked after goes on without it, however it ended.
    assert!(values(&seen.catalogue.borrow()).is_some_and(|values| values.contains(&"a".to_owned())));
    killed.abort();
    // Consul waits up to twice the TTL of 10 s.
    until("neither was heard of", &mut seen.catalogue, are(&[])).await;
    assert_eq!(consul.get("session/list").await.unwrap().as_array().unwrap().len(), 0);
}

fn seeker(
    consul: &Consul,
    name: &str,
) -> (watch::Sender<bool>, CancellationToken, watch::Receiver<Leadership>) {
    let (seek, receiver) = watch::channel(true);
    let cancel = CancellationToken::new();
    let client = Client::new(options(&consul.address())).unwrap();
    let state = lock(client, LockOptions::new("weir/test/leader", name), receiver, cancel.clone());
    (seek, cancel, state)
}

fn leads(state: &Leadership) -> bool {
    state.leads_at(tokio::time::Instant::now())
}

fn follows(state: &Leadership, leader: &str) -> bool {
    matches!(state, Leadership::Following { holder: Some(holder) } if holder == leader)
}

#[tokio::test]
async fn the_lock_is_handed_over_when_it_is_let_go_of() {
    let Some(consul) = Consul::start().await else { return };
    let (seek_a, _cancel_a, mut a) = seeker(&consul, "a");
    until("a leads", &mut a, leads).await;
    let (_seek_b, cancel_b, mut b) = seeker(&consul, "b");
    until("b follows", &mut b, |state| follows(state, "a")).await;

    seek_a.send_replace(false);
    until("b leads", &mut b, leads).await;
    assert!(!leads(&a.borrow()));
    seek_a.send_replace(true);
    until("a follows", &mut a, |state| follows(state, "b")).await;

    cancel_b.cancel();
    until("a leads again", &mut a, leads).await;
    while b.changed().await.is_ok() {}
    assert!(!leads(&b.borrow()));
    assert_eq!(
        consul.get("session/list").await.unwrap().as_array().unwrap().len(),
        1,
        "no session is left behind"
    );
}

#[tokio::test]
async fn a_lock_that_consul_takes_away_is_lost_at_once_and_sought_again() {
    let Some(consul) = Consul::start().await else { return };
    let (_seek, _cancel, mut state) = seeker(&consul, "a");
    until("leads", &mut state, leads).await;
    let Leadership::Leading { session, .. } = state.borrow_and_update().clone() else {
        panic!("not leading")
    };
    consul.put(&format!("session/destroy/{session}"), "").await;
    until("lost", &mut state, |state| !leads(state)).await;
    until(
        "leads with another session",
        &mut state,
        |state| matches!(state, Leadership::Leading { session: new, .. } if *new != session),
    )
    .await;
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_by_itself() {
    let Some(mut consul) = Consul::start().await else { return };
    let (_seek, _cancel, mut state) = seeker(&consul, "a");
    until("leads", &mut state, leads).await;
    consul.kill();
    until("stops", &mut state, |state| matches!(state, Leadership::Following { .. })).await;
}
