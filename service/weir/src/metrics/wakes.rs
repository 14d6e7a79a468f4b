//! Metrics of the requests that are held for groups at zero.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::Maker;
use crate::status::WakeStatus;

const LABELS: [&str; 2] = ["haproxy", "backend"];

/// Without values, and so not shown, where nothing was ever held.
#[derive(Debug)]
pub(super) struct Wakes {
    held: IntGaugeVec,
    woken: IntCounterVec,
    expired: IntCounterVec,
    refused: IntCounterVec,
}

impl Wakes {
    pub(super) fn new(make: &Maker) -> prometheus::Result<Self> {
        let held = "Connections held while the pool's group is at zero.";
        let woken = "Connections that were held and went on to an instance.";
        let expired = "Connections that were held for the whole `deadline`, and closed.";
        let refused = "Connections that were closed at once, as more than `max_connections`.";
        Ok(Self {
            held: make.gauges("wake_held", held, &LABELS)?,
            woken: make.counters("wake_woken_total", woken, &LABELS)?,
            expired: make.counters("wake_expired_total", expired, &LABELS)?,
            refused: make.counters("wake_refused_total", refused, &LABELS)?,
        })
    }

    pub(super) fn observe(&self, wakes: &[WakeStatus]) {
        for wake in wakes {
            let labels = [wake.haproxy.as_str(), wake.backend.as_str()];
            self.held.with_label_values(&labels).set(i64::try_from(wake.held).unwrap_or(i64::MAX));
            let totals =
                [(&self.woken, wake.woken), (&self.expired, wake.expired), (&self.refused, wake.refused)];
            for (counter, total) in totals {
                let counter = counter.with_label_values(&labels);
                counter.inc_by(total.saturating_sub(counter.get()));
            }
        }
    }
}
