//! What HAProxy refuses where its message leads to nobody is found by trying, and the rest goes on.

use std::time::Duration;

use serde_json::json;

use crate::rig::haproxy::Haproxy;
use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::wait_for;
use crate::rig::weir::Weir;

/// A search takes a validation after the other, and a busy machine long for each.
const MINUTE: Duration = Duration::from_mins(1);

/// Waits until `what` is shown as left out.
async fn left_out(weir: &mut Weir, field: &str, what: &str) {
    weir.wait_status(&format!("{what} is reported as left out"), MINUTE, |status| {
        let out = status["haproxy"][0]["left_out"].as_array();
        out.is_some_and(|out| out.len() == 1 && out[0][field] == what && out[0]["reason"].is_string())
    })
    .await;
}

async fn nothing_left_out(weir: &mut Weir) {
    weir.wait_status("nothing is left out", MINUTE, |status| {
        status["haproxy"][0]["left_out"].as_array().is_some_and(Vec::is_empty)
    })
    .await;
}

/// HAProxy names the line, on which values of all instances stand.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_values_on_one_line_the_wrong_one_is_found() {
    let Some(site) = Site::new().await else { return };
    let with = |id: &str, port: u16, net: &str| json!({"Service": "web", "ID": id, "Address": "127.0.0.1", "Port": port, "Meta": {"net": net}});
    let [old, one, two, bad, three] = &instances(["old", "one", "two", "bad", "three"]).await[..] else {
        unreachable!()
    };
    site.consul.register_elsewhere("n1", with("old", old.port, "10.1.0.0/16")).await;
    let acl = "    acl known src 127.0.0.1{{#each (service \"web\")}} {{ServiceMeta.net}}{{/each}}\n";
    let (mut weir, haproxy) = site.up_with(&site.template(&format!("{acl}{SERVERS}"))).await;
    for (id, port, net) in
        [("one", one.port, "10.2.0.0/16"), ("bad", bad.port, "10.3.0.0/99"), ("two", two.port, "10.4.0.0/16")]
    {
        site.consul.register_elsewhere("n1", with(id, port, net)).await;
    }
    haproxy.wait_servers("web", &[old.server(), one.server(), two.server()], MINUTE).await;
    left_out(&mut weir, "instance", "bad").await;
    // It is not tried again and again: the next one comes in force at once.
    site.consul.register_elsewhere("n1", with("three", three.port, "10.5.0.0/16")).await;
    haproxy.wait_servers("web", &[old.server(), one.server(), two.server(), three.server()], MINUTE).await;
    assert!(site.rendered().contains("10.5.0.0/16") && !site.rendered().contains("10.3.0.0"));
    site.wait_answering(&["old", "one", "two", "three"], MINUTE).await;
    site.consul.register_elsewhere("n1", with("bad", bad.port, "10.3.0.0/16")).await;
    site.wait_answering(&["old", "one", "two", "bad", "three"], MINUTE).await;
    nothing_left_out(&mut weir).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_breaks_a_line_keeps_its_value() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    site.consul.set_key("conf/match", "status").await;
    let check = "    option httpchk GET /health\n    http-check expect {{key \"conf/match\"}} 200\n";
    let (mut weir, haproxy) = site.up_with(&site.template(&format!("{check}{SERVERS}"))).await;
    site.consul.set_key("conf/match", "statux").await;
    left_out(&mut weir, "service", "key conf/match").await;
    site.consul.register("web", "two", two.port).await;
    haproxy.wait_servers("web", &[one.server(), two.server()], MINUTE).await;
    assert!(site.rendered().contains("http-check expect status 200"), "{}", site.rendered());
    site.consul.set_key("conf/match", "rstatus").await;
    nothing_left_out(&mut weir).await;
    let mended = async || site.rendered().contains("http-check expect rstatus 200").then_some(());
    wait_for("the new value is in the file", MINUTE, mended).await;
    site.wait_answering(&["one", "two"], MINUTE).await;
}

/// A backend that is gone although the frontend still sends to it: HAProxy names neither a line nor an instance.
#[tokio::test(flavor = "multi_thread")]
async fn a_section_that_is_missing_stays() {
    let Some(mut site) = Site::new().await else { return };
    site.haproxy_options = "allow_empty = [\"api\"]".to_owned();
    let [one, two, api] = &instances(["one", "two", "api"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    site.consul.register("api", "api", api.port).await;
    let sends = "    default_backend web\n    use_backend api if { path_beg /api }\n";
    let backend = "{{#if (service \"api\")}}backend api\n{{#each (service \"api\")}}    server {{Server}} {{Address}}:{{Port}}\n{{/each}}{{/if}}";
    let template = site.template(SERVERS).replace("    default_backend web\n", sends) + backend;
    let (mut weir, haproxy): (Weir, Haproxy) = site.up_with(&template).await;
    haproxy.wait_servers("api", &[api.server()], MINUTE).await;
    site.consul.deregister("api").await;
    left_out(&mut weir, "service", "section backend api").await;
    site.consul.register("web", "two", two.port).await;
    haproxy.wait_servers("web", &[one.server(), two.server()], MINUTE).await;
    assert!(site.rendered().contains("backend api"), "{}", site.rendered());
    site.consul.register("api", "api", api.port).await;
    nothing_left_out(&mut weir).await;
}
