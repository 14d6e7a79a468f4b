//! A template edit that HAProxy refuses, or that does not even render, disturbs nobody; mending it is enough.

use crate::rig::haproxy::Haproxy;
use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::weir::Weir;
use crate::rig::{Load, SOON};

/// In `template`, the line of HAProxy's own complaint.
const BROKEN: &str = "    no-such-directive here\n";

fn line_of(text: &str, part: &str) -> usize {
    1 + text.lines().position(|line| line.contains(part)).expect("the line is there")
}

async fn wait_in_force(weir: &mut Weir) {
    weir.wait_status("the mended template is in force", SOON, |status| {
        status["templates"][0]["state"] == "in_force" && status["templates"][0]["error"].is_null()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_haproxy_refuses_leaves_traffic_and_membership_alive() {
    let Some(site) = Site::new().await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up().await;
    let load = Load::steady(site.front);

    // Above the servers, so that the line is the same in template and output.
    let broken = site.template(SERVERS).replace("backend web\n", &format!("backend web\n{BROKEN}"));
    let line = line_of(&broken, "no-such-directive");
    site.write_template(&broken);
    let status = weir
        .wait_status("the error is shown", SOON, |status| status["templates"][0]["error"].is_string())
        .await;
    let error = status["templates"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("haproxy.cfg.hbs") && error.contains("no-such-directive"), "{error}");
    assert!(
        error.contains(&format!(":{line}")) || error.contains(&format!("line {line}")),
        "{line}: {error}"
    );
    assert!(weir.log().contains("no-such-directive"), "the log names it too");
    assert!(!site.rendered().contains("no-such-directive"), "a refused candidate reached the target");

    site.consul.register("web", "two", two.port).await;
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    site.wait_answering(&["one", "two"], SOON).await;

    site.write_template(
        &site.template(SERVERS).replace("    balance roundrobin\n", "    balance leastconn\n"),
    );
    wait_in_force(&mut weir).await;
    assert!(site.rendered().contains("leastconn"));
    site.consul.register("web", "three", three.port).await;
    site.wait_answering(&["one", "two", "three"], SOON).await;
    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_edit_stays_without_effect_over_a_restart_of_weir() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up().await;
    site.write_template(&site.template("{{#each (service \"web\")}} oh {{NoSuchField}}\n{{/each}}"));
    weir.wait_status("the error is shown", SOON, |s| s["templates"][0]["error"].is_string()).await;
    weir.terminate().await;

    let mut weir = site.weir();
    weir.wait_status("the error is shown again", SOON, |s| s["templates"][0]["error"].is_string()).await;
    site.consul.register("web", "two", two.port).await;
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    site.write_template(&site.template(SERVERS));
    wait_in_force(&mut weir).await;
    works(&site, &haproxy, &[one.server(), two.server()]).await;
}

async fn works(site: &Site, haproxy: &Haproxy, servers: &[String]) {
    haproxy.wait_servers("web", servers, SOON).await;
    site.wait_answering(&["one", "two"], SOON).await;
}
