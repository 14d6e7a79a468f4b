//! The load: short requests and, one in a hundred, long ones, shared evenly by all load balancers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use weir_devcluster::load::{Connections, Load, LoadOptions, LoadReport, Rare, Rate};

use crate::settings::Settings;

/// Requests per second before and after the step, and in it.
const CALM: f64 = 60.0;
const BUSY: f64 = 300.0;
/// The work of long requests for each request that comes: every hundredth takes 8 s, and fewer take longer.
const LONG_WORK: Duration = Duration::from_millis(80);
/// From here on an answer to a short request is late.
const LATE: Duration = Duration::from_millis(500);
/// Longer than anything in the way lets a request wait.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The load that runs, at each front.
pub(crate) struct Traffic(Vec<Load>);

/// What became of the requests.
pub(crate) struct Seen {
    pub(crate) short: Counts,
    pub(crate) long: Counts,
}

/// The same of some of them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) late: u64,
}

impl Traffic {
    pub(crate) fn start(settings: &Settings, fronts: &[u16]) -> Self {
        let share = 1.0 / fronts.len() as f64;
        let load = |front: &u16| Load::start(options(settings, *front, share));
        Self(fronts.iter().map(load).collect())
    }

    /// Waits for the last answer.
    pub(crate) async fn finish(self) -> Seen {
        let mut seen = Seen { short: Counts::default(), long: Counts::default() };
        for load in self.0 {
            load.finished().await;
            seen.short.add(&load.report());
            seen.long.add(&load.report_rare());
        }
        seen
    }
}

impl Counts {
    fn add(&mut self, report: &LoadReport) {
        let LoadReport { sent, failed, late, .. } = report;
        *self = Self { sent: self.sent + sent, failed: self.failed + failed, late: self.late + late };
    }
}

fn options(settings: &Settings, front: u16, share: f64) -> LoadOptions {
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, front));
    LoadOptions {
        path: "/mean/50".to_owned(),
        rare: Some(Rare {
            every: every(settings.long),
            path: format!("/slow/{}", settings.long.as_millis()),
        }),
        connections: Connections::KeepAlive,
        timeout: TIMEOUT,
        late_after: LATE,
        ..LoadOptions::new(target, rate(settings, share), settings.end())
    }
}

/// Every so many requests is one that takes this long.
fn every(long: Duration) -> u64 {
    (long.as_millis() / LONG_WORK.as_millis()).try_into().unwrap_or(u64::MAX).max(1)
}

/// The step, which takes its time to rise, as this part of the whole.
fn rate(settings: &Settings, part: f64) -> Rate {
    let (step, rise, fall) = (settings.calm, settings.rise, settings.fall());
    Rate::new(move |at| {
        let risen =
            if rise.is_zero() { 1.0 } else { at.saturating_sub(step).div_duration_f64(rise).min(1.0) };
        let busy = (step..fall).contains(&at);
        part * if busy { CALM + (BUSY - CALM) * risen } else { CALM }
    })
}
