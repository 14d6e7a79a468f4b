//! What stands in the catalogue cannot become a directive, and does not take others with it.

use serde_json::{Value, json};

use crate::rig::SOON;
use crate::rig::site::{Site, instances};
use crate::rig::weir::Weir;

/// A template that prints what services may choose freely, where people print it.
const TELLING: &str = "{{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} id {{ServerId}} cookie {{ServiceMeta.zone}}
{{/each}}";

async fn left_out(weir: &mut Weir, id: &str) {
    weir.wait_status(&format!("{id} is reported as left out"), SOON, |status| {
        let out = status["haproxy"][0]["left_out"].as_array();
        out.is_some_and(|out| out.iter().any(|one| one["instance"] == id && one["reason"].is_string()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_metadata_leaves_only_its_own_instance_out() {
    let Some(site) = Site::new().await else { return };
    let [good, bad, late] = &instances(["good", "bad", "late"]).await[..] else { unreachable!() };
    let with = |id: &str, port: u16, zone: &str| -> Value {
        json!({"Service": "web", "ID": id, "Address": "127.0.0.1", "Port": port, "Meta": {"zone": zone}})
    };
    site.consul.register_elsewhere("n1", with("good", good.port, "a")).await;
    site.write_template(&site.template(TELLING));
    let mut weir = site.weir();
    let haproxy = site.haproxy().await;
    weir.wait_ready().await;

    let zones = ["a\n    http-request deny", "a#", "a\"b", "a'b", "${HOME}", "a backup", "a\\", "\r\tb"];
    for (n, zone) in zones.iter().enumerate() {
        let id = format!("bad-{n}");
        site.consul.register_elsewhere("n1", with(&id, bad.port, zone)).await;
        left_out(&mut weir, &id).await;
        site.consul.put("/v1/catalog/deregister", &json!({"Node": "n1", "ServiceID": id})).await;
    }
    site.consul.register_elsewhere("n1", with("bad", bad.port, "a\n    http-request deny")).await;
    site.consul.register_elsewhere("n1", with("late", late.port, "b")).await;
    haproxy.wait_servers("web", &[good.server(), late.server()], SOON).await;
    left_out(&mut weir, "bad").await;
    assert!(!site.rendered().contains("deny"), "{}", site.rendered());
    site.wait_answering(&["good", "late"], SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_addresses_leave_only_their_own_instances_out() {
    let Some(site) = Site::new().await else { return };
    let [good, late] = &instances(["good", "late"]).await[..] else { unreachable!() };
    site.consul.register("web", "good", good.port).await;
    let (mut weir, haproxy) = site.up().await;
    let addresses = ["127.0.0.1\n    http-request deny", "/etc/passwd", "127.0.0.1 backup", "${HOME}", "a#b"];
    for (n, address) in addresses.iter().enumerate() {
        let id = format!("bad-{n}");
        let entry = json!({"Service": "web", "ID": id, "Address": address, "Port": 80});
        site.consul.register_elsewhere("n1", entry).await;
        left_out(&mut weir, &id).await;
    }
    site.consul.register("web", "late", late.port).await;
    haproxy.wait_servers("web", &[good.server(), late.server()], SOON).await;
    assert!(!site.rendered().contains("deny"), "{}", site.rendered());
}

/// Any service's name can be printed by `services`; here as comments and names of backends.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_tag_adds_no_directive() {
    let Some(site) = Site::new().await else { return };
    let [good] = &instances(["good"]).await[..] else { unreachable!() };
    site.consul.register("web", "good", good.port).await;
    let tagged = "{{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} cookie x{{#each Tags}}{{this}}{{/each}}\n{{/each}}";
    site.write_template(&site.template(tagged));
    let mut weir = site.weir();
    let haproxy = site.haproxy().await;
    let entry = json!({"Service": "web", "ID": "bad", "Address": "127.0.0.1", "Port": 81,
        "Tags": ["y\n    http-request deny"]});
    site.consul.register_elsewhere("n1", entry).await;
    left_out(&mut weir, "bad").await;
    haproxy.wait_servers("web", &[good.server()], SOON).await;
    assert!(!site.rendered().contains("deny"), "{}", site.rendered());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_with_the_same_id_give_two_servers() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    for (node, instance) in [("n1", one), ("n2", two)] {
        let entry = json!({"Service": "web", "ID": "web", "Address": "127.0.0.1", "Port": instance.port});
        site.consul.register_elsewhere(node, entry).await;
    }
    let (_weir, haproxy) = site.up().await;
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    site.wait_answering(&["one", "two"], SOON).await;
}
