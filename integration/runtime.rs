//! What is a command and what is a reload, and how a new server comes into traffic.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::haproxy::{Haproxy, State};
use crate::rig::said::{says, warns};
use crate::rig::site::{CHECKED, SERVERS, Site, instances};
use crate::rig::weir::Weir;
use crate::rig::{Instance, Load, Recorder, SOON, wait_for};

/// Whether a record of a reload gives a reason with all of `words`.
fn is_reloaded_for(record: &Value, words: &[&str]) -> bool {
    let reason = record["reason"].as_str().unwrap_or_default();
    record["kind"] == "reloaded" && words.iter().all(|word| reason.contains(word))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_timeout_is_one_reload_that_says_why() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up().await;
    let before = weir.generation(&haproxy).await;
    let load = Load::steady(site.front);

    site.write_template(&site.template(SERVERS).replace("timeout server 20s", "timeout server 21s"));
    weir.wait_status("weir has reloaded", SOON, |status| {
        status["haproxy"][0]["reloads"] == before.reloads + 1
    })
    .await;
    assert!(site.rendered().contains("timeout server 21s"), "{}", site.rendered());
    // What comes after it needs none.
    site.consul.register("web", "two", two.port).await;
    site.wait_answering(&["one", "two"], SOON).await;
    let after = weir.generation(&haproxy).await;
    assert_eq!(after.reloads, before.reloads + 1);
    assert_ne!(after.worker, before.worker);
    let records = weir.records().await;
    let place = ["haproxy.cfg", "defaults", "timeout server 21s"];
    let reasons = records.iter().filter(|record| is_reloaded_for(record, &place)).count();
    assert_eq!(reasons, 1, "{records:#?}");
    assert_eq!(load.stop().await.failed, 0);
}

/// A site on which one server has its weight from Consul.
struct Weighed<'a> {
    site: &'a Site,
    weir: &'a Weir,
    haproxy: &'a Haproxy,
    recorder: &'a Recorder,
    server: String,
}

impl Weighed<'_> {
    /// `change` sets the weight of a backend's only server; shows that it takes one command and no reload.
    async fn is_one_command(&self, (backend, weight): (&str, u32), change: impl Future<Output = ()>) {
        let known = self.recorder.changes().len();
        let before = self.weir.generation(self.haproxy).await;
        change.await;
        let haproxy = self.haproxy;
        haproxy
            .wait_state(backend, &self.server, "of the new weight", SOON, |state| state.weight == weight)
            .await;
        let text = format!("weight {weight}");
        wait_for("the file follows", SOON, async || self.site.rendered().contains(&text).then_some(())).await;
        wait_for("the change is recorded", SOON, async || {
            let records = self.weir.records().await;
            let change = records.iter().rfind(|record| record["kind"] == "changed")?;
            let is_one = change["commands"].as_array().is_some_and(|commands| commands.len() == 1);
            (change["result"] == "commands" && is_one).then_some(())
        })
        .await;
        let changes = self.recorder.changes_since(known);
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert!(changes[0].contains("weight") && changes[0].ends_with(&weight.to_string()), "{changes:?}");
        assert_eq!(self.weir.generation(self.haproxy).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_weight_is_one_command() {
    let Some(mut site) = Site::new().await else { return };
    let [one] = &instances(["one"]).await[..] else { unreachable!() };
    site.consul.set_key("web/weight", "10").await;
    site.consul.register_with_meta("web", "one", one.port, json!({"weight": "20"})).await;
    let pool =
        |weight: &str| SERVERS.replace("{{ServerId}}", &format!("{{{{ServerId}}}} weight {{{{{weight}}}}}"));
    let other = format!("backend other\n    balance roundrobin\n{}", pool("key \"web/weight\""));
    let template = site.template(&format!("{}{other}", pool("ServiceMeta.weight")));
    let (weir, haproxy, recorder) = site.up_recorded(&template).await;
    let meta = async |weight| {
        site.consul.register_with_meta("web", "one", one.port, json!({"weight": weight})).await;
    };
    let weighed =
        Weighed { site: &site, weir: &weir, haproxy: &haproxy, recorder: &recorder, server: one.server() };
    weighed.is_one_command(("web", 21), meta("21")).await;
    weighed.is_one_command(("other", 11), site.consul.set_key("web/weight", "11")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_instance_gets_no_request_before_its_first_good_check() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    two.set_ill(true);
    site.consul.register("web", "one", one.port).await;
    let (weir, haproxy) = site.up_with(&site.template(CHECKED)).await;
    let before = weir.generation(&haproxy).await;
    let load = Load::at_rate(site.front, 200);

    site.consul.register("web", "two", two.port).await;
    wait_for("the new one is checked a few times", SOON, async || (two.checked() > 4).then_some(())).await;
    assert_eq!(two.asked(), 0, "an instance whose check fails got requests");
    two.set_ill(false);
    wait_for("the new one gets requests", SOON, async || (two.asked() > 0).then_some(())).await;
    haproxy
        .wait_state("web", &two.server(), "ready and up", SOON, |state| {
            state.is_ready() && state.operational > 0
        })
        .await;
    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{seen:?}");
    assert_eq!(weir.generation(&haproxy).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_check_never_passes_is_reported() {
    let Some(mut site) = Site::new().await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    two.set_ill(true);
    site.haproxy_options = "first_check_timeout = \"1s\"".to_owned();
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up_with(&site.template(CHECKED)).await;
    site.consul.register("web", "two", two.port).await;

    let server = two.server();
    weir.wait_status("the overdue check is shown", SOON, |status| says(status, &[&server, "overdue"])).await;
    assert!(warns(&weir.log(), &["check"], &[&server]), "the log says nothing of {server}");
    assert_eq!(two.asked(), 0);
    // Nobody waits for it.
    site.consul.register("web", "three", three.port).await;
    site.wait_answering(&["one", "three"], SOON).await;
    two.set_ill(false);
    site.wait_answering(&["one", "two", "three"], SOON).await;
    weir.wait_status("it is no longer shown", SOON, |status| !says(status, &[&server, "overdue"])).await;
    haproxy.wait_state("web", &server, "ready", SOON, State::is_ready).await;
}

/// Before its first good check a server serves only where nobody else does.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_instance_of_an_empty_pool_serves_at_once() {
    let Some(mut site) = Site::new().await else { return };
    site.haproxy_options = "allow_empty = [\"web\"]".to_owned();
    let slow = CHECKED.replace("inter 200ms", "inter 20s");
    let one = Instance::start("one").await;
    site.consul.register("web", "one", one.port).await;
    let (weir, haproxy) = site.up_with(&site.template(&slow)).await;
    let before = weir.generation(&haproxy).await;
    site.consul.deregister("one").await;
    haproxy.wait_servers("web", &[], SOON).await;
    let two = Instance::start("two").await;
    site.consul.register("web", "two", two.port).await;
    // With `rise 2` and 20 s between checks it is two checks away from good.
    site.wait_answering(&["two"], Duration::from_secs(15)).await;
    assert_eq!(weir.generation(&haproxy).await, before);
}
