//! A group's load at one moment, as decisions see it.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// What a group's load is, or why that is not known.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each policy and look, and nearly all of them are known"
)]
pub enum Demand {
    /// It is known.
    Known(Load),
    /// It is not; nothing is taken away then.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// A group's load. Rates are a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Load {
    /// Work in the system without tunnels, the mean of the last [`SMOOTHING`](super::SMOOTHING).
    pub work: f64,
    /// The part of it that waits.
    pub queued: f64,
    /// Tunnels (websockets) on the instances that serve, the same mean: they stay there, and keep slots.
    pub tunnels: f64,
    /// Tunnels on instances that are drained, the same mean: they end there, or come back to the others.
    #[serde(skip_serializing_if = "is_zero")]
    pub left: f64,
    /// The share of the requests that become tunnels.
    #[serde(skip_serializing_if = "is_zero")]
    pub upgrades: f64,
    /// Seconds that a tunnel lasts; `None` where none ended yet.
    pub tunnel_time: Option<f64>,
    /// What waited at the newest measure and at the one before.
    pub queues: [f64; 2],
    /// By how much more wait than at a look of the last seconds, in square roots of what arrived since then: the most.
    pub growth: f64,
    /// Slots that were busy with requests, the mean over the longest time in which it did not change by more than chance
    /// does.
    pub steady: f64,
    /// By how much the busy slots, those of tunnels too, rise in a second; 0 where a rise may be chance.
    pub slope: f64,
    /// Requests that arrive; `None` with a single measure.
    pub rate: Option<f64>,
    /// The same over the last ten seconds: less by chance, and later.
    pub calm_rate: Option<f64>,
    /// Those of the newest measures: of a second, or fewer where that tells how many they are.
    pub newest_rate: Option<f64>,
    /// By how much the arrivals rise in a second; 0 where that may be chance, or a jump.
    pub rise: f64,
    /// Requests that are done with.
    pub completions: Option<f64>,
    /// Seconds that a request keeps a slot, in the mean of the last minute or of the one before the last 45 seconds, whichever is
    /// more; `None` where too few were done.
    pub service_time: Option<f64>,
    /// Responses 5xx; `None` with a single measure.
    pub errors: Option<f64>,
    /// Whether there are clearly more of these than in the minute before.
    pub errors_rise: bool,
    /// How long there has been no work at all, as far as it was watched without a gap; `None` where there is
    /// some. Written in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub idle: Option<Duration>,
    /// Instances that take new sessions.
    pub serving: u64,
    /// What one instance can do at once by `maxconn`; `None` where a server line has none.
    pub slots: Option<f64>,
    /// Processes that did not answer: the load is at least this.
    pub missing: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

#[expect(clippy::ref_option, reason = "serde wants a reference")]
fn in_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

impl Load {
    /// Slots of the instances that serve, less those that tunnels keep; `None` where it is unknown what one can do at once,
    /// or none is left.
    pub fn capacity(&self) -> Option<f64> {
        self.slots.map(|slots| slots * self.serving as f64 - self.tunnels).filter(|slots| *slots > 0.0)
    }

    /// Whether requests wait because every slot is busy, rather than for a moment at a single server.
    pub fn is_saturated(&self) -> bool {
        /// As HAProxy's own counts are of slightly different moments.
        const NEARLY: f64 = 0.9;
        let full = self.capacity().is_none_or(|slots| self.work - self.queued >= NEARLY * slots);
        self.queues[0] > 0.0 && self.queued > 0.0 && full
    }

    /// Whether a queue has just appeared: for how much is needed, the arrivals must be known from one measure to the
    /// next.
    pub fn surges(&self, patience: Duration) -> bool {
        self.queues[1] <= self.queues[0] / 10.0 && self.grows_beyond(patience)
    }

    /// Whether the queue grows by more than chance, and would keep the instances that serve busy for longer
    /// than `patience`.
    pub fn rushes(&self, patience: Duration) -> bool {
        !self.surges(patience) && self.grows_beyond(patience)
    }

    fn grows_beyond(&self, patience: Duration) -> bool {
        /// Arrivals spread by the square root of their number; twice that is rare,
        const RARE: f64 = 2.0;
        /// and once it is where they are also known to rise.
        const RARE_IN_A_RISE: f64 = 1.0;
        let chance = if self.rise > 0.0 { RARE_IN_A_RISE } else { RARE };
        self.growth > chance && self.queue_time().is_none_or(|time| time > patience.as_secs_f64())
    }

    /// Seconds that the instances that serve are busy with what waits.
    fn queue_time(&self) -> Option<f64> {
        Some(self.queues[0] * self.service_time? / self.capacity()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_growth_tells_a_rush_where_arrivals_rise() {
        let load = |growth, rise| Load {
            growth,
            rise,
            queues: [50.0, 30.0],
            service_time: Some(0.1),
            serving: 2,
            slots: Some(5.0),
            ..Load::default()
        };
        let rushes = |growth, rise| load(growth, rise).rushes(Duration::from_millis(200));
        assert!(rushes(2.1, 0.0) && !rushes(1.5, 0.0) && rushes(1.5, 20.0) && !rushes(0.9, 20.0));
        assert!(!load(9.0, 20.0).rushes(Duration::from_secs(2)), "half a second's work can wait");
    }
}
