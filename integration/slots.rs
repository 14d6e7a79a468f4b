//! Algorithms that take no servers at run time: the template gives the pool a fixed number of slots.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::rig::haproxy::Haproxy;
use crate::rig::site::{Site, instances};
use crate::rig::{Instance, Load, SOON, wait_for};

/// Six slots without and with a check, as docs/templates.md has them.
const SLOTS: &str = "{{#each (slots (service \"web\") 6)}}
{{#if Port}}
    server web{{@index}} {{Address}}:{{Port}}
{{else}}
    server web{{@index}} 0.0.0.0:1 disabled
{{/if}}
{{/each}}
";
const CHECKED: &str = "    option httpchk GET /health
    default-server inter 200ms rise 1 fall 2
{{#each (slots (service \"web\") 6)}}
{{#if Port}}
    server web{{@index}} {{Address}}:{{Port}} check
{{else}}
    server web{{@index}} 0.0.0.0:1 check disabled
{{/if}}
{{/each}}
";

/// The addresses of the servers of `web` that are in traffic.
async fn in_traffic(haproxy: &Haproxy) -> Option<BTreeSet<String>> {
    let table = haproxy.command("show servers state web").await?;
    let mut lines = table.lines().skip_while(|line| !line.starts_with("# "));
    let head: Vec<&str> = lines.next()?.trim_start_matches("# ").split(' ').collect();
    let column = |name| head.iter().position(|title| *title == name);
    let columns =
        [column("srv_addr")?, column("srv_port")?, column("srv_admin_state")?, column("srv_op_state")?];
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(' ').collect();
        let [address, port, admin, state] = columns.map(|at| cells.get(at).copied().unwrap_or_default());
        // 4: the configuration had it in maintenance, once.
        (["0", "4"].contains(&admin) && state == "2").then(|| format!("{address}:{port}"))
    };
    Some(lines.filter_map(row).collect())
}

async fn wait_in_traffic(haproxy: &Haproxy, wanted: &[&Instance]) {
    let wanted: BTreeSet<String> = wanted.iter().map(|instance| instance.server()).collect();
    let what = format!("in traffic are {wanted:?}");
    wait_for(&what, SOON, async || (in_traffic(haproxy).await? == wanted).then_some(())).await;
}

async fn instances_come_and_go_without_a_reload(balance: &'static str, servers: &str) {
    let Some(mut site) = Site::new().await else { return };
    site.balance = balance;
    let all = instances(["a", "b", "c", "d", "e", "f"]).await;
    let names = ["a", "b", "c", "d", "e", "f"];
    let register = async |at: usize| site.consul.register("web", names[at], all[at].port).await;
    register(0).await;
    register(1).await;
    let (weir, haproxy) = site.up_with(&site.template(servers)).await;
    wait_in_traffic(&haproxy, &[&all[0], &all[1]]).await;
    let before = weir.generation(&haproxy).await;
    let load = Load::steady(site.front);
    // Comes, goes, one takes the place of another, all slots are taken, all but one are free.
    register(2).await;
    wait_in_traffic(&haproxy, &[&all[0], &all[1], &all[2]]).await;
    site.consul.deregister("a").await;
    wait_in_traffic(&haproxy, &[&all[1], &all[2]]).await;
    site.consul.deregister("b").await;
    register(3).await;
    wait_in_traffic(&haproxy, &[&all[2], &all[3]]).await;
    for at in [0, 1, 4, 5] {
        register(at).await;
    }
    wait_in_traffic(&haproxy, &all.iter().collect::<Vec<_>>()).await;
    if balance == "static-rr" {
        site.wait_answering(&names, SOON).await;
    }
    for name in &names[1..] {
        site.consul.deregister(name).await;
    }
    wait_in_traffic(&haproxy, &[&all[0]]).await;
    site.wait_answering(&["a"], SOON).await;
    assert_eq!(weir.generation(&haproxy).await, before, "{:#?}", weir.records().await);
    let records = weir.records().await;
    let commands = records.iter().filter_map(|record| record["commands"].as_array()).flatten();
    assert!(
        commands.filter(|command| command.as_str().unwrap().contains(" addr 127.0.0.1 port ")).count() >= 5
    );
    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{:?}", seen.failures);
    // The file follows: a restart gives the same.
    wait_for("the file has one server, and five free slots", SOON, async || {
        let file = site.rendered();
        (file.contains(&format!(" {}", all[0].server())) && file.matches(" 0.0.0.0:1 ").count() == 5)
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_source_instances_come_and_go_without_a_reload() {
    instances_come_and_go_without_a_reload("source", SLOTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_static_rr_and_with_checks_too() {
    instances_come_and_go_without_a_reload("static-rr", CHECKED).await;
}

/// HAProxy keeps what the checks said of the one that had the slot before.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_used_gets_no_request_before_the_first_good_check_of_the_new_one() {
    let Some(mut site) = Site::new().await else { return };
    site.balance = "static-rr";
    let [one, two, three, four] = &instances(["one", "two", "three", "four"]).await[..] else {
        unreachable!()
    };
    site.consul.register("web", "one", one.port).await;
    site.consul.register("web", "two", two.port).await;
    let (weir, haproxy) = site.up_with(&site.template(&CHECKED.replace(" 6)", " 2)"))).await;
    wait_in_traffic(&haproxy, &[one, two]).await;
    let before = weir.generation(&haproxy).await;
    let load = Load::at_rate(site.front, 200);

    // One goes, and later one comes; then another takes its place at one stroke.
    site.consul.deregister("two").await;
    wait_in_traffic(&haproxy, &[one]).await;
    let comes = site.consul.register("web", "three", three.port);
    gets_none_before_it_is_well(&haproxy, [one, three], comes).await;
    let takes_over = site.consul.register("web", "three", four.port);
    gets_none_before_it_is_well(&haproxy, [one, four], takes_over).await;

    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{:?}", seen.failures);
    assert_eq!(weir.generation(&haproxy).await, before, "{:#?}", weir.records().await);
}

async fn gets_none_before_it_is_well(haproxy: &Haproxy, [old, new]: [&Instance; 2], comes: impl Future) {
    new.set_ill(true);
    comes.await;
    wait_for("the new one is checked a few times", SOON, async || (new.checked() > 4).then_some(())).await;
    assert_eq!(new.asked(), 0, "an instance whose check fails got requests");
    wait_in_traffic(haproxy, &[old]).await;
    new.set_ill(false);
    wait_in_traffic(haproxy, &[old, new]).await;
    wait_for("the new one gets requests", SOON, async || (new.asked() > 0).then_some(())).await;
}

/// It loads a text of a second ago, in which the slot is free: nobody disabled that by hand.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_came_just_before_a_reload_by_hand_serves() {
    let Some(mut site) = Site::new().await else { return };
    site.balance = "source";
    let all = instances(["a", "b", "c"]).await;
    let register = async |name: &str, at: usize| site.consul.register("web", name, all[at].port).await;
    register("a", 0).await;
    let (mut weir, haproxy) = site.up_with(&site.template(SLOTS)).await;
    let before = weir.generation(&haproxy).await;
    // The file follows the first change at once, the second one a second later.
    register("b", 1).await;
    wait_for("the file follows", SOON, async || site.rendered().contains(&all[1].server()).then_some(()))
        .await;
    register("c", 2).await;
    let servers: Vec<&Instance> = all.iter().collect();
    wait_in_traffic(&haproxy, &servers).await;
    haproxy.reload().await;
    assert_ne!(haproxy.worker().await, Some(before.worker));
    wait_for("the file follows", SOON, async || site.rendered().contains(&all[2].server()).then_some(()))
        .await;
    wait_in_traffic(&haproxy, &servers).await;
    let is_settled = |status: &serde_json::Value| !status.to_string().contains("by hand");
    weir.wait_status("nobody set anything by hand", SOON, is_settled).await;
    assert_eq!(weir.generation(&haproxy).await.reloads, before.reloads);
}

/// Free slots are no servers: the last instance stays, and a pool of free slots has none.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_slots_is_not_emptied() {
    let Some(mut site) = Site::new().await else { return };
    site.balance = "source";
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up_with(&site.template(SLOTS)).await;
    wait_in_traffic(&haproxy, &[one]).await;
    site.consul.deregister("one").await;
    weir.wait_status("the pool is kept", SOON, |status| {
        status["haproxy"][0]["pools"][0]["kept"].as_array().is_some_and(|kept| kept.len() == 1)
    })
    .await;
    site.wait_answering(&["one"], SOON).await;
    site.consul.register("web", "two", two.port).await;
    wait_in_traffic(&haproxy, &[two]).await;
}

/// Nobody is lost where there are more instances than slots: they cost the reload that they always did.
#[tokio::test(flavor = "multi_thread")]
async fn more_instances_than_slots_are_a_reload() {
    let Some(mut site) = Site::new().await else { return };
    site.balance = "static-rr";
    let [one, two, three] = &instances(["one", "two", "three"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    site.consul.register("web", "two", two.port).await;
    let (mut weir, haproxy) = site.up_with(&site.template(&SLOTS.replace(" 6)", " 2)"))).await;
    wait_in_traffic(&haproxy, &[one, two]).await;
    let before = weir.generation(&haproxy).await;
    site.consul.register("web", "three", three.port).await;
    wait_for("all are in traffic", SOON + Duration::from_secs(5), async || {
        (in_traffic(&haproxy).await?.len() == 3).then_some(())
    })
    .await;
    site.wait_answering(&["one", "two", "three"], SOON).await;
    weir.wait_status("one reload", SOON, |status| status["haproxy"][0]["reloads"] == before.reloads + 1)
        .await;
}
