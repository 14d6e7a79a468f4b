//! Two load balancers that share the load of one job: what the leader makes of the other one's HAProxy.

use std::time::{Duration, Instant};

use serde_json::Value;
use weir_devcluster::Cluster;

use crate::rig::balancer::{Balancer, TOKEN, leader as leadership};
use crate::rig::cluster;
use crate::rig::{Load, SOON, haproxy, http, tls, wait_for};

const MINUTE: Duration = Duration::from_mins(1);

async fn wait(balancer: &mut Balancer, what: &str, predicate: impl Fn(&Value) -> bool) -> Value {
    balancer.weir.wait_status(what, MINUTE, predicate).await
}

/// A job with a policy, the leader, and a follower; both know each other.
async fn pair() -> Option<(Cluster, Balancer, Balancer)> {
    pair_with("").await
}

/// The same with a block in their blocks `peer`.
async fn pair_with(ssl: &str) -> Option<(Cluster, Balancer, Balancer)> {
    haproxy::binary()?;
    let cluster = cluster::start().await;
    cluster.run_job(&cluster::web()).unwrap();
    let mut leader = Balancer::start_peer(&cluster, ssl).await;
    wait(&mut leader, "it leads", |status| leadership(status) == "leading").await;
    let mut follower = Balancer::start_peer(&cluster, ssl).await;
    for one in [&mut leader, &mut follower] {
        wait(one, "the other one answers", |status| status["peers"][0]["answers"] == true).await;
    }
    Some((cluster, leader, follower))
}

fn decision(status: &Value) -> &Value {
    &status["scaling"]["policies"][0]["last_decision"]
}

fn work(status: &Value) -> f64 {
    decision(status)["votes"][0]["inputs"]["work"].as_f64().unwrap_or_default()
}

/// Who did not answer, as the decision has it.
fn missing(status: &Value) -> String {
    decision(status)["demand"]["known"]["missing"][0].as_str().unwrap_or_default().to_owned()
}

fn has_fallen(cluster: &Cluster) -> bool {
    cluster::scaled(cluster).windows(2).any(|pair| pair[1] < pair[0])
}

/// Loads both, until Nomad was asked for more than half of the work would need.
async fn loaded(cluster: &Cluster, balancers: [&Balancer; 2]) -> [Load; 2] {
    let loads = balancers.map(|one| Load::start(one.site.front, "/", 8, Duration::ZERO));
    wait_for("Nomad is asked for enough for both", MINUTE, async || {
        cluster::scaled(cluster).last().is_some_and(|last| *last > 3).then_some(())
    })
    .await;
    loads
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_is_the_sum_of_both_for_the_leader_and_the_follower() {
    let Some((cluster, mut leader, mut follower)) = pair().await else { return };
    let loads = loaded(&cluster, [&leader, &follower]).await;
    // Eight lanes each: either one alone never has more than eight.
    wait(&mut leader, "the leader sees both", |status| work(status) > 12.0).await;
    wait(&mut follower, "the follower sees both", |status| work(status) > 12.0).await;
    let refused = http::get(leader.peer(), "/v1/samples").await.unwrap();
    assert_eq!(refused.status, 401, "{}", refused.body);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let wrong = http::send(leader.peer(), "GET", "/v1/samples", &bearer("a-secret-of-al"), "").await.unwrap();
    assert_eq!(wrong.status, 401, "{}", wrong.body);
    let right = http::send(leader.peer(), "GET", "/v1/samples", &bearer(TOKEN), "").await.unwrap();
    assert!(right.status == 200 && right.body.contains("\"samples\""), "{}", right.body);

    // A weir that ends leaves an HAProxy that serves: its load is unknown, and not gone.
    assert!(follower.weir.terminate().await.success());
    wait(&mut leader, "the leader says who is missing", |status| !missing(status).is_empty()).await;
    cluster::deregister(&cluster, follower.peer()).await;
    wait(&mut leader, "nobody is missed", |status| status["peers"] == serde_json::json!([])).await;
    drop(loads);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_away_while_a_killed_weir_is_still_registered() {
    let Some((cluster, mut leader, mut follower)) = pair().await else { return };
    let loads = loaded(&cluster, [&leader, &follower]).await;
    follower.weir.kill().await;
    drop(loads);
    wait(&mut leader, "the leader says who is missing", |status| {
        status["peers"][0]["answers"] == false && !missing(status).is_empty()
    })
    .await;
    assert!(!has_fallen(&cluster), "{:?}", cluster::scaled(&cluster));
    // Consul ends the registration two and a half minutes after it was renewed last, or when somebody does.
    cluster::deregister(&cluster, follower.peer()).await;
    wait(&mut leader, "the registration is over", |status| status["peers"] == serde_json::json!([])).await;
    assert!(!has_fallen(&cluster), "{:?}", cluster::scaled(&cluster));
    let since = Instant::now();
    wait_for("two are enough", MINUTE, async || has_fallen(&cluster).then_some(())).await;
    // The policy's window is 10 s; the status may have been a second late.
    assert!(since.elapsed() > Duration::from_secs(8), "a full window follows, not {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_haproxy_is_zero_and_no_unknown() {
    let Some((cluster, mut leader, mut follower)) = pair().await else { return };
    let [_stays, gone] = loaded(&cluster, [&leader, &follower]).await;
    wait(&mut leader, "the leader sees both", |status| work(status) > 12.0).await;
    let since = Instant::now();
    follower.haproxy.kill().await;
    drop(gone);
    let status =
        wait(&mut leader, "only its own work is left", |status| work(status) > 4.0 && work(status) <= 8.0)
            .await;
    assert_eq!(status["peers"][0]["answers"], true, "{status:#}");
    assert_eq!(missing(&status), "", "{status:#}");
    wait_for("fewer are enough", MINUTE, async || has_fallen(&cluster).then_some(())).await;
    // The policy's window is 10 s.
    assert!(since.elapsed() > Duration::from_secs(10), "a full window follows, not {:?}", since.elapsed());
    follower.weir.wait_status("its weir goes on", SOON, |status| status["ready"] == false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_only_who_has_a_certificate_of_the_cluster_is_answered() {
    if !tls::has_openssl() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    tls::authority(dir.path());
    let path = |name: &str| dir.path().join(name).display().to_string();
    let ssl = format!(
        "ssl {{\n    cert = \"{}\"\n    key = \"{}\"\n    ca_cert = \"{}\"\n  }}",
        path("node.pem"),
        path("node.key"),
        path("ca.pem")
    );
    let Some((cluster, mut leader, follower)) = pair_with(&ssl).await else { return };
    let loads = loaded(&cluster, [&leader, &follower]).await;
    wait(&mut leader, "the leader sees both", |status| work(status) > 12.0).await;
    drop(loads);

    let plain = http::get(leader.peer(), "/v1/samples").await;
    assert!(plain.is_err(), "{plain:?}");
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let asked = async |identity: Option<[String; 2]>| {
        let request = format!("GET /v1/samples HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\n");
        tls::exchange(leader.peer(), &path("ca.pem"), identity, &request).await
    };
    let known = asked(Some([path("node.pem"), path("node.key")])).await;
    assert!(known.contains("200 OK") && known.contains("\"samples\""), "{known}");
    let unknown = asked(None).await;
    assert!(!unknown.contains("200 OK"), "{unknown}");
}
