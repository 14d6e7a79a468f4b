//! When Consul's answer for the service changed: the moments that the time until "in force" is counted from.
//!
//! In: Consul's address. Out: the changes of the set of passing instances, with their times. A blocking query like anybody's,
//! so the times are those at which a client could know.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;

/// More changes than there can be between two looks at them.
const QUEUE: usize = 256;

/// A change of Consul's answer, when it could be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) at: Timestamp,
    /// What came and went, as weir writes it in its reasons: `+ADDRESS:PORT`, `-ADDRESS:PORT`.
    pub(super) servers: Vec<String>,
}

/// Follows the service `web` until the receiver goes.
pub(super) fn follow(client: reqwest::Client, consul: SocketAddr) -> mpsc::Receiver<Change> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let closed = sender.clone();
        tokio::select! {
            () = closed.closed() => {}
            () = watch(&client, consul, &sender) => {}
        }
    });
    receiver
}

async fn watch(client: &reqwest::Client, consul: SocketAddr, changes: &mpsc::Sender<Change>) {
    let (mut index, mut before) = (0, None);
    loop {
        let Some((read, passing)) = ask(client, consul, index).await else {
            // It is in this very process: it ends with the demo.
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let at = Timestamp::now();
        index = read;
        let servers = before.as_ref().map_or_else(Vec::new, |before| difference(before, &passing));
        before = Some(passing);
        if !servers.is_empty() {
            let _ = changes.try_send(Change { at, servers });
        }
    }
}

fn difference(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    let came = after.difference(before).map(|server| format!("+{server}"));
    came.chain(before.difference(after).map(|server| format!("-{server}"))).collect()
}

/// How many instances pass their checks now.
pub(super) async fn passing(client: &reqwest::Client, consul: SocketAddr) -> Option<usize> {
    ask(client, consul, 0).await.map(|(_, passing)| passing.len())
}

/// The index and the addresses of the passing instances.
async fn ask(client: &reqwest::Client, consul: SocketAddr, index: u64) -> Option<(u64, BTreeSet<String>)> {
    let url = format!("http://{consul}/v1/health/service/web?passing&wait=30s&index={index}");
    let answer = client.get(url).timeout(Duration::from_secs(40)).send().await.ok()?;
    let index = answer.headers().get("X-Consul-Index")?.to_str().ok()?.parse().ok()?;
    let instances: Vec<Value> = answer.json().await.ok()?;
    let address = |it: &Value| {
        let own = it["Service"]["Address"].as_str().filter(|own| !own.is_empty());
        let host = own.or_else(|| it["Node"]["Address"].as_str())?;
        Some(format!("{host}:{}", it["Service"]["Port"].as_u64()?))
    };
    Some((index, instances.iter().filter_map(address).collect()))
}
