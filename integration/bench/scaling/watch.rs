//! What is seen from outside while the load runs: instances, counts, the queue, memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::ground::{Ground, allocations, count};
use crate::rig::haproxy::exchange;
use crate::settings::Settings;
use crate::usage::resident;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    /// The sum over all instances of how long they were there while the load ran.
    pub(crate) instance_seconds: f64,
    /// The counts, each with when it was first seen, from the begin of the load.
    pub(crate) counts: Vec<(Duration, u64)>,
    /// Since when requests wait at every look, until the first increase in the step.
    pub(crate) queued: Option<Duration>,
    /// The most that a weir had, in MiB.
    pub(crate) memory: f64,
    /// When the step begins, and when the load ends.
    step: Duration,
    end: Duration,
}

/// A watch that runs.
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<Watched>,
}

/// Where to look.
struct Places {
    nomad: u16,
    stats: PathBuf,
    weirs: Vec<u32>,
}

impl Watch {
    pub(crate) fn start(ground: &Ground, settings: &Settings) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let places = Places { nomad: ground.nomad(), stats: ground.stats(), weirs: ground.weirs() };
        let nothing = Watched { step: settings.calm, end: settings.end(), ..Watched::default() };
        let task = tokio::spawn(watch(nothing, places, is_over.clone()));
        Self { is_over, task }
    }

    pub(crate) async fn stop(self) -> Watched {
        self.is_over.store(true, Ordering::Relaxed);
        self.task.await.expect("the watch ends")
    }
}

async fn watch(mut watched: Watched, places: Places, is_over: Arc<AtomicBool>) -> Watched {
    let (begin, mut last) = (Instant::now(), Instant::now());
    while !is_over.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
        let there = allocations(places.nomad).await.map_or(0, |all| all.len());
        if begin.elapsed() < watched.end {
            watched.instance_seconds += there as f64 * last.elapsed().as_secs_f64();
        }
        last = Instant::now();
        watched.look(begin.elapsed(), &places).await;
    }
    watched
}

impl Watched {
    async fn look(&mut self, at: Duration, places: &Places) {
        if let Some(count) = count(places.nomad).await
            && self.counts.last().is_none_or(|(_, last)| *last != count)
        {
            self.counts.push((at, count));
        }
        if at >= self.step && self.raised().is_none() {
            self.queued = is_queued(&places.stats).await.then(|| self.queued.unwrap_or(at));
        }
        let memory = places.weirs.iter().filter_map(|pid| resident(*pid));
        self.memory = memory.fold(self.memory, f64::max);
    }

    /// From the beginning of the queue that the first increase in the step answers.
    pub(crate) fn first_action(&self) -> Option<Duration> {
        Some(self.raised()?.saturating_sub(self.queued?))
    }

    /// When the count rose for the first time in the step.
    fn raised(&self) -> Option<Duration> {
        let raised = self.counts.windows(2).find(|pair| pair[1].1 > pair[0].1 && pair[1].0 >= self.step)?;
        Some(raised[1].0)
    }

    /// Changes of the count while the load ran.
    pub(crate) fn actions(&self) -> usize {
        self.counts.iter().skip(1).filter(|(at, _)| *at < self.end).count()
    }
}

/// Whether a request waits for a server of the pool.
async fn is_queued(stats: &std::path::Path) -> bool {
    let table = exchange(stats, "show stat web 2 -1").await.unwrap_or_default();
    let queue = table.lines().nth(1).and_then(|row| row.split(',').nth(2)).map(str::to_owned);
    queue.is_some_and(|queue| queue != "0" && !queue.is_empty())
}
