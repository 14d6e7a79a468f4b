//! The load: short requests and, one in a hundred, long ones, shared evenly by all load balancers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use weir_devcluster::load::{Connections, Load, LoadOptions, LoadReport, Rate};

use crate::settings::Settings;

/// Requests per second before and after the step, and in it.
const CALM: f64 = 60.0;
const BUSY: f64 = 300.0;
/// When the step begins and ends, and when the load ends.
pub(crate) const STEP: Duration = Duration::from_secs(30);
const FALL: Duration = Duration::from_secs(90);
pub(crate) const END: Duration = Duration::from_mins(3);
/// The share of long requests.
const LONG: f64 = 0.01;
/// From here on an answer to a short request is late.
const LATE: Duration = Duration::from_millis(500);
/// Longer than anything in the way lets a request wait.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The load that runs.
pub(crate) struct Traffic {
    short: Vec<Load>,
    long: Vec<Load>,
}

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
        let loads = |path: String, part: f64| {
            let start = |front: &u16| {
                let rate = rate(settings.rise, part * share);
                Load::start(options(*front, path.clone(), rate))
            };
            fronts.iter().map(start).collect()
        };
        Self {
            short: loads("/mean/50".to_owned(), 1.0 - LONG),
            long: loads(format!("/slow/{}", settings.long.as_millis()), LONG),
        }
    }

    /// Waits for the last answer.
    pub(crate) async fn finish(self) -> Seen {
        Seen { short: counts(self.short).await, long: counts(self.long).await }
    }
}

fn options(front: u16, path: String, rate: Rate) -> LoadOptions {
    LoadOptions {
        path,
        connections: Connections::KeepAlive,
        timeout: TIMEOUT,
        late_after: LATE,
        ..LoadOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, front)), rate, END)
    }
}

/// The step, which takes `rise` to rise, as this part of the whole.
fn rate(rise: Duration, part: f64) -> Rate {
    Rate::new(move |at| {
        let risen =
            if rise.is_zero() { 1.0 } else { at.saturating_sub(STEP).div_duration_f64(rise).min(1.0) };
        let busy = (STEP..FALL).contains(&at);
        part * if busy { CALM + (BUSY - CALM) * risen } else { CALM }
    })
}

async fn counts(loads: Vec<Load>) -> Counts {
    let mut all = Counts::default();
    for load in loads {
        let LoadReport { sent, failed, late, .. } = load.finish().await;
        all = Counts { sent: all.sent + sent, failed: all.failed + failed, late: all.late + late };
    }
    all
}
