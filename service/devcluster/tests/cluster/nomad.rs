//! The Nomad side over HTTP: the life of instances, scaling, the log of writes, the load.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{call, eventually, get, put, send};
use serde_json::{Value, json};
use weir_devcluster::load::{Connections, Load, LoadOptions, Rate};
use weir_devcluster::{Cluster, InstanceState, JobSpec, Options, StopMode};

const SOON: Duration = Duration::from_millis(50);

fn quick(count: u32) -> JobSpec {
    JobSpec {
        count,
        policy: json!({"check": [{"load": [{"source": "haproxy"}]}]}),
        start_time: SOON,
        service_time: Duration::from_millis(2),
        shutdown_delay: SOON,
        min_healthy_time: SOON,
        health_interval: Duration::from_millis(20),
        tags: vec!["haproxy".to_owned()],
        meta: vec![("zone".to_owned(), "a".to_owned())],
        ..JobSpec::default()
    }
}

async fn cluster_with(spec: &JobSpec) -> Cluster {
    let options = Options { reregister: Duration::from_millis(200), ..Options::default() };
    let cluster = Cluster::start(options).await.unwrap();
    cluster.run_job(spec).unwrap();
    passing(&cluster, spec.count as usize).await;
    settled(&cluster).await;
    cluster
}

/// Waits until Consul shows so many passing instances of `web`.
async fn passing(cluster: &Cluster, count: usize) -> Vec<Value> {
    let consul = cluster.consul_addr();
    eventually("so many pass", async || {
        let rows = get(consul, "/v1/health/service/web?passing").await.json();
        Some(rows.as_array()?.clone()).filter(|rows| rows.len() == count)
    })
    .await
}

/// Waits until no deployment runs.
async fn settled(cluster: &Cluster) {
    let nomad = cluster.nomad_addr();
    eventually("the deployment succeeds", async || {
        let deployment = get(nomad, "/v1/job/web/deployment").await.json();
        (deployment["Status"] == "successful").then_some(())
    })
    .await;
}

fn scale_to(count: i64, fence: u64) -> String {
    let target = json!({"Job": "web", "Group": "app"});
    json!({"Target": target, "Count": count, "Message": "m", "Meta": {"k": 1}, "JobModifyIndex": fence})
        .to_string()
}

async fn fence(nomad: SocketAddr) -> u64 {
    get(nomad, "/v1/job/web").await.json()["JobModifyIndex"].as_u64().unwrap()
}

#[tokio::test]
async fn an_instance_lives_from_its_placement_to_its_end() {
    let cluster = cluster_with(&quick(2)).await;
    let (consul, nomad) = (cluster.consul_addr(), cluster.nomad_addr());
    let rows = passing(&cluster, 2).await;
    let service = &rows[0]["Service"];
    assert_eq!((&service["Tags"], &service["Meta"]["zone"]), (&json!(["haproxy"]), &json!("a")));
    let allocs = get(nomad, "/v1/job/web/allocations").await.json();
    let of_row = |alloc: &&Value| {
        service["ID"] == format!("_nomad-task-{}-group-app-web-http", alloc["ID"].as_str().unwrap())
    };
    let alloc = allocs.as_array().unwrap().iter().find(of_row).unwrap();
    assert_eq!((&alloc["ClientStatus"], &alloc["DesiredStatus"]), (&json!("running"), &json!("run")));
    let full = get(nomad, &format!("/v1/allocation/{}", alloc["ID"].as_str().unwrap())).await.json();
    assert_eq!(full["AllocatedResources"]["Shared"]["Ports"][0]["Value"], service["Port"]);

    assert_eq!(put(nomad, "/v1/job/web/scale", &scale_to(1, fence(nomad).await)).await.status, 200);
    passing(&cluster, 1).await;
    eventually("the victim ends", async || {
        let ended: Vec<_> =
            cluster.instances().into_iter().filter(|it| it.state == InstanceState::Ended).collect();
        (ended.len() == 1).then(|| assert_eq!(ended[0].name, "web.app[1]"))
    })
    .await;
    eventually("its allocation is complete", async || {
        let allocs = get(nomad, "/v1/job/web/allocations").await.json();
        allocs
            .as_array()?
            .iter()
            .find(|it| it["ClientStatus"] == "complete" && it["DesiredStatus"] == "stop")
            .cloned()
    })
    .await;
    assert_eq!(call(nomad, "DELETE", "/v1/job/web?purge=true", "").await.status, 200);
    passing(&cluster, 0).await;
    assert_eq!(get(nomad, "/v1/job/web").await.body, "job not found");
    assert_eq!(get(consul, "/v1/catalog/services").await.json(), json!({"consul": []}));
    cluster.shutdown().await;
}

#[tokio::test]
async fn scales_are_fenced_blocked_and_logged() {
    let spec = JobSpec { min_healthy_time: Duration::from_millis(400), ..quick(2) };
    let cluster = cluster_with(&spec).await;
    let nomad = cluster.nomad_addr();
    let index = fence(nomad).await;
    let stale = put(nomad, "/v1/job/web/scale", &scale_to(3, index + 1)).await;
    let text = format!(
        "Enforcing job modify index {}: job exists with conflicting job modify index: {index}",
        index + 1
    );
    assert_eq!((stale.status, stale.body), (500, text));

    let status = get(nomad, "/v1/job/web/scale").await;
    let path = format!("/v1/job/web/scale?wait=1m&index={}", status.index());
    let watch = tokio::spawn(async move { get(nomad, &path).await });
    let taken = put(nomad, "/v1/job/web/scale", &scale_to(3, index)).await.json();
    assert!(taken["JobModifyIndex"].as_u64().unwrap() > index);
    assert_eq!(watch.await.unwrap().json()["TaskGroups"]["app"]["Desired"], 3);
    let blocked = eventually("the deployment blocks", async || {
        let event = put(nomad, "/v1/job/web/scale", &scale_to(3, index)).await;
        (event.status == 400).then_some(event.body)
    })
    .await;
    assert_eq!(blocked, "job scaling blocked due to active deployment");
    settled(&cluster).await;
    passing(&cluster, 3).await;
    let event = get(nomad, "/v1/job/web/scale").await.json()["TaskGroups"]["app"]["Events"][0].clone();
    assert_eq!(
        (&event["Count"], &event["PreviousCount"], &event["Meta"]),
        (&json!(3), &json!(2), &json!({"k": 1}))
    );

    let log = cluster.nomad_log();
    let scaled: Vec<_> = log.iter().filter_map(weir_devcluster::NomadWrite::scaled_to).collect();
    assert_eq!(scaled, [("app", 3)]);
    assert_eq!((log[0].status, log[0].agent.as_str()), (500, "test"));
}

#[tokio::test]
async fn policies_are_opaque_and_a_scale_does_not_wake_them() {
    let cluster = cluster_with(&quick(1)).await;
    let nomad = cluster.nomad_addr();
    let list = get(nomad, "/v1/scaling/policies").await;
    let id = list.json()[0]["ID"].as_str().unwrap().to_owned();
    let policy = get(nomad, &format!("/v1/scaling/policy/{id}")).await.json();
    assert_eq!((&policy["Policy"], &policy["Max"]), (&quick(1).policy, &json!(20)));
    let path = format!("/v1/scaling/policies?wait=1m&index={}", list.index());
    let watch = tokio::spawn(async move { get(nomad, &path).await });
    put(nomad, "/v1/job/web/scale", &scale_to(2, 0)).await;
    passing(&cluster, 2).await;
    assert!(!watch.is_finished());
    cluster.run_job(&JobSpec { max: 30, count: 2, ..quick(1) }).unwrap();
    assert!(watch.await.unwrap().index() > list.index());
}

#[tokio::test]
async fn what_does_not_fit_is_placed_when_there_is_room_and_a_crash_is_replaced() {
    let cluster = cluster_with(&quick(1)).await;
    cluster.faults().placement_limit(Some(2));
    put(cluster.nomad_addr(), "/v1/job/web/scale", &scale_to(4, 0)).await;
    passing(&cluster, 2).await;
    cluster.faults().placement_limit(None);
    passing(&cluster, 4).await;
    let before = cluster.instances();
    assert!(cluster.kill_instance(&before[0].alloc));
    eventually("a fifth instance serves", async || {
        let serving = cluster.instances().into_iter().filter(|it| it.state == InstanceState::Serving).count();
        (cluster.instances().len() == 5 && serving == 4).then_some(())
    })
    .await;
    cluster.faults().consul_wipe();
    passing(&cluster, 4).await;
}

#[tokio::test]
async fn a_nomad_that_is_down_comes_back() {
    let cluster = cluster_with(&quick(1)).await;
    cluster.faults().nomad_down(true);
    assert!(send(cluster.nomad_addr(), "GET", "/v1/jobs", "").await.is_err());
    cluster.faults().nomad_down(false);
    assert_eq!(get(cluster.nomad_addr(), "/v1/jobs").await.json()[0]["ID"], "web");
}

async fn run_load(
    cluster: &Cluster,
    connections: Connections,
    rate: f64,
) -> weir_devcluster::load::LoadReport {
    let target = cluster.instances()[0].addr;
    let options =
        LoadOptions { connections, ..LoadOptions::new(target, Rate::constant(rate), Duration::from_secs(1)) };
    Load::start(options).finish().await
}

#[tokio::test]
async fn a_load_is_served_on_fresh_and_on_kept_connections() {
    let cluster = cluster_with(&quick(1)).await;
    for connections in [Connections::PerRequest, Connections::KeepAlive] {
        let report = run_load(&cluster, connections, 200.0).await;
        assert_eq!((report.failed, report.in_flight()), (0, 0), "{report:?}");
        assert!(report.ok > 100, "{report:?}");
    }
    let served = cluster.instances()[0].served;
    assert!(served > 200, "{served}");
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_progress_or_cuts_it() {
    for (stop, name) in [(StopMode::Finish(Duration::from_secs(20)), "finish"), (StopMode::Cut, "cut")] {
        let spec = JobSpec {
            stop,
            service_time: Duration::from_millis(300),
            shutdown_delay: Duration::ZERO,
            ..quick(1)
        };
        let cluster = cluster_with(&spec).await;
        let options =
            LoadOptions::new(cluster.instances()[0].addr, Rate::constant(400.0), Duration::from_millis(50));
        let load = Load::start(options);
        eventually("requests are in progress", async || {
            (cluster.instances()[0].in_progress > 3).then_some(())
        })
        .await;
        load.stop();
        call(cluster.nomad_addr(), "DELETE", "/v1/job/web", "").await;
        let report = load.finish().await;
        let cut = eventually("it has ended", async || {
            let it = cluster.instances().remove(0);
            (it.state == InstanceState::Ended).then_some(it.cut)
        })
        .await;
        assert_eq!(cut > 0, stop == StopMode::Cut, "{name}: {report:?}");
        assert_eq!(report.failed > 0, stop == StopMode::Cut, "{name}: {report:?}");
    }
}
