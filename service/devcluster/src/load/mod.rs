//! An open-loop load: requests arrive at random at a given rate, however slow the answers are.
//!
//! Inputs: a target, a rate over time. Outputs: counts by outcome and a latency histogram, readable while it runs. Latency counts
//! from the planned arrival, so a stalled proxy is not hidden by a stalled client. At most `max_in_flight` requests are under way;
//! one that would exceed that counts as failed.

mod arrivals;
mod counts;
mod request;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use arrivals::Arrivals;
pub use arrivals::Rate;
use counts::Counters;
pub use counts::LoadReport;
use request::Client;

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// Each request opens one and closes it.
    PerRequest,
    /// Connections are used again.
    KeepAlive,
}

/// Requests among the others that are different, and counted by themselves.
#[derive(Clone)]
pub struct Rare {
    /// Every so many requests is one of them.
    pub every: u64,
    /// What it asks for.
    pub path: String,
}

/// A load.
#[derive(Clone)]
pub struct LoadOptions {
    /// Where requests go, most often the proxy's frontend.
    pub target: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// The path asked for.
    pub path: String,
    /// Those that ask for another one.
    pub rare: Option<Rare>,
    /// One connection per request, or kept ones.
    pub connections: Connections,
    /// Requests per second over time.
    pub rate: Rate,
    /// The load ends after this.
    pub duration: Duration,
    /// A request without a whole answer after this has failed.
    pub timeout: Duration,
    /// An answer that takes longer is counted as late (and as answered).
    pub late_after: Duration,
    /// At most so many requests at once.
    pub max_in_flight: usize,
}

impl LoadOptions {
    /// A load of `rate` on `target` for `duration`, with one connection per request.
    pub fn new(target: SocketAddr, rate: Rate, duration: Duration) -> Self {
        Self {
            target,
            host: target.to_string(),
            path: "/".to_owned(),
            rare: None,
            connections: Connections::PerRequest,
            rate,
            duration,
            timeout: Duration::from_secs(10),
            late_after: Duration::from_secs(1),
            max_in_flight: 2000,
        }
    }
}

/// A load that runs. Dropping it ends it.
pub struct Load {
    counters: Arc<Counters>,
    rare: Arc<Counters>,
    rate: Rate,
    started: Instant,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Load {
    /// Starts sending.
    pub fn start(options: LoadOptions) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let [counters, rare] = [(); 2].map(|()| Arc::new(Counters::new(options.late_after)));
        let (rate, started) = (options.rate.clone(), Instant::now());
        let sending = send(options, [Arc::clone(&counters), Arc::clone(&rare)], tasks.clone(), started);
        tasks.spawn(stop.clone().run_until_cancelled_owned(sending));
        tasks.close();
        Self { counters, rare, rate, started, tasks, stop }
    }

    /// What there is so far.
    pub fn report(&self) -> LoadReport {
        self.counters.report()
    }

    /// The same of the rare ones alone, which the other report leaves out.
    pub fn report_rare(&self) -> LoadReport {
        self.rare.report()
    }

    /// The rate at this moment, in requests per second.
    pub fn rate_now(&self) -> f64 {
        self.rate.at(self.started.elapsed())
    }

    /// Sends nothing more; what is under way ends by itself.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until everything was sent and has ended, at most the load's time-out after its end.
    pub async fn finish(self) -> LoadReport {
        self.finished().await;
        self.counters.report()
    }

    /// Waits for the same, with the load still there to be asked.
    pub async fn finished(&self) {
        self.tasks.wait().await;
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn send(options: LoadOptions, counters: [Arc<Counters>; 2], tasks: TaskTracker, started: Instant) {
    let places = Arc::new(Semaphore::new(options.max_in_flight.min(Semaphore::MAX_PERMITS)));
    let arrivals = Arrivals::new(options.rate.clone(), options.duration);
    let rare = options.rare.as_ref().map_or(&options.path, |rare| &rare.path);
    let clients = [&options.path, rare].map(|path| Arc::new(Client::new(&options, path)));
    for (at, number) in arrivals.zip(1..) {
        let arrival = started + at;
        sleep_until(arrival).await;
        let kind = usize::from(options.rare.as_ref().is_some_and(|rare| number % rare.every.max(1) == 0));
        let (client, counters) = (Arc::clone(&clients[kind]), Arc::clone(&counters[kind]));
        counters.sent();
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            counters.failed(request::Failure::Overload);
            continue;
        };
        tasks.spawn(async move {
            match client.request().await {
                Ok(()) => counters.answered(arrival.elapsed()),
                Err(failure) => counters.failed(failure),
            }
            drop(place);
        });
    }
}
