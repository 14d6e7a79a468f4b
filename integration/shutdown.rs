//! SIGTERM and SIGINT end weir within five seconds, with exit code 0, whatever it is doing.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::weir::Weir;

async fn ends(weir: &mut Weir, signal: Signal) {
    let asked = Instant::now();
    weir.signal(signal);
    let status = weir.ended(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0), "{}", weir.log());
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_end_it_in_normal_work() {
    let Some(site) = Site::new().await else { return };
    let [one] = &instances(["one"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up().await;
    ends(&mut weir, Signal::SIGTERM).await;
    assert!(!site.path("weir.sock").exists(), "the control socket is left behind");
    let mut weir = site.weir();
    weir.wait_ready().await;
    ends(&mut weir, Signal::SIGINT).await;
    // HAProxy goes on without weir.
    haproxy.wait_servers("web", &[one.server()], Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_end_it_while_consul_is_away() {
    let Some(mut site) = Site::new().await else { return };
    site.write_template(&site.template(SERVERS));
    site.consul.kill().await;
    let mut weir = site.weir();
    let away = |status: &serde_json::Value| status["consul"]["state"] == "unreachable";
    weir.wait_status("Consul is missed", Duration::from_secs(20), away).await;
    ends(&mut weir, Signal::SIGTERM).await;
}
