//! The same requests against a real Consul and against ours: the fields that matter must be the same.
//!
//! The binary is taken from `WEIR_TEST_CONSUL`, from `PATH`, or from `target/tools/bin`; without one this is skipped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};
use weir_devcluster::{Cluster, Options};

use crate::support::{Reply, call, eventually, send};

fn binary() -> Option<PathBuf> {
    let named = std::env::var_os("WEIR_TEST_CONSUL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("consul"));
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin/consul");
    named.into_iter().chain(on_path).chain([fetched]).find(|path| path.is_file())
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 4] {
    let any = || std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    [any(), any(), any(), any()].map(|socket| socket.local_addr().unwrap().port())
}

/// Starts `consul agent -dev` on ports of its own; it ends with the handle.
async fn start(binary: &Path) -> (Child, SocketAddr) {
    let [http, server, lan, wan] = free_ports();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, http));
    // Releases before 1.14 do not know grpc_tls; newer ones would otherwise take its default port.
    let version = Command::new(binary).arg("version").output().await.unwrap();
    let old = String::from_utf8_lossy(&version.stdout).contains("v1.8.");
    let grpc_tls = if old { "" } else { "grpc_tls = -1" };
    let ports = format!(
        "ports {{\ndns = -1\ngrpc = -1\nserver = {server}\nserf_lan = {lan}\nserf_wan = {wan}\n{grpc_tls}\n}}"
    );
    let child = Command::new(binary)
        .args(["agent", "-dev", "-node=devcluster", "-bind=127.0.0.1", "-client=127.0.0.1"])
        .arg(format!("-http-port={http}"))
        .args(["-hcl", &ports])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // The leader registers the node, then the agent adds its addresses; after that the catalogue is still.
    eventually("consul has a leader and its agent has registered", async || {
        let checks = send(addr, "GET", "/v1/health/state/passing", "").await.ok()?;
        let node = send(addr, "GET", "/v1/catalog/node/devcluster", "").await.ok()?;
        (checks.body.contains("serfHealth") && node.body.contains("\"wan\"")).then_some(())
    })
    .await;
    (child, addr)
}

/// Fields that differ from one server to the next, or that only newer releases have.
const OWN: [&str; 16] = [
    "ID",
    "CreateIndex",
    "ModifyIndex",
    "TaggedAddresses",
    "ServiceTaggedAddresses",
    "Meta",
    "NodeMeta",
    "Proxy",
    "Connect",
    "ServiceProxy",
    "ServiceConnect",
    "Definition",
    "Output",
    "Datacenter",
    "Namespace",
    "Name",
];

/// The JSON without those fields; IDs of services stay under `ServiceID` of their checks.
fn common(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| !OWN.contains(&key.as_str()));
            let mut kept: Vec<_> = kept.map(|(key, value)| (key.clone(), common(value))).collect();
            kept.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(kept.into_iter().collect())
        }
        Value::Array(list) => {
            let mut list: Vec<Value> = list.iter().map(common).collect();
            list.sort_by_key(Value::to_string);
            list.into()
        }
        other => other.clone(),
    }
}

fn shown(reply: &Reply) -> (u16, Value) {
    match serde_json::from_str(&reply.body) {
        Ok(json) => (reply.status, common(&json)),
        Err(_) if reply.status == 200 => (200, reply.body.clone().into()),
        // The texts of errors differ between releases; that there is one does not.
        Err(_) => (reply.status, Value::Null),
    }
}

/// A sequence in which `SESSION` stands for the session that it creates.
const STEPS: &[(&str, &str, &str)] = &[
    (
        "PUT",
        "/v1/agent/service/register",
        r#"{"ID":"a","Name":"web","Port":81,"Tags":["x","y"],"Check":{"TTL":"600s"}}"#,
    ),
    (
        "PUT",
        "/v1/agent/service/register",
        r#"{"ID":"b","Name":"web","Port":82,"Address":"127.0.0.2","Checks":[{"TTL":"600s","Status":"passing"},{"CheckID":"own","TTL":"600s"}]}"#,
    ),
    ("GET", "/v1/health/service/web", ""),
    ("GET", "/v1/health/service/web?passing", ""),
    ("PUT", "/v1/agent/check/pass/service:a", ""),
    ("GET", "/v1/health/service/web?passing=1", ""),
    ("GET", "/v1/health/service/web?passing=0&tag=x", ""),
    ("PUT", "/v1/agent/check/warn/own", ""),
    (
        "PUT",
        "/v1/agent/service/register",
        r#"{"ID":"a","Name":"web","Port":91,"Tags":["x","y"],"Check":{"TTL":"600s"}}"#,
    ),
    ("GET", "/v1/health/service/web", ""),
    ("GET", "/v1/catalog/service/web", ""),
    ("GET", "/v1/catalog/services", ""),
    ("GET", "/v1/catalog/nodes", ""),
    ("GET", "/v1/catalog/node/none", ""),
    ("GET", "/v1/health/state/warning", ""),
    ("GET", "/v1/health/service/none", ""),
    ("PUT", "/v1/agent/service/maintenance/a?enable=true&reason=r", ""),
    ("GET", "/v1/health/service/web?passing", ""),
    ("GET", "/v1/health/state/critical", ""),
    ("PUT", "/v1/agent/service/maintenance/a?enable=false", ""),
    (
        "PUT",
        "/v1/catalog/register",
        r#"{"Node":"n2","Address":"10.0.0.2","Service":{"ID":"a","Service":"web","Port":80},"Check":{"Name":"alive","CheckID":"alive","Status":"passing"}}"#,
    ),
    (
        "PUT",
        "/v1/catalog/register",
        r#"{"Node":"n2","Address":"10.0.0.2","Check":{"Name":"own","CheckID":"c2","ServiceID":"a","Status":"critical"}}"#,
    ),
    ("GET", "/v1/health/service/web", ""),
    ("PUT", "/v1/catalog/deregister", r#"{"Node":"n2","CheckID":"c2"}"#),
    ("GET", "/v1/catalog/node/n2", ""),
    ("PUT", "/v1/catalog/deregister", r#"{"Node":"n2","ServiceID":"a"}"#),
    ("PUT", "/v1/catalog/deregister", r#"{"Node":"n2"}"#),
    ("GET", "/v1/catalog/nodes", ""),
    ("PUT", "/v1/kv/app/a/1?flags=7", "one"),
    ("PUT", "/v1/kv/app/a/2", ""),
    ("PUT", "/v1/kv/app/b", "b"),
    ("GET", "/v1/kv/app/a/1", ""),
    ("GET", "/v1/kv/app/a/1?raw", ""),
    ("GET", "/v1/kv/app/?recurse", ""),
    ("GET", "/v1/kv/app/?keys", ""),
    ("GET", "/v1/kv/app/?keys&separator=/", ""),
    ("GET", "/v1/kv/none?recurse", ""),
    ("GET", "/v1/kv/none?keys", ""),
    ("PUT", "/v1/kv/app/b?cas=0", "no"),
    ("PUT", "/v1/kv/new?cas=0", "yes"),
    ("DELETE", "/v1/kv/new?cas=1", ""),
    ("DELETE", "/v1/kv/app/a?recurse", ""),
    ("GET", "/v1/kv/?keys", ""),
    ("PUT", "/v1/session/create", r#"{"TTL":"10s","LockDelay":"5s","Behavior":"release"}"#),
    ("GET", "/v1/session/info/SESSION", ""),
    ("PUT", "/v1/kv/lock?acquire=SESSION", "me"),
    ("PUT", "/v1/kv/lock?acquire=SESSION", "me again"),
    ("PUT", "/v1/kv/lock?release=SESSION", "me"),
    ("PUT", "/v1/kv/lock?release=SESSION", "me"),
    ("PUT", "/v1/kv/lock?acquire=SESSION", "me"),
    ("PUT", "/v1/session/renew/SESSION", ""),
    ("PUT", "/v1/session/destroy/SESSION", ""),
    ("GET", "/v1/kv/lock", ""),
    ("PUT", "/v1/session/renew/SESSION", ""),
    ("PUT", "/v1/kv/lock?acquire=SESSION", "me"),
    ("PUT", "/v1/kv/other?acquire=SESSION", "me"),
    ("GET", "/v1/session/list", ""),
    ("PUT", "/v1/session/create", r#"{"TTL":"1s"}"#),
    ("PUT", "/v1/session/create", r#"{"Node":"nowhere"}"#),
    ("GET", "/v1/catalog/services?index=x", ""),
    ("GET", "/v1/catalog/services?wait=x&index=1", ""),
    ("GET", "/v1/catalog/services?stale&consistent", ""),
    ("PUT", "/v1/agent/service/deregister/a", ""),
    ("PUT", "/v1/agent/service/deregister/b", ""),
    ("GET", "/v1/health/service/web", ""),
];

/// Sends one step to one server; the agent's changes reach a real catalogue a little later.
async fn step(addr: SocketAddr, (method, path, body): (&str, &str, &str), session: &mut String) -> Reply {
    let path = path.replace("SESSION", session);
    let reply = call(addr, method, &path, body).await;
    if path == "/v1/session/create" && reply.status == 200 {
        reply.json()["ID"].as_str().unwrap_or_default().clone_into(session);
    }
    reply
}

fn comparable(reply: &Reply, session: &str) -> (u16, Value) {
    let (status, value) = shown(reply);
    let text = value.to_string().replace(session, "SESSION");
    (status, serde_json::from_str(&text).unwrap())
}

#[tokio::test]
async fn a_real_consul_answers_the_same() {
    let Some(binary) = binary() else {
        println!("skipped: no consul");
        return;
    };
    let (_child, real) = start(&binary).await;
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let (mut ours_session, mut real_session) = ("none".to_owned(), "none".to_owned());
    for at in STEPS {
        let ours = step(cluster.consul_addr(), *at, &mut ours_session).await;
        let ours = comparable(&ours, &ours_session);
        let first = step(real, *at, &mut real_session).await;
        let mut theirs = comparable(&first, &real_session);
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(2);
        while at.0 == "GET" && theirs != ours && tokio::time::Instant::now() < end {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            theirs = comparable(&step(real, *at, &mut real_session).await, &real_session);
        }
        assert_eq!(ours, theirs, "ours and Consul's, {} {}", at.0, at.1);
    }
}

/// Queries whose indexes are watched while the catalogue changes.
const WATCHED: [&str; 9] = [
    "/v1/health/service/web",
    "/v1/health/service/other",
    "/v1/catalog/service/web",
    "/v1/catalog/services",
    "/v1/catalog/nodes",
    "/v1/catalog/node/n2",
    "/v1/health/state/any",
    "/v1/kv/app/a",
    "/v1/kv/app/?recurse",
];

const CHANGES: &[(&str, &str, &str)] = &[
    (
        "PUT",
        "/v1/catalog/register",
        r#"{"Node":"n2","Address":"10.0.0.2","Service":{"ID":"w","Service":"web","Port":80}}"#,
    ),
    (
        "PUT",
        "/v1/catalog/register",
        r#"{"Node":"n2","Address":"10.0.0.2","Service":{"ID":"w","Service":"web","Port":80}}"#,
    ),
    (
        "PUT",
        "/v1/catalog/register",
        r#"{"Node":"n2","Address":"10.0.0.2","Service":{"ID":"w","Service":"web","Port":81}}"#,
    ),
    (
        "PUT",
        "/v1/catalog/register",
        r#"{"Node":"n2","Address":"10.0.0.2","Check":{"Name":"c","CheckID":"c","ServiceID":"w","Status":"passing"}}"#,
    ),
    (
        "PUT",
        "/v1/catalog/register",
        r#"{"Node":"n2","Address":"10.0.0.2","Service":{"ID":"o","Service":"other","Port":80}}"#,
    ),
    (
        "PUT",
        "/v1/catalog/register",
        r#"{"Node":"n2","Address":"10.0.0.2","Check":{"Name":"c","CheckID":"c","ServiceID":"w","Status":"critical"}}"#,
    ),
    (
        "PUT",
        "/v1/catalog/register",
        r#"{"Node":"n2","Address":"10.0.0.2","Check":{"Name":"n","CheckID":"n","Status":"passing"}}"#,
    ),
    ("PUT", "/v1/catalog/register", r#"{"Node":"n3","Address":"10.0.0.3"}"#),
    ("PUT", "/v1/catalog/register", r#"{"Node":"n2","Address":"10.0.0.9"}"#),
    ("PUT", "/v1/kv/app/a", "1"),
    ("PUT", "/v1/kv/app/a", "1"),
    ("PUT", "/v1/kv/app/b", "1"),
    ("PUT", "/v1/kv/app/a", "2"),
    ("PUT", "/v1/kv/elsewhere", "1"),
    ("DELETE", "/v1/kv/app/b", ""),
    ("PUT", "/v1/catalog/deregister", r#"{"Node":"n2","CheckID":"c"}"#),
    ("PUT", "/v1/catalog/deregister", r#"{"Node":"n2","ServiceID":"o"}"#),
    ("PUT", "/v1/catalog/deregister", r#"{"Node":"n2"}"#),
];

async fn indexes(addr: SocketAddr) -> Vec<u64> {
    let mut indexes = Vec::new();
    for path in WATCHED {
        indexes.push(call(addr, "GET", path, "").await.index());
    }
    indexes
}

/// Which of the watched indexes each change moves.
async fn moves(addr: SocketAddr) -> Vec<Vec<&'static str>> {
    let mut before = indexes(addr).await;
    let mut moves = Vec::new();
    for (method, path, body) in CHANGES {
        assert_eq!(call(addr, method, path, body).await.status, 200, "{method} {path} {body}");
        let after = indexes(addr).await;
        let pairs = WATCHED.iter().zip(before.iter().zip(&after));
        moves.push(pairs.filter(|(_, (before, after))| before != after).map(|(path, _)| *path).collect());
        before = after;
    }
    moves
}

#[tokio::test]
async fn a_real_consul_moves_the_same_indexes() {
    let Some(binary) = binary() else {
        println!("skipped: no consul");
        return;
    };
    let (_child, real) = start(&binary).await;
    let cluster = Cluster::start(Options::default()).await.unwrap();
    // What is deregistered once has set the index that unknown services show.
    let first = [CHANGES[0], ("PUT", "/v1/catalog/deregister", r#"{"Node":"n2"}"#)];
    for (method, path, body) in first {
        call(real, method, path, body).await;
        call(cluster.consul_addr(), method, path, body).await;
    }
    let (ours, theirs) = (moves(cluster.consul_addr()).await, moves(real).await);
    for ((change, ours), theirs) in CHANGES.iter().zip(ours).zip(theirs) {
        assert_eq!(ours, theirs, "ours and Consul's, {change:?}");
    }
}
