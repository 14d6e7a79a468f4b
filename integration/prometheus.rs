//! A check that asks Prometheus: its value decides, and what is no value decides nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use weir_devcluster::JobSpec;

use crate::rig::consul::Consul;
use crate::rig::site::{SERVERS, Site};
use crate::rig::{cluster, haproxy, wait_for};

const MINUTE: Duration = Duration::from_mins(1);

/// A server that answers every query with one value.
pub(crate) struct Fake {
    pub(crate) port: u16,
    value: Arc<Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(value: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let value = Arc::new(Mutex::new(value.to_owned()));
        let task = tokio::spawn(serve(listener, value.clone()));
        Self { port, value, task }
    }

    pub(crate) fn set(&self, value: &str) {
        value.clone_into(&mut self.value.lock().expect("not poisoned"));
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, value: Arc<Mutex<String>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let value = value.clone();
        tokio::spawn(async move {
            let mut request = vec![0; 8192];
            // Small requests come in one piece; the connection is closed after each.
            let read = stream.read(&mut request).await.unwrap_or(0);
            let asked =
                String::from_utf8_lossy(&request[..read]).starts_with("GET /api/v1/query?query=shop_load");
            let text = value.lock().expect("not poisoned").clone();
            let result = json!([{"metric": {}, "value": [1, text]}]);
            let body = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
            let (status, body) =
                if asked { ("200 OK", body.to_string()) } else { ("404 Not Found", String::new()) };
            let head =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            // A client that is gone needs no answer.
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        });
    }
}

fn job() -> JobSpec {
    let strategy = json!([{"target-value": [{"target": 10}]}]);
    let mut check = json!({"source": "prometheus", "query": "shop_load", "query_window": "instant"});
    check["strategy"] = strategy;
    let policy = json!({"cooldown": "2s", "check": [{"shop": [check]}]});
    JobSpec { policy, ..cluster::web() }
}

fn vote(status: &Value) -> &Value {
    &status["scaling"]["policies"][0]["last_decision"]["votes"][0]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_count_follows_prometheus_and_stays_where_it_has_no_number() {
    if haproxy::binary().is_none() {
        return;
    }
    let prometheus = Fake::start("20").await;
    let cluster = cluster::start().await;
    cluster.run_job(&job()).unwrap();
    let mut site = Site::beside(Consul::elsewhere(cluster.consul_addr().port()));
    site.options = format!(
        "nomad {{\n  address = \"http://{}\"\n}}\nprometheus {{\n  address = \"http://127.0.0.1:{}\"\n}}",
        cluster.nomad_addr(),
        prometheus.port
    );
    let (mut weir, _haproxy) = site.up_with(&site.template(SERVERS)).await;
    wait_for("twice the target is twice the instances", MINUTE, async || {
        (cluster::scaled(&cluster) == [4]).then_some(())
    })
    .await;
    prometheus.set("NaN");
    let status = weir
        .wait_status("no number is no vote", MINUTE, |status| {
            vote(status)["reason"].as_str().is_some_and(|reason| reason.contains("NaN"))
        })
        .await;
    assert_eq!(vote(&status)["wants"], Value::Null, "{status:#}");
    prometheus.set("10");
    weir.wait_status("it votes again", MINUTE, |status| vote(status)["wants"].as_u64() == Some(4)).await;
    assert_eq!(cluster::scaled(&cluster), [4]);
    prometheus.set("5");
    wait_for("half the target is half the instances", MINUTE, async || {
        (cluster::scaled(&cluster) == [4, 2]).then_some(())
    })
    .await;
}
