//! A steady client: one request after another on each of a few lanes, counting what failed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::http;

/// What a load has seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) good: u64,
    pub(crate) failed: u64,
    /// What the failed ones were, first ones only.
    pub(crate) failures: Vec<String>,
    /// Good answers by their body: the instance's name.
    pub(crate) by_instance: BTreeMap<String, u64>,
}

impl Seen {
    fn count(&mut self, reply: std::io::Result<http::Reply>) {
        match reply {
            Ok(http::Reply { status: 200, body }) => {
                self.good += 1;
                *self.by_instance.entry(body).or_default() += 1;
            }
            other => {
                self.failed += 1;
                self.failures.truncate(9);
                self.failures.push(format!("{other:?}"));
            }
        }
    }
}

/// A running load.
pub(crate) struct Load {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    lanes: Vec<JoinHandle<()>>,
}

impl Load {
    /// Asks `path` at `port` on `lanes` lanes, with `pause` between a lane's requests.
    pub(crate) fn start(port: u16, path: &'static str, lanes: usize, pause: Duration) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let over = Arc::new(AtomicBool::new(false));
        let lane = || tokio::spawn(run(port, path, pause, seen.clone(), over.clone()));
        Self { lanes: (0..lanes).map(|_| lane()).collect(), seen, over }
    }

    /// 200 requests a second on four lanes: enough to meet every reload.
    pub(crate) fn steady(port: u16) -> Self {
        Self::start(port, "/", 4, Duration::from_millis(20))
    }

    /// What it has seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the last requests end; what was seen in all.
    pub(crate) async fn stop(mut self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        for lane in self.lanes.drain(..) {
            lane.await.expect("a lane ends by itself");
        }
        self.seen()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.lanes.iter().for_each(JoinHandle::abort);
    }
}

async fn run(port: u16, path: &str, pause: Duration, seen: Arc<Mutex<Seen>>, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        let reply = http::get(port, path).await;
        seen.lock().unwrap_or_else(PoisonError::into_inner).count(reply);
        tokio::time::sleep(pause).await;
    }
}
