//! Against a server that misbehaves.

use std::time::Duration;

use tokio::net::TcpListener;
use weir_consul::{Client, Error, Options, Reach};

use crate::fake::Step::{BreakOff, Hang, Port, Status};
use crate::fake::{Fake, Step};
use crate::rig::{Watched, options, ports, service, until, watched};

async fn script(steps: impl IntoIterator<Item = Step>) -> (Fake, Watched) {
    let fake = Fake::start(steps).await;
    let seen = watched(options(&fake.address), [service("web")]);
    (fake, seen)
}

async fn reaches(seen: &mut Watched, port: u16) {
    seen.instances(&format!("port {port}"), "web", |all| ports(all) == [port]).await;
}

/// The `index` parameter of each request, 0 for a full read.
fn indexes(fake: &Fake) -> Vec<u64> {
    let index = |query: &String| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix("index="))
            .map_or(0, |index| index.parse().unwrap())
    };
    fake.asked().iter().map(index).collect()
}

#[tokio::test]
async fn an_index_that_goes_backwards_starts_over() {
    let (fake, mut seen) = script([Port(1, 900, &[]), Port(2, 12, &[]), Port(3, 12, &[])]).await;
    reaches(&mut seen, 3).await;
    assert_eq!(indexes(&fake)[..3], [0, 900, 0]);
}

#[tokio::test]
async fn index_0_is_read_in_full_again() {
    let (fake, mut seen) = script([Port(1, 0, &[]), Port(2, 0, &[]), Port(3, 5, &[])]).await;
    reaches(&mut seen, 3).await;
    assert_eq!(indexes(&fake)[..3], [0, 0, 0]);
}

#[tokio::test]
async fn an_answer_without_a_leader_is_not_used() {
    let leaderless = &[("X-Consul-KnownLeader", "false")];
    let (fake, mut seen) = script([Port(1, 5, &[]), Port(9, 6, leaderless), Port(2, 5, &[])]).await;
    reaches(&mut seen, 1).await;
    seen.instances("never the port without a leader", "web", |all| {
        assert_ne!(ports(all), [9]);
        ports(all) == [2]
    })
    .await;
    assert_eq!(indexes(&fake)[..3], [0, 5, 0], "a failed request starts over, at whatever index");
}

#[tokio::test]
async fn an_answer_that_is_too_old_is_asked_of_the_leader() {
    let old = &[("X-Consul-LastContact", "2001")];
    let (fake, mut seen) = script([Port(1, 5, &[]), Port(9, 6, old), Port(2, 7, &[])]).await;
    reaches(&mut seen, 2).await;
    let asked = fake.asked();
    assert!(
        !asked[0].contains("stale") && asked[1].contains("stale") && !asked[2].contains("stale"),
        "{asked:?}"
    );
    assert_eq!(indexes(&fake)[..3], [0, 5, 5]);
    assert_eq!(seen.health.borrow().state, Reach::Ok);
}

#[tokio::test]
async fn failures_of_the_server_are_waited_out() {
    let steps = [Port(1, 5, &[]), Status(500, "boom"), Port(2, 5, &[]), BreakOff, Port(3, 5, &[])];
    let (fake, mut seen) = script(steps).await;
    reaches(&mut seen, 3).await;
    assert_eq!(indexes(&fake)[..5], [0, 5, 0, 5, 0]);
}

#[tokio::test]
async fn what_concerns_one_query_is_its_own_problem() {
    let (_fake, mut seen) =
        script([Port(1, 5, &[]), Status(403, "Permission denied"), Port(2, 5, &[])]).await;
    until("reported", &mut seen.health, |health| {
        health.problems.get(&service("web")).is_some_and(|text| text.contains("Permission denied"))
    })
    .await;
    assert_eq!(seen.health.borrow().state, Reach::Ok);
    assert_eq!(
        ports(seen.catalogue.borrow().instances(&service("web")).unwrap()),
        [1],
        "its last answer stays"
    );
    reaches(&mut seen, 2).await;
    until("settled", &mut seen.health, |health| health.problems.is_empty()).await;
}

#[tokio::test]
async fn a_500_that_one_query_meets_again_and_again_does_not_hold_up_others() {
    let (_fake, mut seen) =
        script(vec![Status(500, "this one"); 3].into_iter().chain([Port(1, 5, &[])])).await;
    until("reported", &mut seen.health, |health| !health.problems.is_empty() && health.state == Reach::Ok)
        .await;
    reaches(&mut seen, 1).await;
}

#[tokio::test]
async fn too_many_requests_name_consuls_limit() {
    let (_fake, mut seen) = script([Status(429, "Too many"), Port(1, 5, &[])]).await;
    until("reported", &mut seen.health, |health| {
        health.state == Reach::Refused
            && health.error.as_ref().is_some_and(|text| text.contains("http_max_conns_per_client"))
    })
    .await;
    reaches(&mut seen, 1).await;
}

#[tokio::test]
async fn somebody_else_at_the_address_is_not_taken_for_consul() {
    for other in [Status(404, "<!DOCTYPE HTML>"), Status(200, "[]")] {
        // It knows a leader, as Nomad does. The probe before the last step finds Consul.
        let steps = [other.clone(), other.clone(), other, Port(9, 5, &[]), Port(1, 5, &[])];
        let (fake, mut seen) = script(steps).await;
        until("reported", &mut seen.health, |health| {
            assert_ne!(health.state, Reach::Ok);
            health.error.as_ref().is_some_and(|text| text.contains("is this Consul's HTTP port"))
        })
        .await;
        let health = seen.health.borrow().clone();
        assert_eq!((health.state, health.problems.len()), (Reach::NotConsul, 0));
        until("still", &mut seen.health, |health| {
            assert!(health.state == Reach::NotConsul || fake.asked().len() >= 4, "{health:?}");
            health.state == Reach::Ok
        })
        .await;
        reaches(&mut seen, 1).await;
    }
}

#[tokio::test]
async fn a_key_is_not_missing_because_somebody_else_does_not_know_it() {
    let fake = Fake::start([Status(404, "not found")]).await;
    let error = Client::new(options(&fake.address)).unwrap().kv_get("a").await.unwrap_err();
    assert!(matches!(error, Error::NotConsul { .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_closed_at_accept_names_consuls_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(options(&listener.local_addr().unwrap().to_string())).unwrap();
    let closing = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            drop(connection);
        }
    });
    let error = client.leader().await.unwrap_err();
    closing.abort();
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("http_max_conns_per_client") && text.contains("not its HTTP port"), "{text}");
}

#[tokio::test]
async fn a_server_that_hangs_longer_than_it_may_is_asked_anew() {
    let fake = Fake::start([Port(1, 5, &[]), Hang, Port(2, 5, &[])]).await;
    let wait = Duration::from_millis(160);
    let mut seen = watched(Options { wait, ..options(&fake.address) }, [service("web")]);
    reaches(&mut seen, 1).await;
    until("noticed", &mut seen.health, |health| health.state == Reach::Unreachable).await;
    reaches(&mut seen, 2).await;
    assert_eq!(indexes(&fake)[..3], [0, 5, 0]);
}

#[tokio::test]
async fn a_service_that_changes_all_the_time_is_no_busy_loop() {
    let (fake, mut seen) = script((1..=40).map(|n| Port(n, u64::from(n), &[]))).await;
    let started = tokio::time::Instant::now();
    reaches(&mut seen, 40).await;
    // 36 of them are 50 ms apart: never sooner, however fast the machine.
    assert!(started.elapsed() >= Duration::from_millis(36 * 50), "{:?}", started.elapsed());
    assert!(fake.asked().len() >= 40);
}
