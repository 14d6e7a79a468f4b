//! How a server goes, by the cause: gone from Consul, in maintenance there, critical, dead.

use tokio::task::JoinHandle;

use crate::rig::haproxy::{Haproxy, State};
use crate::rig::http::{self, Reply};
use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::weir::Weir;
use crate::rig::{Instance, Load, Recorder, SOON, wait_for};

/// Requests that last 5 s, of which each of two instances gets one.
async fn long_requests(site: &Site, pool: [&Instance; 2]) -> Vec<JoinHandle<std::io::Result<Reply>>> {
    let port = site.front;
    let requests = (0..2).map(|_| tokio::spawn(async move { http::get(port, "/slow/5000").await })).collect();
    wait_for("each instance has a long request", SOON, async || {
        pool.iter().all(|instance| instance.busy() == 1).then_some(())
    })
    .await;
    requests
}

async fn all_end_well(requests: Vec<JoinHandle<std::io::Result<Reply>>>) {
    for request in requests {
        let reply = request.await.unwrap();
        assert!(reply.as_ref().is_ok_and(|reply| reply.status == 200), "{reply:?}");
    }
}

/// What weir said to HAProxy of a server.
fn of(recorder: &Recorder, server: &str) -> Vec<String> {
    recorder.changes().into_iter().filter(|command| command.contains(server)).collect()
}

/// Waits until a server takes no new requests, and shows that it was drained first while its request still ran.
async fn is_drained(haproxy: &Haproxy, recorder: &Recorder, site: &Site, pool: [&Instance; 2]) {
    let [one, _] = pool;
    haproxy
        .wait_state("web", &one.server(), "drained", SOON, |state| state.is_drained() && !state.is_in_maint())
        .await;
    assert_eq!(one.busy(), 1, "its request has ended too soon to show anything");
    let asked = one.asked();
    site.wait_answering(&["two"], SOON).await;
    assert_eq!(one.asked(), asked, "a drained server got a new request");
    assert!(of(recorder, &one.server())[0].ends_with("state drain"), "{:?}", recorder.changes());
}

async fn up(site: &mut Site, [one, two]: [&Instance; 2]) -> (Weir, Haproxy, Recorder) {
    site.consul.register_checked("web", "one", one.port).await;
    site.consul.register_checked("web", "two", two.port).await;
    let template = site.template(SERVERS);
    let up = site.up_recorded(&template).await;
    site.wait_answering(&["one", "two"], SOON).await;
    up
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_deregistered_is_drained_and_then_deleted() {
    let Some(mut site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    let (weir, haproxy, recorder) = up(&mut site, [one, two]).await;
    let before = weir.generation(&haproxy).await;
    let long = long_requests(&site, [one, two]).await;
    site.consul.deregister("one").await;
    is_drained(&haproxy, &recorder, &site, [one, two]).await;
    all_end_well(long).await;
    haproxy.wait_servers("web", &[two.server()], SOON).await;
    assert_eq!(weir.generation(&haproxy).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_in_consuls_maintenance_mode_is_drained_and_comes_back() {
    let Some(mut site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    let (weir, haproxy, recorder) = up(&mut site, [one, two]).await;
    let before = weir.generation(&haproxy).await;
    let long = long_requests(&site, [one, two]).await;
    site.consul.maintenance("one", true).await;
    is_drained(&haproxy, &recorder, &site, [one, two]).await;
    all_end_well(long).await;
    site.consul.maintenance("one", false).await;
    haproxy.wait_state("web", &one.server(), "ready", SOON, State::is_ready).await;
    site.wait_answering(&["one", "two"], SOON).await;
    assert_eq!(weir.generation(&haproxy).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_critical_is_in_maintenance_at_once_and_ready_when_it_passes() {
    is_critical_and_passes_again("roundrobin").await;
}

/// Nor is it a reload where a server that is gone would be one.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_critical_is_no_reload_under_static_rr() {
    is_critical_and_passes_again("static-rr").await;
}

async fn is_critical_and_passes_again(balance: &'static str) {
    let Some(mut site) = Site::new().await else { return };
    site.balance = balance;
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    let (weir, haproxy, recorder) = up(&mut site, [one, two]).await;
    let before = weir.generation(&haproxy).await;
    let long = long_requests(&site, [one, two]).await;
    site.consul.check("one", "fail").await;
    haproxy.wait_state("web", &one.server(), "in maintenance", SOON, State::is_in_maint).await;
    assert_eq!(one.busy(), 1, "its request has ended too soon to show anything");
    assert!(of(&recorder, &one.server())[0].ends_with("state maint"), "{:?}", recorder.changes());
    site.wait_answering(&["two"], SOON).await;
    site.consul.check("one", "pass").await;
    haproxy.wait_state("web", &one.server(), "ready", SOON, State::is_ready).await;
    site.wait_answering(&["one", "two"], SOON).await;
    all_end_well(long).await;
    assert_eq!(weir.generation(&haproxy).await, before);
}

/// A killed task leaves Consul without ever being critical; its port refuses by then. In a drain sticky clients would
/// still be sent there, so that it does not wait for them.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_dead_goes_without_a_failed_request() {
    let Some(mut site) = Site::new().await else { return };
    let mut pool = instances(["one", "two"]).await;
    let (weir, haproxy, _recorder) = up(&mut site, [&pool[0], &pool[1]]).await;
    let before = weir.generation(&haproxy).await;
    let load = Load::at_rate(site.front, 200);
    wait_for("the load runs", SOON, async || (load.seen().good > 50).then_some(())).await;
    drop(pool.remove(0));
    site.consul.deregister("one").await;
    haproxy.wait_servers("web", &[pool[0].server()], SOON).await;
    // Those that were on it when it died are lost; no later one is.
    let then = load.seen();
    wait_for("the load goes on", SOON, async || (load.seen().good > then.good + 100).then_some(())).await;
    let seen = load.stop().await;
    assert_eq!(seen.failed, then.failed, "{seen:?}");
    assert_eq!(weir.generation(&haproxy).await, before);
}

/// In a drain it would get a 503: the table sends it there, and nobody listens.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sticks_to_a_dead_one_is_served_elsewhere_while_older_requests_end() {
    let Some(mut site) = Site::new().await else { return };
    let pool = instances(["one", "two"]).await;
    for instance in &pool {
        site.consul.register_checked("web", &instance.name, instance.port).await;
    }
    let sticky = "    stick-table type string size 1k\n    stick on hdr(X-User)\n    retries 0\n    no option redispatch\n";
    let template = site.template(&format!("{sticky}{SERVERS}"));
    let (weir, haproxy, _recorder) = site.up_recorded(&template).await;
    site.wait_answering(&["one", "two"], SOON).await;
    let before = weir.generation(&haproxy).await;
    let port = site.front;
    let ask = async || http::send(port, "GET", "/", "X-User: a\r\n", "").await.unwrap();
    let first = ask().await;
    let (dead, other): (Vec<_>, Vec<_>) =
        pool.iter().partition(|instance| instance.name == first.body.trim());
    let (dead, other) = (dead[0], other[0]);
    let long = long_requests(&site, [dead, other]).await;
    dead.stop_listening();
    site.consul.deregister(&dead.name).await;
    haproxy.wait_state("web", &dead.server(), "in maintenance", SOON, State::is_in_maint).await;
    assert_eq!(dead.busy(), 1, "its request has ended too soon to show anything");
    let reply = ask().await;
    assert_eq!((reply.status, reply.body.trim()), (200, other.name.as_str()));
    all_end_well(long).await;
    haproxy.wait_servers("web", &[other.server()], SOON).await;
    assert_eq!(weir.generation(&haproxy).await, before);
}

/// What weir took out itself is not taken for a person's doing by the next weir.
#[tokio::test(flavor = "multi_thread")]
async fn a_weir_that_was_killed_takes_back_what_it_took_out() {
    let Some(mut site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    let (mut weir, haproxy, _recorder) = up(&mut site, [one, two]).await;
    site.consul.check("one", "fail").await;
    haproxy.wait_state("web", &one.server(), "in maintenance", SOON, State::is_in_maint).await;
    let worker = haproxy.worker().await;
    let killed = weir.pid();
    weir.kill().await;
    site.consul.check("one", "pass").await;
    let mut weir = site.weir();
    assert_ne!(weir.pid(), killed);
    haproxy.wait_state("web", &one.server(), "ready", SOON, State::is_ready).await;
    weir.wait_ready().await;
    site.wait_answering(&["one", "two"], SOON).await;
    assert_eq!(haproxy.worker().await, worker, "the new weir reloaded HAProxy");
}
