//! What a person does to HAProxy beside weir: wrong servers are repaired, what was set by hand stays, a reload or a
//! restart loses nothing.

use std::time::Duration;

use tokio::time::Instant;

use crate::rig::haproxy::{Haproxy, State};
use crate::rig::said::says;
use crate::rig::site::{Reload, SERVERS, Site, instances};
use crate::rig::{Load, SOON, http, wait_closely, wait_for};

/// Repairs are due within `verify_interval`.
const REPAIR: Duration = Duration::from_mins(1);

/// Sets a server's state as a person does.
async fn set_state(haproxy: &Haproxy, server: &str, state: &str) {
    let answer = haproxy.command(&format!("set server web/{server} state {state}")).await;
    assert_eq!(answer.as_deref().map(str::trim), Some(""), "{server} {state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_deleted_by_hand_is_added_again() {
    let Some(site) = Site::new().await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    for instance in [one, two] {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let (weir, haproxy) = site.up().await;
    let before = weir.generation(&haproxy).await;
    set_state(&haproxy, &one.server(), "maint").await;
    let answer = haproxy.command(&format!("del server web/{}", one.server())).await.unwrap();
    assert!(answer.contains("Server deleted"), "{answer}");

    haproxy.wait_state("web", &one.server(), "ready again", REPAIR, State::is_ready).await;
    site.wait_answering(&["one", "two"], SOON).await;
    site.consul.register("web", "three", three.port).await;
    site.wait_answering(&["one", "two", "three"], SOON).await;
    assert_eq!(weir.generation(&haproxy).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_added_by_hand_goes() {
    let Some(site) = Site::new().await else { return };
    let [one, stranger] = &instances(["one", "stranger"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (weir, haproxy) = site.up().await;
    let before = weir.generation(&haproxy).await;
    let add = format!("add server web/{0} {0}; set server web/{0} state ready", stranger.server());
    let answer = haproxy.command(&add).await.unwrap();
    assert!(answer.contains("New server registered"), "{answer}");
    haproxy.wait_servers("web", &[one.server()], REPAIR).await;
    assert_eq!(weir.generation(&haproxy).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_by_hand_is_noticed_and_loses_nothing() {
    let Some(site) = Site::new().await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let kept = site
        .template(SERVERS)
        .replace("    mode http\n", "    mode http\n    option idle-close-on-response\n");
    let (weir, haproxy) = site.up_with(&kept).await;
    let before = weir.generation(&haproxy).await;
    let load = Load::at_rate(site.front, 200);

    // At once after it is in force, so that the file may still lack it.
    site.consul.register("web", "two", two.port).await;
    haproxy.wait_state("web", &two.server(), "ready", SOON, State::is_ready).await;
    haproxy.reload().await;
    let reloaded = Instant::now();
    let after = haproxy.worker().await.unwrap();
    assert_ne!(after, before.worker);
    haproxy.wait_state("web", &two.server(), "ready in the new worker", SOON, State::is_ready).await;
    eprintln!("right {:?} after the reload by hand", reloaded.elapsed());
    site.wait_answering(&["one", "two"], SOON).await;
    wait_for("weir has noticed", SOON, async || {
        let records = weir.records().await;
        records
            .iter()
            .any(|record| record["kind"] == "process_changed" && record["pid"] == after)
            .then_some(())
    })
    .await;
    site.consul.register("web", "three", three.port).await;
    site.wait_answering(&["one", "two", "three"], SOON).await;
    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{seen:?}");
    let now = weir.generation(&haproxy).await;
    assert_eq!((now.worker, now.reloads), (after, before.reloads), "weir reloaded too");
}

/// What is planned right after somebody reloads is planned for a worker that is gone: the old one has `two`, which the new one, whose file
/// lacks it, is told of before `one` leaves.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_planned_for_the_worker_before_a_reload_by_hand_harms_nobody() {
    let Some(mut site) = Site::new().await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    for instance in [one, three] {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let template = site.template(SERVERS);
    let (weir, haproxy, recorder) = site.up_recorded(&template).await;
    let before = weir.generation(&haproxy).await;

    // The file follows the first change at once, the second one a second later.
    site.consul.deregister("three").await;
    wait_for("the file follows", SOON, async || (site.rendered_servers().len() == 1).then_some(())).await;
    site.consul.register("web", "two", two.port).await;
    haproxy.wait_state("web", &two.server(), "ready", SOON, State::is_ready).await;
    haproxy.reload().await;
    let known = recorder.changes().len();
    let has_two = haproxy.state("web", &two.server()).await.is_some();
    site.consul.deregister("one").await;
    haproxy.wait_servers("web", &[two.server()], SOON).await;
    site.wait_answering(&["two"], SOON).await;
    let changes = recorder.changes_since(known);
    eprintln!("the new worker begins with two: {has_two}; it was told {changes:#?}");
    let add = format!("add server web/{}", two.server());
    assert!(has_two || changes[0].starts_with(&add), "{changes:#?}");
    let after = weir.generation(&haproxy).await;
    assert_ne!(after.worker, before.worker);
    assert_eq!(after.reloads, before.reloads, "weir reloaded too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_by_hand_stays_and_is_in_force_again_after_a_reload() {
    let Some(site) = Site::new().await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    for instance in [one, two] {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let (mut weir, haproxy) = site.up().await;
    let before = weir.generation(&haproxy).await;
    set_state(&haproxy, &one.server(), "maint").await;
    haproxy.command(&format!("set server web/{} weight 7", two.server())).await.unwrap();

    let by_hand = |server: &str| [server.to_owned(), "by hand".to_owned()];
    let shown = |status: &serde_json::Value, server: &str| {
        let words = by_hand(server);
        says(status, &[&words[0], &words[1]])
    };
    weir.wait_status("it is shown as a person's", REPAIR, |status| {
        shown(status, &one.server()) && shown(status, &two.server())
    })
    .await;
    site.consul.register("web", "three", three.port).await;
    site.wait_answering(&["two", "three"], SOON).await;
    let is_theirs = async || {
        let (one, two) =
            (haproxy.state("web", &one.server()).await?, haproxy.state("web", &two.server()).await?);
        (one.is_in_maint() && two.weight == 7).then_some(())
    };
    assert_eq!(is_theirs().await, Some(()), "weir undid what was set by hand");
    assert_eq!(weir.generation(&haproxy).await, before);

    site.write_template(&site.template(SERVERS).replace("timeout server 20s", "timeout server 21s"));
    wait_closely("weir has reloaded", SOON, async || {
        haproxy.worker().await.filter(|pid| *pid != before.worker)
    })
    .await;
    let answered = Instant::now();
    wait_closely("it is in force again", SOON, is_theirs).await;
    eprintln!("in force {:?} after the new worker was seen", answered.elapsed());
    site.wait_answering(&["two", "three"], SOON).await;
    // A worker is told before the reload that began it is over.
    wait_for("the reload is over", SOON, async || {
        (weir.generation(&haproxy).await.reloads > before.reloads).then_some(())
    })
    .await;
    assert_eq!(weir.generation(&haproxy).await.reloads, before.reloads + 1);

    set_state(&haproxy, &one.server(), "ready").await;
    site.wait_answering(&["one", "two", "three"], SOON).await;
    weir.wait_status("it is no longer shown", REPAIR, |status| !shown(status, &one.server())).await;
    haproxy.wait_state("web", &one.server(), "ready", SOON, State::is_ready).await;
}

/// The first thing that it does is a reload.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_by_hand_outlives_a_restart_of_weir_with_another_template() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    for instance in [one, two] {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let (mut weir, haproxy) = site.up().await;
    let before = weir.generation(&haproxy).await.worker;
    set_state(&haproxy, &one.server(), "maint").await;
    let is_shown = |status: &serde_json::Value| says(status, &[&one.server(), "by hand"]);
    weir.wait_status("it is shown as a person's", REPAIR, is_shown).await;
    weir.terminate().await;
    site.write_template(&site.template(SERVERS).replace("timeout server 20s", "timeout server 21s"));
    let mut weir = site.weir();
    wait_for("weir has reloaded", SOON, async || haproxy.worker().await.filter(|pid| *pid != before)).await;
    haproxy.wait_state("web", &one.server(), "out of traffic", SOON, State::is_in_maint).await;
    weir.wait_status("it is still shown as a person's", REPAIR, is_shown).await;
    let is_over = async || (weir.generation(&haproxy).await.reloads == 1).then_some(());
    wait_for("the reload is over", SOON, is_over).await;
}

/// A `reload_command` that says when it begins, and goes on when it may.
fn waiting_reload(site: &Site) -> String {
    let [begun, goes, pid] =
        ["begun", "goes", "haproxy.pid"].map(|name| site.path(name).display().to_string());
    format!("touch {begun}; while [ ! -e {goes} ]; do sleep 0.01; done; kill -USR2 $(cat {pid})")
}

/// After the look that weir takes before it reloads, and before the old worker is gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_by_hand_while_weir_reloads_is_not_lost() {
    let Some(mut site) = Site::new().await else { return };
    site.reload = Reload::Command(waiting_reload(&site));
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    for instance in [one, two, three] {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let (mut weir, haproxy) = site.up().await;
    let before = weir.generation(&haproxy).await;
    set_state(&haproxy, &one.server(), "maint").await;
    let is_shown = |server: String| move |status: &serde_json::Value| says(status, &[&server, "by hand"]);
    weir.wait_status("it is shown as a person's", REPAIR, is_shown(one.server())).await;

    site.write_template(&site.template(SERVERS).replace("timeout server 20s", "timeout server 21s"));
    wait_for("the reload begins", SOON, async || site.path("begun").exists().then_some(())).await;
    set_state(&haproxy, &one.server(), "ready").await;
    set_state(&haproxy, &two.server(), "maint").await;
    haproxy.command(&format!("set server web/{} weight 7", three.server())).await.unwrap();
    std::fs::write(site.path("goes"), "").unwrap();

    wait_for("the reload is over", SOON, async || {
        (weir.generation(&haproxy).await.reloads > before.reloads).then_some(())
    })
    .await;
    assert_ne!(haproxy.worker().await, Some(before.worker));
    haproxy.wait_state("web", &two.server(), "out of traffic", SOON, State::is_in_maint).await;
    haproxy.wait_state("web", &three.server(), "of weight 7", SOON, |state| state.weight == 7).await;
    haproxy.wait_state("web", &one.server(), "ready", SOON, State::is_ready).await;
    weir.wait_status("it is shown as a person's", REPAIR, is_shown(two.server())).await;
    weir.wait_status("what was taken back is not", REPAIR, |status| !is_shown(one.server())(status)).await;
    assert_eq!(weir.generation(&haproxy).await.reloads, before.reloads + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_haproxy_that_was_killed_starts_with_the_right_pools() {
    let Some(site) = Site::new().await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (mut weir, mut haproxy) = site.up().await;
    site.consul.register("web", "two", two.port).await;
    haproxy.wait_state("web", &two.server(), "ready", SOON, State::is_ready).await;
    site.consul.deregister("one").await;
    haproxy.wait_servers("web", &[two.server()], SOON).await;
    wait_for("the file follows", SOON, async || {
        let file = site.rendered();
        (file.contains(&two.server()) && !file.contains(&one.server())).then_some(())
    })
    .await;
    haproxy.kill().await;
    weir.wait_status("weir misses it", SOON, |status| status["haproxy"][0]["state"] == "not_running").await;
    // A change while it is away is in the file when it starts.
    site.consul.register("web", "three", three.port).await;
    wait_for("the file has it", SOON, async || site.rendered().contains(&three.server()).then_some(())).await;

    let haproxy = Haproxy::start(site.dir()).await;
    let servers: Vec<String> = haproxy.servers("web").await.unwrap().into_keys().collect();
    let mut wanted = vec![two.server(), three.server()];
    wanted.sort();
    assert_eq!(servers, wanted, "{}", site.rendered());
    for _ in 0..20 {
        let reply = http::get(site.front, "/").await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    site.consul.register("web", "one", one.port).await;
    site.wait_answering(&["one", "two", "three"], SOON).await;
    weir.wait_ready().await;
}
