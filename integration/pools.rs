//! Pools follow Consul: instances come, fail, pass and go; changes back to back; more services than connections.

use std::time::Duration;

use serde_json::json;

use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::{Instance, Load, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn servers_follow_the_instances_and_no_request_fails() {
    let Some(site) = Site::new().await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    for instance in [one, two] {
        site.consul.register_checked("web", &instance.name, instance.port).await;
    }
    let (mut weir, haproxy) = site.up().await;
    site.wait_answering(&["one", "two"], SOON).await;
    let load = Load::steady(site.front);

    site.consul.register_checked("web", "three", three.port).await;
    haproxy.wait_servers("web", &[one.server(), two.server(), three.server()], SOON).await;
    site.wait_answering(&["one", "two", "three"], SOON).await;
    site.consul.check("one", "fail").await;
    haproxy.wait_status("web", &one.server(), "MAINT", SOON).await;
    site.consul.check("one", "pass").await;
    haproxy.wait_status("web", &one.server(), "no check", SOON).await;
    site.consul.deregister("two").await;
    haproxy.wait_servers("web", &[one.server(), three.server()], SOON).await;
    site.wait_answering(&["one", "three"], SOON).await;

    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{seen:?}");
    let status = weir
        .wait_status("the status shows the pool", SOON, |status| {
            status["haproxy"][0]["pools"][0]["servers"].as_array().is_some_and(|servers| servers.len() == 2)
        })
        .await;
    assert_eq!(status["haproxy"][0]["state"], "running", "{status:#}");
    let metrics = weir.metrics().await;
    assert!(metrics.contains("weir_pool_servers{"), "{metrics}");
    assert_eq!(weir.answers("/health").await, Some(200));
    assert_eq!(weir.answers("/ready").await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_changes_back_to_back_the_last_state_is_in_force() {
    let Some(site) = Site::new().await else { return };
    let old = Instance::start("old").await;
    site.consul.register("web", "probe", old.port).await;
    let (mut weir, haproxy) = site.up().await;
    site.wait_answering(&["old"], SOON).await;
    let mut last = old;
    for turn in 0..30 {
        let next = Instance::start(&format!("turn-{turn}")).await;
        site.consul.register("web", "probe", next.port).await;
        last = next;
    }
    haproxy.wait_servers("web", &[last.server()], SOON).await;
    site.wait_answering(&["turn-29"], SOON).await;
    weir.must_run();
    weir.wait_ready().await;
}

const SERVICES: usize = 300;

fn backend(service: &str) -> String {
    let servers = SERVERS.replace("\"web\"", &format!("\"{service}\""));
    format!("backend {service}\n    balance roundrobin\n{servers}")
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_services_work_at_the_default_limit_of_connections() {
    let Some(site) = Site::new().await else { return };
    for service in 0..SERVICES {
        for instance in 0..5 {
            let entry = json!({"Service": format!("s{service}"), "ID": format!("s{service}-{instance}"),
                "Address": "127.0.0.1", "Port": 2_000 + service * 5 + instance});
            site.consul.register_elsewhere("n1", entry).await;
        }
    }
    let probe = Instance::start("probe").await;
    site.consul.register("web", "probe", probe.port).await;
    let backends: Vec<String> = (0..SERVICES).map(|n| backend(&format!("s{n}"))).collect();
    site.write_template(&format!("{}{}", site.template(SERVERS), backends.concat()));
    let mut weir = site.weir();
    let limit = Duration::from_mins(1);
    weir.wait_status("300 services are rendered", limit, |s| s["templates"][0]["state"] == "in_force").await;
    assert_eq!(site.rendered().matches("    server ").count(), SERVICES * 5 + 1);
    let _haproxy = site.haproxy().await;
    let status = weir.wait_ready().await;
    assert_eq!(status["consul"]["state"], "ok", "{status:#}");
    site.wait_answering(&["probe"], SOON).await;

    let moved = Instance::start("moved").await;
    site.consul.register("web", "probe", moved.port).await;
    site.wait_answering(&["moved"], SOON).await;
    let entry = json!({"Service": "s299", "ID": "s299-new", "Address": "127.0.0.1", "Port": 1_999});
    site.consul.register_elsewhere("n1", entry).await;
    crate::rig::wait_for("the last service's new instance is rendered", SOON, async || {
        site.rendered().contains("127.0.0.1:1999").then_some(())
    })
    .await;
}
