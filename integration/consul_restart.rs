//! Consul is killed, loses everything, and comes back: pools keep their servers, weir finds its way by itself.

use std::time::{Duration, Instant};

use crate::rig::site::{Site, instances};
use crate::rig::{Load, SOON, wait_for};

/// Ten seconds; a minute with `WEIR_TEST_LONG=1`.
fn outage() -> Duration {
    let long = std::env::var_os("WEIR_TEST_LONG").is_some();
    if long { Duration::from_mins(1) } else { Duration::from_secs(10) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_was_wiped_empties_no_pool_and_is_followed_again() {
    let Some(mut site) = Site::new().await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    for instance in [one, two] {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let (mut weir, haproxy) = site.up().await;
    site.wait_answering(&["one", "two"], SOON).await;
    let load = Load::steady(site.front);

    site.consul.kill().await;
    let started = Instant::now();
    let down = |status: &serde_json::Value| status["consul"]["state"] == "unreachable";
    let status = weir.wait_status("Consul is missed", SOON, down).await;
    assert!(status["consul"]["error"].is_string(), "{status:#}");
    let before = attempts(&status);
    wait_for("the outage is over", outage() + SOON, async || (started.elapsed() >= outage()).then_some(()))
        .await;
    let status = weir.wait_status("weir answers", SOON, down).await;
    let made = attempts(&status) - before;
    assert!(made < 30, "{made} attempts in {:?}: a busy loop", started.elapsed());
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;

    site.consul.wipe();
    site.consul.restart().await;
    // Both old ones are kept while the new Consul says nothing of them; the new one joins.
    let leader = Instant::now();
    wait_for("Consul has had a leader for 4 s", SOON, async || {
        (leader.elapsed().as_secs() >= 4).then_some(())
    })
    .await;
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    site.consul.register("web", "three", three.port).await;
    let registered = Instant::now();
    wait_for("the new instance is in the pool", SOON, async || {
        haproxy.servers("web").await?.contains_key(&three.server()).then_some(())
    })
    .await;
    let took = registered.elapsed();
    assert!(took < Duration::from_secs(10), "the new instance was in the pool only after {took:?}");
    eprintln!(
        "{made} attempts while Consul was away for {:?}; the new instance was in the pool after {took:?}",
        outage()
    );
    weir.wait_status("Consul is well again", SOON, |status| status["consul"]["state"] == "ok").await;
    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{seen:?}");
}

fn attempts(status: &serde_json::Value) -> u64 {
    status["consul"]["attempts"].as_u64().unwrap_or_else(|| panic!("no attempts in {status:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn weir_that_starts_before_consul_waits_for_it() {
    let Some(mut site) = Site::new().await else { return };
    let [one] = &instances(["one"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    site.consul.kill().await;
    site.write_template(&site.template(crate::rig::site::SERVERS));
    let mut weir = site.weir();
    let status = weir
        .wait_status("the template waits", SOON, |status| status["templates"][0]["state"] == "waiting")
        .await;
    assert_eq!(status["ready"], false, "{status:#}");
    assert_eq!(weir.answers("/ready").await, Some(503));
    site.consul.restart().await;
    let _haproxy = site.haproxy().await;
    weir.wait_ready().await;
    assert!(site.rendered().contains("    server "), "{}", site.rendered());
    site.wait_answering(&["one"], SOON).await;
}
