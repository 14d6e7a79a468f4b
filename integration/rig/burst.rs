//! Many changes one shortly after the other, of instances whose addresses nobody has twice: so that no command is due
//! twice. Nobody listens there; the pool must have no `check`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::haproxy::Haproxy;
use super::site::Site;

/// Instances of the service `web` when it begins.
const POOL: usize = 100;
/// Where the agent does not mind: it clears up only its own node.
const NODE: &str = "n1";
/// From one change to the next.
const EVERY: Duration = Duration::from_millis(10);

/// A burst that is over.
pub(crate) struct Burst {
    /// The servers that Consul has now.
    pub(crate) wanted: BTreeSet<String>,
    /// How long the changes took.
    pub(crate) took: Duration,
    /// When the last one was made.
    pub(crate) last: Instant,
}

fn address(n: usize) -> String {
    format!("127.1.{}.{}", n / 250, n % 250 + 1)
}

fn instance(n: usize) -> Value {
    json!({"Service": "web", "ID": format!("web-{n}"), "Address": address(n), "Port": 80})
}

/// Registers the pool.
pub(crate) async fn prepare(site: &Site) {
    site.consul.fill(NODE, (0..POOL).map(instance).collect()).await;
}

/// `changes` changes, a hundred a second: an instance comes, the oldest goes.
pub(crate) async fn run(site: &Site, changes: usize) -> Burst {
    let begin = Instant::now();
    for change in 0..changes {
        tokio::time::sleep_until(begin + EVERY * u32::try_from(change).expect("a small number")).await;
        if change % 2 == 0 {
            site.consul.register_elsewhere(NODE, instance(POOL + change / 2)).await;
        } else {
            let body = json!({"Node": NODE, "ServiceID": format!("web-{}", change / 2)});
            site.consul.put("/v1/catalog/deregister", &body).await;
        }
    }
    let all = changes / 2..POOL + changes.div_ceil(2);
    let wanted = all.map(|n| format!("{}:80", address(n))).collect();
    Burst { wanted, took: begin.elapsed(), last: Instant::now() }
}

impl Burst {
    /// Whether every wanted server is ready, and every other one gone or on its way out.
    pub(crate) async fn is_settled(&self, haproxy: &Haproxy) -> Option<()> {
        let states = haproxy.states("web").await?;
        let mut wanted = self.wanted.iter().map(|server| states.get(server));
        let ready = wanted.all(|state| state.is_some_and(|state| state.is_ready()));
        let mut others = states.iter().filter(|(server, _)| !self.wanted.contains(*server));
        let leave = others.all(|(_, state)| state.is_drained() || state.is_in_maint());
        (ready && leave).then_some(())
    }
}
