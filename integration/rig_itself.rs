//! The rig on its own, without weir: what the other tests rest on.

use std::time::Duration;

use crate::rig::consul::Consul;
use crate::rig::haproxy::{self, Haproxy};
use crate::rig::nomad::Nomad;
use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::{Instance, Load, SOON, http, ports, wait_for};

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
    consul.kill().await;
    consul.wipe();
    consul.restart().await;
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
    reload(&site).await;
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    site.wait_answering(&["one", "two"], SOON).await;
    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{seen:?}");
    assert!(seen.good > 0 && seen.by_instance.contains_key("one"), "{seen:?}");
}

async fn reload(site: &Site) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut master = tokio::net::UnixStream::connect(site.path("master.sock")).await.unwrap();
    master.write_all(b"reload\n").await.unwrap();
    let mut answer = String::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), master.read_to_string(&mut answer)).await;
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
