//! Scaling a job on a real Nomad with `raw_exec`: up with the load, down when it is over.

use std::time::Duration;

use serde_json::json;

use crate::rig::balancer;
use crate::rig::nomad::Nomad;
use crate::rig::site::Site;
use crate::rig::{Load, wait_for};

/// Instances are this very test binary; what they take is `raw_exec` alone.
pub(crate) fn job() -> String {
    let program = std::env::current_exe().unwrap();
    let args = json!(["--exact", "rig::instance::as_a_task", "--nocapture"]);
    format!(
        "job \"web\" {{
  datacenters = [\"dc1\"]
  update {{
    min_healthy_time = \"1s\"
  }}
  group \"app\" {{
    count = 2
    shutdown_delay = \"1s\"
    scaling {{
      min = 2
      max = 6
      policy {{
        cooldown = \"5s\"
        check \"load\" {{
          source = \"haproxy\"
          strategy \"concurrency\" {{}}
        }}
      }}
    }}
    network {{
      port \"http\" {{}}
    }}
    service {{
      name = \"web\"
      port = \"http\"
      check {{
        type = \"http\"
        path = \"/health\"
        interval = \"1s\"
        timeout = \"1s\"
      }}
    }}
    task \"web\" {{
      driver = \"raw_exec\"
      config {{
        command = {program}
        args = {args}
      }}
      env {{
        WEIR_INSTANCE_PORT = \"${{NOMAD_PORT_http}}\"
      }}
      resources {{
        cpu = 20
        memory = 32
      }}
    }}
  }}
}}
",
        program = json!(program),
    )
}

const SERVERS: &str = "{{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} maxconn 4
{{/each}}";

#[tokio::test(flavor = "multi_thread")]
async fn the_count_follows_the_load_on_a_real_nomad() {
    let Some(mut site) = Site::new().await else { return };
    let Some(nomad) = Nomad::start(site.dir(), &site.consul).await else { return };
    nomad.run(&job()).await;
    site.options = balancer::nomad(&nomad.address());
    site.write_template(&site.template(SERVERS));
    let mut weir = site.weir();
    let _haproxy = site.haproxy().await;
    let minute = Duration::from_mins(1);
    weir.wait_status("two servers are in the pool", minute, |status| {
        let servers = status["haproxy"][0]["pools"][0]["servers"].as_array();
        status["ready"] == true && servers.is_some_and(|servers| servers.len() == 2)
    })
    .await;
    weir.wait_status("weir leads", minute, |s| s["scaling"]["leader"]["state"] == "leading").await;

    // 14 requests at any time, 4 slots an instance: with four instances none of them waits.
    let load = Load::start(site.front, "/slow", 14, Duration::ZERO);
    let count = async || nomad.count("web", "app").await;
    wait_for("Nomad wants four", minute, async || count().await.filter(|count| *count >= 4)).await;
    weir.wait_status("four servers are in the pool", minute, |status| {
        status["haproxy"][0]["pools"][0]["servers"].as_array().is_some_and(|servers| servers.len() >= 4)
    })
    .await;
    let seen = load.stop().await;
    assert_eq!(seen.failed, 0, "{seen:?}");
    let reason = nomad.get("/v1/job/web/scale").await.unwrap();
    let message = reason["TaskGroups"]["app"]["Events"][0]["Message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "the scale explains itself: {reason:#}");
    wait_for("Nomad wants two again", minute * 2, async || count().await.filter(|count| *count == 2)).await;
    assert!(weir.terminate().await.success());
    nomad.stop("web").await;
}

/// Nomad forgets a purged job's allocations at once: weir must know before whose they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_purged_job_empties_its_pool() {
    let Some(mut site) = Site::new().await else { return };
    let Some(nomad) = Nomad::start(site.dir(), &site.consul).await else { return };
    nomad.run(&job()).await;
    site.options = balancer::nomad(&nomad.address());
    site.write_template(&site.template(SERVERS));
    let mut weir = site.weir();
    let haproxy = site.haproxy().await;
    let minute = Duration::from_mins(1);
    weir.wait_status("two servers are in the pool", minute, |status| {
        let servers = status["haproxy"][0]["pools"][0]["servers"].as_array();
        status["ready"] == true && servers.is_some_and(|servers| servers.len() == 2)
    })
    .await;
    // Whose they are is asked soon after they come.
    weir.wait_status("weir leads", minute, |s| s["scaling"]["leader"]["state"] == "leading").await;
    weir.wait_status("a decision was made", minute, |s| {
        s["scaling"]["policies"][0]["last_decision"].is_object()
    })
    .await;
    nomad.purge("web").await;
    haproxy.wait_servers("web", &[], minute).await;
    nomad.stop("web").await;
}
