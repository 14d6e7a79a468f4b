//! One load balancer of a pair beside the devcluster: weir, HAProxy, and what is asked of both.

use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use weir_devcluster::Cluster;

use super::consul::Consul;
use super::haproxy::Haproxy;
use super::site::Site;
use super::weir::Weir;
use super::{SOON, ports, wait_for};

const SERVERS: &str = "{{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} maxconn 4
{{/each}}";

/// What all peers show one another.
pub(crate) const TOKEN: &str = "a-secret-of-all";

/// A load balancer whose pool `web` is scaled.
pub(crate) struct Balancer {
    pub(crate) site: Site,
    pub(crate) weir: Weir,
    pub(crate) haproxy: Haproxy,
    peer: Option<u16>,
}

impl Balancer {
    /// One that is alone.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        Self::start_in(site(cluster), SERVERS).await
    }

    /// One of several; `ssl` is a block of its block `peer`, or nothing.
    pub(crate) async fn start_peer(cluster: &Cluster, ssl: &str) -> Self {
        Self::start_peer_in(site(cluster), SERVERS, ssl).await
    }

    /// The same in a site that knows its Consul and its Nomad, with these servers in the pool `web`.
    pub(crate) async fn start_peer_in(mut site: Site, servers: &str, ssl: &str) -> Self {
        let peer = ports::free();
        let block = format!("peer {{\n  address = \"127.0.0.1:{peer}\"\n  token = \"{TOKEN}\"\n  {ssl}\n}}");
        site.options = format!("{}\n{block}", site.options);
        Self { peer: Some(peer), ..Self::start_in(site, servers).await }
    }

    /// One that is alone in such a site.
    pub(crate) async fn start_in(site: Site, servers: &str) -> Self {
        site.write_template(&site.template(servers));
        let mut weir = site.weir();
        let haproxy = site.haproxy().await;
        weir.wait_ready().await;
        Self { site, weir, haproxy, peer: None }
    }

    /// The port on which its peers ask it.
    pub(crate) fn peer(&self) -> u16 {
        self.peer.expect("it was started as one of several")
    }

    /// Waits until it leads.
    pub(crate) async fn leads(&mut self, deadline: Duration) {
        self.weir.wait_status("this weir leads", deadline, |status| leader(status) == "leading").await;
    }

    /// Waits until it leads and so many instances serve.
    pub(crate) async fn is_ready(&mut self, serving: u64) {
        self.leads(SOON).await;
        self.serves(serving).await;
    }

    /// Waits until so many instances serve, or more.
    pub(crate) async fn serves(&mut self, serving: u64) {
        let what = format!("{serving} instances serve");
        let load = |policy: &Value| policy["last_decision"]["demand"]["known"]["serving"].as_u64();
        self.wait_policy(&what, Duration::from_mins(1), |policy| load(policy) >= Some(serving)).await;
    }

    /// Waits until this weir knows that it has changed Nomad.
    pub(crate) async fn wait_scaled(&self) {
        wait_for("it counts its scale", SOON, async || self.has_scaled().await.then_some(())).await;
    }

    /// Whether this weir has changed Nomad.
    pub(crate) async fn has_scaled(&self) -> bool {
        let metrics = self.weir.metrics().await;
        metrics.lines().any(|line| {
            line.starts_with("weir_scale_total{") && line.contains("\"ok\"") && !line.ends_with(" 0")
        })
    }

    /// The one policy in its status, once `predicate` holds.
    pub(crate) async fn wait_policy(
        &mut self,
        what: &str,
        deadline: Duration,
        predicate: impl Fn(&Value) -> bool,
    ) -> Value {
        let of = |status: &Value| status["scaling"]["policies"][0].clone();
        let status = self.weir.wait_status(what, deadline, |status| predicate(&of(status))).await;
        of(&status)
    }

    /// `weir policy explain`.
    pub(crate) async fn explain(&self, target: &str) -> Output {
        self.site.http_command(&["policy", "explain", target]).await
    }
}

fn site(cluster: &Cluster) -> Site {
    let mut site = Site::beside(Consul::elsewhere(cluster.consul_addr().port()));
    site.options = nomad(&format!("http://{}", cluster.nomad_addr()));
    site
}

/// The block that tells weir of the Nomad at `address`.
pub(crate) fn nomad(address: &str) -> String {
    format!("nomad {{\n  address = \"{address}\"\n}}")
}

/// What a weir says of its leadership.
pub(crate) fn leader(status: &Value) -> &str {
    status["scaling"]["leader"]["state"].as_str().unwrap_or_default()
}
