//! A key that says who is there, and goes when its process does.
//!
//! In: a folder, what to write, for how long it may outlive us. Out: a key `FOLDER/SESSION` in Consul, held
//! by a session that deletes it when it ends. A process that has ended in whatever way, or is cut off from
//! Consul, is gone from there after the TTL, twice the TTL at most. Nothing fails for good: what Consul
//! refuses is tried again, and reported.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Keys, Session};
use crate::gate::{backoff, jittered};
use crate::{Error, Reach};

/// The longest wait after Consul refused something for itself.
const LONGEST: Duration = Duration::from_secs(30);
/// How often the session is renewed at least: whoever lost it is registered again so much later.
const RENEW: Duration = Duration::from_secs(3);

/// Who is there, and where that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The folder, such as `weir/CLUSTER/peers`.
    pub folder: String,
    /// What others shall know.
    pub value: String,
    /// How long the key outlives us at least; Consul may take twice as long. It takes 10 s at least.
    pub ttl: Duration,
}

/// Keeps the key in Consul until `cancel`, and for the TTL after it: what the process looked after goes on without it.
pub async fn be_present(client: Client, presence: Presence, cancel: CancellationToken) {
    let mut failures = 0;
    while !cancel.is_cancelled() {
        let mut registered = false;
        let ended = cancel.run_until_cancelled(stay(&client, &presence, &mut registered)).await;
        if let Some(Err(error)) = ended {
            let _ = report(&client, &presence, &error);
        }
        failures = if registered { 1 } else { failures + 1 };
        let delay = jittered(backoff(failures, LONGEST), fastrand::f64());
        cancel.run_until_cancelled(sleep(delay)).await;
    }
}

/// Registers and stays so as long as the session lives.
async fn stay(client: &Client, presence: &Presence, registered: &mut bool) -> Result<(), Error> {
    client.gate().pass(client).await;
    let name = format!("weir: {}", presence.folder);
    let (ttl, lock_delay) = (presence.ttl, Duration::ZERO);
    let id = client.session_create(&Session { name, ttl, lock_delay, keys: Keys::Delete }).await?;
    let key = format!("{}/{id}", presence.folder);
    // Nobody else knows the session, so the key is ours.
    *registered = client.kv_acquire(&key, &id, presence.value.as_str()).await?;
    if !*registered {
        return Ok(());
    }
    let (often, seldom) = (RENEW.min(presence.ttl / 3), presence.ttl / 3);
    let mut rest = often;
    loop {
        sleep(rest).await;
        client.gate().pass(client).await;
        rest = often;
        match client.session_renew(&id).await {
            // Written again, as somebody may have deleted it. What is there already stays as it is, index and all.
            Ok(true) => drop(client.kv_acquire(&key, &id, presence.value.as_str()).await?),
            Ok(false) => return Ok(()),
            // The gate says when a Consul that was away is back. What is refused to us alone is tried, and logged, as often
            // as the session needs.
            Err(error) => {
                if !report(client, presence, &error) {
                    rest = seldom;
                }
            }
        }
    }
}

/// Whether all of Consul is concerned, which others report.
fn report(client: &Client, presence: &Presence, error: &Error) -> bool {
    // A 5xx to a write may well concern this key alone.
    let shared = error.reach() != Some(Reach::Failing) && client.gate().failed(error);
    if !shared {
        tracing::warn!(folder = presence.folder, error = error.chain(), "Consul refused to register us");
    }
    shared
}
