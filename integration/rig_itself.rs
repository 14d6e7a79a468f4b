//! The rig on its own, without weir: what the other tests rest on.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::rig::consul::Consul;
use crate::rig::haproxy::{self, Haproxy};
use crate::rig::http::Kept;
use crate::rig::nomad::Nomad;
use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::{Instance, Load, Recorder, SOON, http, ports, wait_for};

#[test]
fn ports_are_given_once() {
    let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| ports::free()).collect();
    assert_eq!(ports.len(), 50);
}

#[tokio::test]
async fn a_consul_that_is_wiped_has_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut consul) = Consul::start(dir.path()).await else { return };
    consul.register_checked("web", "web-1", 80).await;
    wait_for("the instance is there", SOON, async || {
        consul.get("/v1/health/service/web?passing").await.as_array()?.first().map(|_| ())
    })
    .await;
    consul.check("web-1", "fail").await;
    wait_for("the instance fails", SOON, async || {
        consul.get("/v1/health/service/web?passing").await.as_array()?.is_empty().then_some(())
    })
    .await;
    let before = consul.pid();
    consul.kill().await;
    assert_eq!(consul.pid(), None);
    consul.wipe();
    consul.restart().await;
    assert_ne!(consul.pid(), before);
    assert_eq!(consul.get("/v1/catalog/service/web").await, serde_json::json!([]));
}

#[tokio::test]
async fn haproxy_serves_through_a_reload_without_a_failed_request() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    let servers = |list: &[&Instance]| -> String {
        let lines: Vec<String> =
            list.iter().map(|one| format!("    server {0} {0}\n", one.server())).collect();
        lines.concat()
    };
    let write = |text: &str| std::fs::write(site.path("haproxy.cfg"), text).unwrap();
    write(&site.template(&servers(&[one])));
    assert!(site.template(SERVERS).contains("each"));
    let haproxy = Haproxy::start(site.dir()).await;
    site.wait_answering(&["one"], SOON).await;
    let load = Load::steady(site.front);
    write(&site.template(&servers(&[one, two])));
    haproxy.reload().await;
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    site.wait_answering(&["one", "two"], SOON).await;
    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{seen:?}");
    assert!(seen.good > 0 && seen.by_instance.contains_key("one"), "{seen:?}");
}

#[tokio::test]
async fn a_load_counts_what_fails() {
    if haproxy::binary().is_none() {
        return;
    }
    let port = ports::free();
    let load = Load::start(port, "/", 1, Duration::from_millis(1));
    wait_for("a failure is counted", SOON, async || (load.seen().failed > 0).then_some(())).await;
    let instance = Instance::start_at("one", port).await;
    wait_for("an answer is counted", SOON, async || (load.seen().good > 0).then_some(())).await;
    assert_eq!(http::get(instance.port, "/").await.unwrap().body, instance.name);
    let seen = load.stop().await;
    assert_eq!(seen.by_instance.keys().collect::<Vec<_>>(), ["one"]);
}

/// A template whose pool has these servers, in place of what weir would render.
fn write_pool(site: &Site, servers: &str) {
    std::fs::write(site.path("haproxy.cfg"), site.template(servers)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_on_both_kinds_of_connections() {
    let Some(site) = Site::new().await else { return };
    let one = Instance::start("one").await;
    write_pool(&site, &format!("    server {0} {0}\n", one.server()));
    let mut haproxy = Haproxy::start(site.dir()).await;
    let begin = Instant::now();
    let load = Load::at_rate(site.front, 400);
    wait_for("half a second's requests are answered", SOON, async || (load.seen().good > 200).then_some(()))
        .await;
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(450), "faster than it should be: {took:?}");
    let opened = u64::from(haproxy.connections().await.unwrap());
    let good = load.seen().good;
    assert!(opened > 100 && opened < good * 3 / 4, "{opened} connections for {good} requests");
    assert_eq!(load.seen().failed, 0, "{:?}", load.seen());
    haproxy.kill().await;
    wait_for("cut and refused requests are counted", SOON, async || (load.seen().failed > 100).then_some(()))
        .await;
    let seen = load.stop().await;
    assert!(seen.failures.iter().any(|failure| failure.contains("ConnectionRefused")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_passes_and_notes_commands() {
    let Some(site) = Site::new().await else { return };
    let one = Instance::start("one").await;
    write_pool(&site, &format!("    server {0} {0}\n", one.server()));
    let haproxy = Haproxy::start(site.dir()).await;
    let socket = site.path("recorded.sock");
    let recorder = Recorder::start(&socket, site.path("stats.sock"));
    let server = one.server();
    let say = async |line: &str| {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(say("show info\n").await.contains("Pid: "));
    let set = format!("set server web/{server} state drain");
    assert!(say(&format!("{set}; show servers state web\n")).await.contains(&server));
    assert_eq!(recorder.commands(), ["show info", &set, "show servers state web"]);
    assert_eq!(recorder.changes(), [set]);
    assert!(haproxy.state("web", &server).await.unwrap().is_drained());
    drop(recorder);
    wait_for("nobody listens any more", SOON, async || UnixStream::connect(&socket).await.err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_keeps_connections_and_can_be_ill() {
    let one = Instance::start("one").await;
    let mut kept = Kept::open(one.port).await.unwrap();
    for _ in 0..2 {
        let reply = kept.get("/").await.unwrap();
        assert_eq!((reply.status, reply.body.as_str(), kept.is_over), (200, "one", false));
    }
    assert_eq!(http::get(one.port, "/health").await.unwrap().status, 200);
    one.set_ill(true);
    assert_eq!(http::get(one.port, "/health").await.unwrap().status, 503);
    assert_eq!((one.asked(), one.checked(), one.busy()), (2, 2, 0));
    let port = one.port;
    let slow = tokio::spawn(async move { http::get(port, "/slow/60000").await });
    wait_for("it is busy", SOON, async || (one.busy() == 1).then_some(())).await;
    drop(one);
    assert!(slow.await.unwrap().is_err(), "a connection outlived its instance");
    assert!(kept.get("/").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_haproxy_that_was_killed_can_be_started_again() {
    let Some(site) = Site::new().await else { return };
    let one = Instance::start("one").await;
    write_pool(&site, &format!("    server {0} {0}\n", one.server()));
    let mut haproxy = Haproxy::start(site.dir()).await;
    let before = haproxy.worker().await.unwrap();
    haproxy.kill().await;
    assert_eq!(haproxy.worker().await, None);
    let haproxy = Haproxy::start(site.dir()).await;
    assert_ne!(haproxy.worker().await.unwrap(), before);
    site.wait_answering(&["one"], SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_a_real_nomad_registers_instances_that_answer() {
    let dir = tempfile::tempdir().unwrap();
    let Some(consul) = Consul::start(dir.path()).await else { return };
    let Some(nomad) = Nomad::start(dir.path(), &consul).await else { return };
    nomad.run(&crate::nomad::job()).await;
    let port = wait_for("an instance of the job passes", Duration::from_mins(1), async || {
        let passing = consul.get("/v1/health/service/web?passing").await;
        passing[0]["Service"]["Port"].as_u64()
    })
    .await;
    let reply = http::get(u16::try_from(port).unwrap(), "/").await.unwrap();
    assert_eq!((reply.status, reply.body), (200, format!("task-{port}")));
    assert_eq!(nomad.count("web", "app").await, Some(2));
    nomad.stop("web").await;
}
