//! Clients that ask all the time, and count what failed.
//!
//! [`Load::start`] asks one request after another on each of a few lanes, a new connection for each. [`Load::at_rate`] asks at
//! times that are fixed beforehand, whatever the answers take: half of its lanes keep their connection, as browsers and
//! proxies do, half open one per request. A kept connection that is closed without notice counts as a failure.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::http::{self, Kept, Reply};

/// What a load has seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) good: u64,
    pub(crate) failed: u64,
    /// What the failed ones were, first ones only.
    pub(crate) failures: Vec<String>,
    /// Good answers by their body: the instance's name.
    pub(crate) by_instance: BTreeMap<String, u64>,
    /// The longest time from when a request was due to its answer; only with a rate.
    pub(crate) slowest: Duration,
}

impl Seen {
    fn count(&mut self, reply: std::io::Result<Reply>) {
        match reply {
            Ok(Reply { status: 200, body }) => {
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
    shared: Arc<Shared>,
    lanes: Vec<JoinHandle<()>>,
}

struct Shared {
    port: u16,
    path: &'static str,
    seen: Mutex<Seen>,
    is_over: AtomicBool,
}

/// Lanes of [`Load::at_rate`]: at 1,000 requests a second a lane has 31 ms for each.
const LANES: u32 = 32;

impl Load {
    /// Asks `path` at `port` on `lanes` lanes, with `pause` between a lane's requests.
    pub(crate) fn start(port: u16, path: &'static str, lanes: usize, pause: Duration) -> Self {
        let shared = Shared::new(port, path);
        let lane = || tokio::spawn(shared.clone().run(pause));
        Self { lanes: (0..lanes).map(|_| lane()).collect(), shared }
    }

    /// 200 requests a second on four lanes: enough to meet every reload.
    pub(crate) fn steady(port: u16) -> Self {
        Self::start(port, "/", 4, Duration::from_millis(20))
    }

    /// Asks `/` so many times a second, half of it on kept connections.
    pub(crate) fn at_rate(port: u16, per_second: u32) -> Self {
        let shared = Shared::new(port, "/");
        let between = Duration::from_secs(1) / per_second;
        let begin = Instant::now();
        let lane = |n: u32| {
            let client = Client { port, keeps: n.is_multiple_of(2), kept: None };
            tokio::spawn(shared.clone().follow(client, begin + between * n, between * LANES))
        };
        Self { lanes: (0..LANES).map(lane).collect(), shared }
    }

    /// What it has seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the last requests end; what was seen in all.
    pub(crate) async fn stop(mut self) -> Seen {
        self.shared.is_over.store(true, Ordering::Relaxed);
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

impl Shared {
    fn new(port: u16, path: &'static str) -> Arc<Self> {
        Arc::new(Self { port, path, seen: Mutex::default(), is_over: AtomicBool::new(false) })
    }

    fn count(&self, reply: std::io::Result<Reply>, took: Duration) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.count(reply);
        seen.slowest = seen.slowest.max(took);
    }

    async fn run(self: Arc<Self>, pause: Duration) {
        while !self.is_over.load(Ordering::Relaxed) {
            self.count(http::get(self.port, self.path).await, Duration::ZERO);
            tokio::time::sleep(pause).await;
        }
    }

    /// A request at `due`, and one every `period` after it. One that is late is asked at once.
    async fn follow(self: Arc<Self>, mut client: Client, mut due: Instant, period: Duration) {
        while !self.is_over.load(Ordering::Relaxed) {
            tokio::time::sleep_until(due).await;
            let reply = client.get(self.path).await;
            self.count(reply, due.elapsed());
            due += period;
        }
    }
}

/// Who asks on one lane.
struct Client {
    port: u16,
    keeps: bool,
    kept: Option<Kept>,
}

impl Client {
    async fn get(&mut self, path: &str) -> std::io::Result<Reply> {
        if !self.keeps {
            return http::get(self.port, path).await;
        }
        let mut connection = match self.kept.take() {
            Some(kept) => kept,
            None => Kept::open(self.port).await?,
        };
        let reply = connection.get(path).await?;
        self.kept = Some(connection).filter(|connection| !connection.is_over);
        Ok(reply)
    }
}
