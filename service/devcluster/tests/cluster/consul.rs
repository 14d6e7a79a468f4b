//! The Consul side over HTTP: blocking queries, locks, faults.

use std::time::Duration;

use crate::support::{eventually, get, put, send};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_devcluster::{Cluster, Options};

async fn cluster() -> Cluster {
    Cluster::start(Options::default()).await.unwrap()
}

fn ttl(id: &str, name: &str, port: u16) -> String {
    json!({"ID": id, "Name": name, "Port": port, "Check": {"TTL": "600s", "Status": "passing"}}).to_string()
}

#[tokio::test]
async fn a_blocking_query_wakes_for_its_service_and_for_no_other() {
    let cluster = cluster().await;
    let consul = cluster.consul_addr();
    put(consul, "/v1/agent/service/register", &ttl("a", "web", 1)).await;
    let seen = get(consul, "/v1/health/service/web?passing").await;
    assert_eq!(seen.json().as_array().unwrap().len(), 1);
    assert_eq!(seen.header("X-Consul-KnownLeader"), Some("true"));

    let path = format!("/v1/health/service/web?passing=1&wait=5m&index={}", seen.index());
    let watch = tokio::spawn(async move { get(consul, &path).await });
    put(consul, "/v1/agent/service/register", &ttl("o", "other", 1)).await;
    put(consul, "/v1/agent/check/fail/service:o", "").await;
    put(consul, "/v1/agent/service/register", &ttl("a", "web", 1)).await;
    let unmoved = get(consul, "/v1/health/service/web").await;
    assert_eq!(unmoved.index(), seen.index(), "others' changes and a repetition move nothing");
    assert!(!watch.is_finished());
    put(consul, "/v1/agent/check/fail/service:a", "").await;
    let woken = watch.await.unwrap();
    assert_eq!(woken.json(), json!([]), "not passing any more");
    assert!(woken.index() > seen.index());
}

#[tokio::test]
async fn a_query_with_an_index_of_the_future_waits_its_time_out() {
    let cluster = cluster().await;
    let reply = get(cluster.consul_addr(), "/v1/catalog/services?index=999999&wait=50ms").await;
    assert_eq!(reply.json()["consul"], json!([]));
    assert!(reply.index() < 999_999);
}

#[tokio::test]
async fn unknown_things_answer_as_consul_answers() {
    let cluster = cluster().await;
    let consul = cluster.consul_addr();
    assert_eq!(get(consul, "/v1/health/service/none").await.body, "[]");
    let key = get(consul, "/v1/kv/none").await;
    assert_eq!((key.status, key.body.as_str(), key.index()), (404, "", 1));
    assert_eq!(get(consul, "/v1/catalog/node/none").await.body, "null");
    assert_eq!(get(consul, "/v1/kv/a?wait=x").await.body, "Invalid wait time");
}

#[tokio::test]
async fn maintenance_is_a_critical_check_of_the_service() {
    let cluster = cluster().await;
    let consul = cluster.consul_addr();
    put(consul, "/v1/agent/service/register", &ttl("a", "web", 1)).await;
    put(consul, "/v1/agent/service/maintenance/a?enable=true&reason=disk", "").await;
    let checks = get(consul, "/v1/health/service/web").await.json()[0]["Checks"].clone();
    let check =
        checks.as_array().unwrap().iter().find(|it| it["CheckID"] == "_service_maintenance:a").unwrap();
    assert_eq!((&check["Status"], &check["Notes"]), (&json!("critical"), &json!("disk")));
    put(consul, "/v1/agent/service/maintenance/a?enable=false", "").await;
    assert_eq!(get(consul, "/v1/health/service/web?passing").await.json().as_array().unwrap().len(), 1);
}

async fn session(consul: std::net::SocketAddr) -> String {
    let body = r#"{"TTL":"10s","LockDelay":"300ms","Behavior":"release"}"#;
    let reply = put(consul, "/v1/session/create", body).await.json();
    reply["ID"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_lock_passes_at_once_on_release_and_with_delay_on_destruction() {
    let cluster = cluster().await;
    let consul = cluster.consul_addr();
    let (a, b) = (session(consul).await, session(consul).await);
    let lock = async |id: &str| put(consul, &format!("/v1/kv/weir/leader?acquire={id}"), "me").await.body;
    assert_eq!(lock(&a).await, "true");
    assert_eq!(lock(&b).await, "false");
    assert_eq!(put(consul, &format!("/v1/kv/weir/leader?release={a}"), "").await.body, "true");
    assert_eq!(lock(&b).await, "true");
    let held = get(consul, "/v1/kv/weir/leader").await;
    assert_eq!((&held.json()[0]["Session"], &held.json()[0]["LockIndex"]), (&json!(b), &json!(2)));

    let path = format!("/v1/kv/weir/leader?wait=1m&index={}", held.index());
    let watch = tokio::spawn(async move { get(consul, &path).await });
    put(consul, &format!("/v1/session/destroy/{b}"), "").await;
    assert!(watch.await.unwrap().json()[0].get("Session").is_none(), "the watcher sees the lock go");
    assert_eq!(lock(&a).await, "false", "lock-delay");
    eventually("the delay is over", async || (lock(&a).await == "true").then_some(())).await;
    assert_eq!(put(consul, &format!("/v1/kv/x?acquire={b}"), "").await.status, 500);
}

#[tokio::test]
async fn a_refusing_consul_cuts_open_connections_and_comes_back() {
    let cluster = cluster().await;
    let consul = cluster.consul_addr();
    let index = get(consul, "/v1/catalog/services").await.index();
    let path = format!("/v1/catalog/services?wait=5m&index={index}");
    let watch = tokio::spawn(async move { send(consul, "GET", &path, "").await });
    tokio::task::yield_now().await;
    cluster.faults().consul_refuse(true);
    assert!(watch.await.unwrap().is_err());
    assert!(send(consul, "GET", "/v1/status/leader", "").await.is_err());
    cluster.faults().consul_refuse(false);
    assert_eq!(get(consul, "/v1/status/leader").await.status, 200);
}

#[tokio::test]
async fn the_other_faults_show_what_consul_shows() {
    let cluster = cluster().await;
    let (consul, faults) = (cluster.consul_addr(), cluster.faults());
    put(consul, "/v1/agent/service/register", &ttl("a", "web", 1)).await;
    let web = "/v1/health/service/web";

    faults.consul_no_leader(true);
    let lost = get(consul, web).await;
    assert_eq!((lost.status, lost.body.as_str()), (500, "No cluster leader"));
    let stale = get(consul, &format!("{web}?stale")).await;
    assert_eq!((stale.status, stale.header("X-Consul-KnownLeader")), (200, Some("false")));
    faults.consul_no_leader(false);

    faults.consul_acl(true);
    assert_eq!(get(consul, web).await.body, "[]");
    faults.consul_acl(false);

    faults.consul_429(true);
    assert_eq!(get(consul, web).await.status, 429);
    faults.consul_429(false);

    faults.consul_hang(true);
    let held = tokio::spawn(get_owned(consul, web));
    let mut silent = TcpStream::connect(consul).await.unwrap();
    let answer = tokio::io::AsyncReadExt::read_u8(&mut silent);
    assert!(timeout(Duration::from_millis(50), answer).await.is_err(), "accepted, and nothing said");
    assert!(!held.is_finished());
    faults.consul_hang(false);
    assert_eq!(held.await.unwrap().json().as_array().unwrap().len(), 1);

    let before = get(consul, web).await.index();
    faults.consul_wipe();
    let after = get(consul, web).await;
    assert_eq!(after.body, "[]");
    assert!(after.index() < before);
}

async fn get_owned(consul: std::net::SocketAddr, path: &'static str) -> crate::support::Reply {
    get(consul, path).await
}
