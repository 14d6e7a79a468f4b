//! What would empty or halve a pool by an answer alone changes nothing in HAProxy, and is loud in log, status and
//! metrics.

use serde_json::{Value, json};

use crate::guard::{MASTER, acl};
use crate::rig::haproxy::Haproxy;
use crate::rig::said::{measures, says, warns};
use crate::rig::site::{CHECKED, SERVERS, Site, instances};
use crate::rig::weir::{Weir, said};
use crate::rig::{Instance, Load, Recorder, SOON, wait_for};

/// What weir may call it.
const WORDS: [&str; 5] = ["panic", "kept", "keeping", "held", "denied"];

/// Waits until the status shows a guard of `web`, then looks for the same in the log and the metrics.
async fn is_loud(weir: &mut Weir) {
    let shown = |status: &Value| {
        let pools = &status["haproxy"][0];
        let guarded = WORDS.iter().any(|word| says(pools, &["web", word]));
        guarded || pools["held_back"].is_string() || status["consul"]["state"] == "denied"
    };
    weir.wait_status("a guard is shown", SOON * 2, shown).await;
    let words = [&WORDS[..], &["would become empty"]].concat();
    assert!(warns(&weir.log(), &words, &[]), "the log is silent:\n{}", weir.log());
    let metrics = weir.metrics().await;
    let is_denied = metrics.contains("weir_consul_up 0\n");
    assert!(
        measures(&metrics, &WORDS, "web") || metrics.contains("weir_held_back{haproxy=\"\"} 1") || is_denied,
        "{metrics}"
    );
}

/// Nothing was sent to HAProxy since `known` commands, and its servers are ready.
async fn is_untouched(haproxy: &Haproxy, recorder: &Recorder, known: usize, servers: &[String]) {
    assert_eq!(recorder.changes_since(known), Vec::<String>::new());
    haproxy.wait_servers("web", servers, SOON).await;
    let states = haproxy.states("web").await.unwrap();
    assert!(states.values().all(|state| state.is_ready()), "{states:?}");
}

async fn node_check(site: &Site, status: &str) {
    let check = json!({"Node": "n1", "CheckID": "serfHealth", "Name": "Serf", "Status": status});
    site.consul
        .put("/v1/catalog/register", &json!({"Node": "n1", "Address": "127.0.0.1", "Check": check}))
        .await;
}

/// Nine of ten instances are on a node whose agent is lost: one write in Consul, and all are critical.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_turns_critical_at_once_stays_as_far_as_haproxys_checks_pass() {
    let Some(mut site) = Site::new().await else { return };
    let names = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    let mut pool: Vec<Instance> = instances(names).await;
    for (n, instance) in pool.iter().enumerate() {
        let node = if n == 0 { "n0" } else { "n1" };
        let entry =
            json!({"Service": "web", "ID": instance.name, "Address": "127.0.0.1", "Port": instance.port});
        site.consul.register_elsewhere(node, entry).await;
    }
    node_check(&site, "passing").await;
    let template = site.template(CHECKED);
    let (mut weir, haproxy, recorder) = site.up_recorded(&template).await;
    site.wait_answering(&names, SOON).await;
    let (before, known) = (weir.generation(&haproxy).await, recorder.changes().len());
    let servers: Vec<String> = pool.iter().map(Instance::server).collect();
    let load = Load::at_rate(site.front, 200);

    node_check(&site, "critical").await;
    is_loud(&mut weir).await;
    site.wait_answering(&names, SOON).await;
    is_untouched(&haproxy, &recorder, known, &servers).await;
    assert_eq!(load.stop().await.failed, 0);
    // One of them is really dead: HAProxy's own check sees to it.
    let dead = pool.pop().map(|instance| instance.server()).unwrap();
    haproxy.wait_state("web", &dead, "down", SOON, |state| state.operational == 0).await;
    site.wait_answering(&names[..9], SOON).await;

    node_check(&site, "passing").await;
    weir.wait_status("no guard is shown", SOON, |status| {
        !WORDS.iter().any(|word| says(&status["haproxy"][0], &["web", word]))
    })
    .await;
    assert_eq!(weir.generation(&haproxy).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn critical_ones_go_when_a_person_says_so_and_the_pool_is_not_empty() {
    let Some(mut site) = Site::new().await else { return };
    let pool: Vec<Instance> = instances(["one", "two", "three", "four"]).await;
    for (n, instance) in pool.iter().enumerate() {
        let node = if n == 0 { "n0" } else { "n1" };
        let entry =
            json!({"Service": "web", "ID": instance.name, "Address": "127.0.0.1", "Port": instance.port});
        site.consul.register_elsewhere(node, entry).await;
    }
    node_check(&site, "passing").await;
    let template = site.template(SERVERS);
    let (mut weir, haproxy, recorder) = site.up_recorded(&template).await;
    let known = recorder.changes().len();
    node_check(&site, "critical").await;
    is_loud(&mut weir).await;
    let servers: Vec<String> = pool.iter().map(Instance::server).collect();
    is_untouched(&haproxy, &recorder, known, &servers).await;

    let output = site.confirm_empty("web").await;
    assert!(output.status.success(), "{}", said(&output));
    site.wait_answering(&["one"], SOON).await;
    let is_calm = |status: &Value| status["haproxy"][0]["pools"][0]["held"].is_null();
    weir.wait_status("nothing is held", SOON, is_calm).await;
}

/// Consul's ACLs answer `[]` to who may not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_permission_sends_no_command() {
    let Some(mut site) = Site::with_consul(MASTER, acl()).await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    let rules = "service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }";
    let policy = site.consul.put("/v1/acl/policy", &json!({"Name": "weir", "Rules": rules})).await;
    let token = site.consul.put("/v1/acl/token", &json!({"Policies": [{"Name": "weir"}]})).await;
    site.consul_options = format!("token = {}", token["SecretID"]);
    for instance in [one, two] {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let template = site.template(SERVERS);
    let (mut weir, haproxy, recorder) = site.up_recorded(&template).await;
    let (before, known) = (weir.generation(&haproxy).await, recorder.changes().len());

    let id = policy["ID"].as_str().unwrap();
    let without = json!({"ID": id, "Name": "weir", "Rules": "node_prefix \"\" { policy = \"read\" }"});
    site.consul.put(&format!("/v1/acl/policy/{id}"), &without).await;
    // A change wakes the watches; what they are told is now nothing.
    site.consul.register("web", "three", three.port).await;
    is_loud(&mut weir).await;
    is_untouched(&haproxy, &recorder, known, &[one.server(), two.server()]).await;
    assert_eq!(weir.generation(&haproxy).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_comes_back_empty_sends_no_command() {
    let Some(mut site) = Site::new().await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    for instance in [one, two] {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let template = site.template(SERVERS);
    let (mut weir, haproxy, recorder) = site.up_recorded(&template).await;
    let (before, known) = (weir.generation(&haproxy).await, recorder.changes().len());

    site.consul.kill().await;
    site.consul.wipe();
    site.consul.restart().await;
    is_loud(&mut weir).await;
    is_untouched(&haproxy, &recorder, known, &[one.server(), two.server()]).await;
    site.consul.register("web", "three", three.port).await;
    wait_for("the new instance answers", SOON, async || {
        site.answering().await.contains("three").then_some(())
    })
    .await;
    assert_eq!(weir.generation(&haproxy).await, before);
}

/// A weir that knows nothing yet, asks the wrong Consul, and finds an HAProxy that has servers.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_weir_beside_an_empty_consul_takes_no_server_away() {
    let Some(mut site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    for instance in [one, two] {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let template = site.template(SERVERS);
    let (mut weir, haproxy, recorder) = site.up_recorded(&template).await;
    let worker = haproxy.worker().await;
    weir.terminate().await;
    std::fs::remove_dir_all(site.path("state")).unwrap();
    let (file, known) = (site.rendered(), recorder.changes().len());
    site.consul.kill().await;
    site.consul.wipe();
    site.consul.restart().await;

    let mut weir = site.weir();
    is_loud(&mut weir).await;
    is_untouched(&haproxy, &recorder, known, &[one.server(), two.server()]).await;
    site.wait_answering(&["one", "two"], SOON).await;
    assert_eq!(site.rendered(), file);
    assert_eq!(haproxy.worker().await, worker, "HAProxy was reloaded");
    wait_for("weir says it is not ready", SOON, async || {
        (weir.answers("/ready").await? == 503).then_some(())
    })
    .await;
}
