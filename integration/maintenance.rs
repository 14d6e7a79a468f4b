//! `weir drain`, `weir maint`, `weir ready` and `weir servers`: what they say, what lies in Consul then, and what
//! outlives it.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::rig::consul::Consul;
use crate::rig::haproxy::Haproxy;
use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::weir::{Weir, run, said};
use crate::rig::{Instance, SOON, wait_for};

const FOLDER: &str = "weir/default/intents/";

fn assert_said(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in\n{said}");
    }
}

/// The intents in the status.
fn intents(status: &Value) -> Vec<Value> {
    status["intents"].as_array().cloned().unwrap_or_default()
}

/// What lies in the folder, by the part of the key without the owner.
async fn entries(consul: &Consul) -> Vec<(String, Value)> {
    let keys = consul.get(&format!("/v1/kv/{FOLDER}?keys")).await;
    let mut entries = Vec::new();
    for key in keys.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let below = key.strip_prefix(FOLDER).expect("below the folder");
        if let [backend, server, _] = below.split('/').collect::<Vec<_>>()[..] {
            entries.push((format!("{backend}/{server}"), consul.get(&format!("/v1/kv/{key}?raw")).await));
        }
    }
    entries
}

/// A machine with the instances `one` and `two` in its pool.
async fn up(site: &Site) -> (Vec<Instance>, Weir, Haproxy) {
    let all = instances(["one", "two"]).await;
    for instance in &all {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let (mut weir, haproxy) = site.up().await;
    let servers: Vec<String> = all.iter().map(Instance::server).collect();
    haproxy.wait_servers("web", &servers, SOON).await;
    weir.wait_status("both servers are seen", SOON, in_use).await;
    (all, weir, haproxy)
}

/// Whether both servers get traffic.
fn in_use(status: &Value) -> bool {
    let servers = status["haproxy"][0]["pools"][0]["servers"].as_array();
    servers.is_some_and(|servers| {
        servers.len() == 2 && servers.iter().all(|server| server["state"] == "no_check")
    })
}

/// As somebody at HAProxy's stats socket.
async fn set(haproxy: &Haproxy, target: &str, state: &str) {
    haproxy.command(&format!("set server {target} state {state}")).await.expect("HAProxy answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_answered_with_what_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("weir.sock");
    let ask = async |args: &[&str]| {
        let control = [Path::new("--control"), &socket].map(PathBuf::from);
        run(args.iter().map(PathBuf::from).chain(control).collect()).await
    };
    for command in ["drain", "maint", "ready"] {
        let output = ask(&[command, "web/10.0.0.1:8080"]).await;
        assert_said(&output, 1, &["no weir listens", "--control", socket.to_str().unwrap()]);
        assert_said(
            &ask(&[command, "web"]).await,
            2,
            &["BACKEND/SERVER", "web/10.0.0.1:8080", "weir servers"],
        );
        assert_said(&ask(&[command, "--help"]).await, 0, &["Example", &format!("weir {command} web/")]);
    }
    assert_said(&ask(&["drain", "web/a", "--for", "30"]).await, 2, &["such as 500ms, 10s or 5m", "--for"]);
    assert_said(&ask(&["maint", "web/a", "--for", "0s"]).await, 2, &["over at once", "--for"]);
    let nobody = run(["servers", "--address", "127.0.0.1:9"].map(PathBuf::from).into()).await;
    assert_said(&nobody, 1, &["no weir answers at 127.0.0.1:9", "--address"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_says_where_its_weir_listens() {
    let Some(site) = Site::new().await else { return };
    let (all, _weir, _haproxy) = up(&site).await;
    let config = site.path("weir.hcl");
    let ask = async |args: &[&str]| {
        let config = [PathBuf::from("-c"), config.clone()];
        run(args.iter().map(PathBuf::from).chain(config).collect()).await
    };
    let target = format!("web/{}", all[0].server());
    assert_said(&ask(&["status"]).await, 0, &["in cluster default"]);
    assert_said(&ask(&["servers", "web"]).await, 0, &[&all[0].server(), &all[1].server()]);
    assert_said(&ask(&["drain", &target]).await, 0, &[&target]);
    assert_said(&ask(&["servers"]).await, 0, &["drain by"]);
    assert_said(&ask(&["ready", &target]).await, 0, &[&target]);
    let both = ask(&["status", "--address", "127.0.0.1:9"]).await;
    assert_said(&both, 2, &["--address", "cannot be used with", "--config"]);
    std::fs::write(&config, "contrl = 1\n").expect("the file is ours");
    assert_said(&ask(&["drain", &target]).await, 1, &["--control", "weir.hcl:1", "contrl"]);
    assert_said(&ask(&["status"]).await, 1, &["--address", "weir.hcl:1", "contrl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_known_is_answered_with_the_nearest() {
    let Some(site) = Site::new().await else { return };
    let (all, _weir, _haproxy) = up(&site).await;
    let server = all[0].server();
    let target = format!("wbe/{server}");
    assert_said(&site.ask(&["drain", &target]).await, 1, &["backend wbe", "did you mean `web`?"]);
    let near = format!("web/{}", server.replace("127.0.0.1", "127.0.0.2"));
    assert_said(
        &site.ask(&["maint", &near]).await,
        1,
        &["no server 127.0.0.2", "did you mean `127.0.0.1:", &server],
    );
    assert_said(&site.ask(&["ready", "web/nobody"]).await, 1, &["no server nobody", &server]);
    assert_said(&site.servers(&["wbe"]).await, 1, &["did you mean `web`?"]);
    assert_eq!(entries(&site.consul).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_stats_socket_it_is_said_that_haproxy_cannot_be_told() {
    let Some(site) = Site::new().await else { return };
    let all = instances(["one"]).await;
    site.consul.register("web", "one", all[0].port).await;
    site.write_template(&site.template(SERVERS));
    let file = site.write_config();
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains("stats_socket")).collect();
    std::fs::write(&file, kept.join("\n")).unwrap();
    let mut weir = Weir::start(&file, site.http, &site.path("logs/weir.log"));
    let haproxy = site.haproxy().await;
    weir.wait_ready().await;
    let target = format!("web/{}", all[0].server());
    let cannot = ["HAProxy here cannot be told: set `stats_socket`", "the other load balancers follow"];
    let output = site.ask(&["drain", &target]).await;
    assert_said(&output, 1, &[cannot[0], cannot[1], &format!("set server {target} state drain")]);
    assert_eq!(entries(&site.consul).await.len(), 1);
    // As the message says.
    set(&haproxy, &target, "drain").await;
    let drained = async || site.ask(&["drain", &target]).await.status.success().then_some(());
    wait_for("the drain is seen", SOON, drained).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_holds_on_every_load_balancer_until_somebody_ends_it() {
    let Some(site) = Site::new().await else { return };
    let (all, mut weir, haproxy) = up(&site).await;
    let other = Site::beside(Consul::elsewhere(site.consul.port));
    let (mut other_weir, _other_haproxy) = other.up().await;
    let target = format!("web/{}", all[0].server());

    // What weir does not set yet, or sets itself: in maintenance it is either way.
    set(&haproxy, &target, "maint").await;
    let output = site.ask(&["maint", &target, "--for", "2h", "--reason", "kernel update"]).await;
    assert_said(
        &output,
        0,
        &[&target, "maintenance by ", " until ", ": kernel update", "in force here, 0 sessions left"],
    );
    let [(key, value)] = &entries(&site.consul).await[..] else { panic!("one entry") };
    assert_eq!(*key, target.replace(':', ","));
    assert_eq!((&value["wish"], &value["reason"]), (&json!("maint"), &json!("kernel update")));
    assert_said(&site.ask(&["maint", &target]).await, 0, &["kernel update (as before)"]);
    assert_eq!(entries(&site.consul).await, [(key.clone(), value.clone())], "asked twice");

    let seen = |status: &Value| matches!(&intents(status)[..], [one] if one["reason"] == "kernel update");
    weir.wait_status("the intent is seen here", SOON, seen).await;
    other_weir.wait_status("the intent is seen there", SOON, seen).await;
    let table = site.servers(&["web"]).await;
    let row = ["backend web: 1 of 2 servers in use", "maint ", "maintenance by ", "not checked"];
    assert_said(&table, 0, &row);

    set(&haproxy, &target, "ready").await;
    assert_said(&other.ask(&["ready", &target]).await, 0, &["ended: maintenance by ", "kernel update"]);
    assert_eq!(entries(&site.consul).await, []);
    weir.wait_status("it is ended here too", SOON, |status| intents(status).is_empty() && in_use(status))
        .await;
    assert_said(
        &site.ask(&["ready", &target]).await,
        0,
        &["no intent stood against it", "not taken out here"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_with_a_time_ends_by_itself_and_others_wishes_are_said() {
    let Some(site) = Site::new().await else { return };
    let (all, mut weir, haproxy) = up(&site).await;
    let target = format!("web/{}", all[1].server());
    let scaler = format!("/v1/kv/{FOLDER}{}/scaler,web_2fapp", target.replace(':', ","));
    site.consul.put(&scaler, &json!({"wish": "maint", "reason": "goes next"})).await;
    weir.wait_status("the scaler's is seen", SOON, |status| intents(status).len() == 1).await;
    set(&haproxy, &target, "maint").await;
    let output = site.ask(&["drain", &target, "--for", "2s"]).await;
    let words =
        ["drain by ", "stronger, and what counts: maintenance by scaler:web/app: goes next", "in force here"];
    assert_said(&output, 0, &words);
    weir.wait_status("both are seen", SOON, |status| intents(status).len() == 2).await;
    weir.wait_status("the drain is over", SOON, |status| {
        matches!(&intents(status)[..], [one] if one["owner"] == "scaler:web/app" && one["wish"] == "maint")
    })
    .await;
    let over = "its time is over: drain by ";
    wait_for("the log says so", SOON, async || weir.log().contains(over).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_pretended_and_nothing_ends_while_consul_is_away_or_has_lost_it_all() {
    let Some(mut site) = Site::new().await else { return };
    let (all, mut weir, haproxy) = up(&site).await;
    let [one, two] = [0, 1].map(|index: usize| format!("web/{}", all[index].server()));
    for target in [&one, &two] {
        set(&haproxy, target, "drain").await;
    }
    assert_said(&site.ask(&["drain", &one, "--reason", "disk"]).await, 0, &["in force here"]);
    let kept = |status: &Value| matches!(&intents(status)[..], [one] if one["reason"] == "disk");
    weir.wait_status("the intent is seen", SOON, kept).await;

    site.consul.kill().await;
    let refused = site.ask(&["drain", &two]).await;
    assert_said(&refused, 1, &["nothing is changed: Consul at ", &format!("set server {two} state drain")]);
    assert_said(&site.ask(&["ready", &one]).await, 1, &["nothing is changed: Consul at "]);
    weir.terminate().await;
    let mut weir = site.weir();
    weir.wait_status("it is known after a restart without Consul", SOON, kept).await;

    site.consul.wipe();
    site.consul.restart().await;
    for instance in &all {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    weir.wait_status("what Consul lost is kept, loudly", SOON, |status| {
        kept(status) && status["intent_problems"][0].as_str().is_some_and(|said| said.contains("weir ready"))
    })
    .await;
    assert_said(&site.ask(&["drain", &two]).await, 0, &["in force here"]);
    let keys: Vec<String> = entries(&site.consul).await.into_iter().map(|(key, _)| key).collect();
    let mut wanted = [&one, &two].map(|target| target.replace(':', ","));
    wanted.sort();
    assert_eq!(keys, wanted, "what was lost is written again");
    weir.wait_status("both are known, and all is well", SOON, |status| {
        intents(status).len() == 2 && status["intent_problems"] == json!([])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_read_is_shown_and_hides_no_other() {
    let Some(site) = Site::new().await else { return };
    let (_all, mut weir, _haproxy) = up(&site).await;
    site.consul.put(&format!("/v1/kv/{FOLDER}web/a/bob"), &json!({"wish": "sleep"})).await;
    site.consul.put(&format!("/v1/kv/{FOLDER}web/gone,80/bob"), &json!({"wish": "maint"})).await;
    weir.wait_status("one is shown, of one is complained", SOON, |status| {
        let problem = status["intent_problems"][0].as_str().unwrap_or_default();
        intents(status).len() == 1 && problem.contains("web/a/bob") && problem.contains("sleep")
    })
    .await;
    assert_said(&site.servers(&[]).await, 0, &["web/gone:80 is not there: maintenance by bob"]);
    assert_said(&site.ask(&["ready", "web/gone:80"]).await, 0, &["ended: maintenance by bob"]);
}
