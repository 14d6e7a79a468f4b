//! A pool that has servers is not emptied by an answer alone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::weir::{Weir, said};
use crate::rig::{Load, SOON};

async fn keeps(weir: &mut Weir, servers: &[String]) -> Value {
    let mut wanted = servers.to_vec();
    wanted.sort();
    weir.wait_status(&format!("{wanted:?} are kept"), SOON, |status| {
        let mut kept: Vec<String> = status["haproxy"][0]["pools"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|pool| pool["backend"] == "web")
            .flat_map(|pool| pool["kept"].as_array().cloned().unwrap_or_default())
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        kept.sort();
        kept == wanted
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_servers_stay_until_a_person_says_otherwise() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    for instance in [one, two] {
        site.consul.register("web", &instance.name, instance.port).await;
    }
    let (mut weir, haproxy) = site.up().await;
    let load = Load::steady(site.front);
    site.consul.deregister("one").await;
    haproxy.wait_servers("web", &[two.server()], SOON).await;
    site.consul.deregister("two").await;
    keeps(&mut weir, &[two.server()]).await;
    haproxy.wait_servers("web", &[two.server()], SOON).await;
    assert_eq!(load.stop().await.failed, 0);

    let output = site.confirm_empty("web").await;
    assert!(output.status.success(), "{}", said(&output));
    haproxy.wait_servers("web", &[], SOON).await;
    weir.wait_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_come_back_replace_the_kept_ones() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up().await;
    site.consul.deregister("one").await;
    keeps(&mut weir, &[one.server()]).await;
    site.consul.register("web", "two", two.port).await;
    haproxy.wait_servers("web", &[two.server()], SOON).await;
    keeps(&mut weir, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_server_goes_when_another_service_owns_its_port() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    for instance in [one, two] {
        let entry =
            json!({"Service": "web", "ID": instance.name, "Address": "127.0.0.1", "Port": instance.port});
        site.consul.register_elsewhere("n1", entry).await;
    }
    site.consul.register("other", "someone", 9).await;
    let read_other = "\nbackend other\n    balance roundrobin\n";
    let other = SERVERS.replace("\"web\"", "\"other\"");
    site.write_template(&site.template(&format!("{SERVERS}{read_other}{other}")));
    let mut weir = site.weir();
    let haproxy = site.haproxy().await;
    weir.wait_ready().await;
    // Their node goes, and both with it, in one answer.
    site.consul.put("/v1/catalog/deregister", &json!({"Node": "n1"})).await;
    keeps(&mut weir, &[one.server(), two.server()]).await;
    let entry = json!({"Service": "other", "ID": "new", "Address": "127.0.0.1", "Port": one.port});
    site.consul.register_elsewhere("n2", entry).await;
    haproxy.wait_servers("web", &[two.server()], SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_may_be_empty_is_emptied() {
    let Some(mut site) = Site::new().await else { return };
    let [one] = &instances(["one"]).await[..] else { unreachable!() };
    site.haproxy_options = "allow_empty = [\"web\"]".to_owned();
    site.consul.register("web", "one", one.port).await;
    let (_weir, haproxy) = site.up().await;
    haproxy.wait_servers("web", &[one.server()], SOON).await;
    site.consul.deregister("one").await;
    haproxy.wait_servers("web", &[], SOON).await;
}

pub(crate) const MASTER: &str = "6f0f1b1c-2f6b-4f0e-9d3c-0d5f8e1f2a77";

/// Consul's configuration with ACLs, under the token [`MASTER`].
pub(crate) fn acl() -> Value {
    json!({"acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}}})
}

/// Consul's ACLs answer `[]`, not an error, to who may not read: a lost permission looks like a deregistration.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_permission_empties_no_pool() {
    let Some(mut site) = Site::with_consul(MASTER, acl()).await else { return };
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    let may = "service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }";
    let policy = site.consul.put("/v1/acl/policy", &json!({"Name": "weir", "Rules": may})).await;
    let token = site.consul.put("/v1/acl/token", &json!({"Policies": [{"Name": "weir"}]})).await;
    site.consul_options = format!("token = {}", token["SecretID"]);
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up().await;
    haproxy.wait_servers("web", &[one.server()], SOON).await;

    let id = policy["ID"].as_str().unwrap();
    let path = format!("/v1/acl/policy/{id}");
    site.consul.put(&path, &json!({"ID": id, "Name": "weir", "Rules": ""})).await;
    // A change wakes the watches; what they are told is now nothing.
    site.consul.register("web", "two", two.port).await;
    let limit = Duration::from_secs(40);
    weir.wait_status("weir notices", limit, |status| {
        let kept = status["haproxy"][0]["pools"][0]["kept"].as_array().is_some_and(|kept| !kept.is_empty());
        kept || status["consul"]["state"] == "denied"
    })
    .await;
    haproxy.wait_servers("web", &[one.server()], SOON).await;
    site.consul.put(&path, &json!({"ID": id, "Name": "weir", "Rules": may})).await;
    // Permission alone wakes no blocking query; a change does.
    site.consul.register("web", "three", three.port).await;
    let all = [one.server(), two.server(), three.server()];
    haproxy.wait_servers("web", &all, Duration::from_mins(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_not_read_a_key_is_said_to_be_denied() {
    let Some(mut site) = Site::with_consul(MASTER, acl()).await else { return };
    let may = "service_prefix \"\" { policy = \"read\" } node_prefix \"\" { policy = \"read\" }";
    site.consul.put("/v1/acl/policy", &json!({"Name": "weir", "Rules": may})).await;
    let token = site.consul.put("/v1/acl/token", &json!({"Policies": [{"Name": "weir"}]})).await;
    site.consul_options = format!("token = {}", token["SecretID"]);
    site.write_template(&site.template("    # {{key \"site/name\"}}\n"));
    let mut weir = site.weir();
    let denied = |status: &Value| status["consul"]["state"] == "denied";
    let status = weir.wait_status("weir is denied", SOON, denied).await;
    assert!(
        status["consul"]["error"].as_str().is_some_and(|error| error.contains("site/name")),
        "{status:#}"
    );
}
