//! The gate before Consul: closed by the first failure, opened by one probe on behalf of all.
//!
//! In: failures and answers of everybody's requests. Out: whether requests may be sent, and how Consul is. There is no task
//! of its own: one of those that wait at the gate probes for all, and where it is cancelled the next takes over.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::{Client, Error, Reach};

const FIRST: Duration = Duration::from_millis(250);
/// So that a Consul that is back is noticed within 4 s, at fewer than 25 probes a minute.
const LONGEST: Duration = Duration::from_secs(4);
/// Too many connections do not go away by more of them.
const LONGEST_REFUSED: Duration = Duration::from_secs(30);

/// Shared by all who ask one Consul.
#[derive(Debug)]
pub(crate) struct Gate {
    state: watch::Sender<State>,
    /// Failures in a row, over several closings where no answer came between them.
    failures: AtomicU32,
    probe: Mutex<()>,
}

/// How Consul is.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) reach: Reach,
    pub(crate) error: Option<String>,
    pub(crate) since: SystemTime,
    /// Counts the times that everything had to be read anew.
    pub(crate) generation: u64,
}

impl State {
    fn closed(&self) -> bool {
        !matches!(self.reach, Reach::Starting | Reach::Ok)
    }

    fn turn(&mut self, reach: Reach, error: Option<String>) {
        if self.reach != reach {
            self.since = SystemTime::now();
        }
        (self.reach, self.error) = (reach, error);
    }
}

impl Default for Gate {
    fn default() -> Self {
        let state = State { reach: Reach::Starting, error: None, since: SystemTime::now(), generation: 0 };
        Self { state: watch::Sender::new(state), failures: AtomicU32::new(0), probe: Mutex::new(()) }
    }
}

impl Gate {
    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.state.borrow().generation
    }

    /// An answer was of use.
    pub(crate) fn worked(&self) {
        if !self.state.borrow().closed() {
            self.failures.store(0, Ordering::Relaxed);
        }
        self.state.send_if_modified(|state| {
            let first = state.reach == Reach::Starting;
            if first {
                state.turn(Reach::Ok, None);
            }
            first
        });
    }

    /// A request failed. Says whether that concerns everybody.
    pub(crate) fn failed(&self, error: &Error) -> bool {
        let Some(reach) = error.reach() else { return false };
        let closed = self.state.send_if_modified(|state| {
            let open = !state.closed();
            if open {
                state.turn(reach, Some(error.chain()));
            }
            open
        });
        if closed {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(error = error.chain(), "Consul does not answer: the last good answers stay");
        }
        true
    }

    /// Ends when requests may be sent; probes if nobody else does.
    pub(crate) async fn pass(&self, client: &Client) {
        let mut state = self.state.subscribe();
        if !state.borrow().closed() {
            return;
        }
        tokio::select! {
            () = async { drop(state.wait_for(|state| !state.closed()).await) } => {}
            probe = self.probe.lock() => {
                self.probe_until_open(client).await;
                drop(probe);
            }
        }
    }

    /// Ends when everything has to be read anew.
    pub(crate) async fn reopened_after(&self, generation: u64) {
        // The sender is `self`: it cannot be gone.
        drop(self.state.subscribe().wait_for(|state| state.generation != generation).await);
    }

    fn closed_as(&self) -> Option<Reach> {
        let state = self.state.borrow();
        state.closed().then_some(state.reach)
    }

    async fn probe_until_open(&self, client: &Client) {
        let mut asked = Instant::now();
        while let Some(reach) = self.closed_as() {
            let failures = self.failures.load(Ordering::Relaxed);
            // From when the last one was sent: one without an answer was waited for already.
            tokio::time::sleep_until(asked + jittered(delay(failures, reach), fastrand::f64())).await;
            asked = Instant::now();
            match client.probe(reach).await {
                Ok(leader) => self.open(&leader),
                Err(error) => self.still_closed(&error),
            }
        }
    }

    fn open(&self, leader: &str) {
        tracing::debug!(leader, "Consul answers again");
        self.state.send_modify(|state| {
            // One that refuses connections was there all the time; those that are open stay good.
            state.generation += u64::from(state.reach != Reach::Refused);
            state.turn(Reach::Ok, None);
        });
    }

    fn still_closed(&self, error: &Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(error = error.chain(), "Consul still does not answer");
        let reach = error.reach().unwrap_or(Reach::Failing);
        self.state.send_modify(|state| state.turn(reach, Some(error.chain())));
    }
}

/// How long to wait after so many failures in a row.
pub(crate) fn delay(failures: u32, reach: Reach) -> Duration {
    let longest = if reach == Reach::Refused { LONGEST_REFUSED } else { LONGEST };
    backoff(failures, longest)
}

/// 250 ms, doubled after each failure.
pub(crate) fn backoff(failures: u32, longest: Duration) -> Duration {
    let doubled = 1_u32 << failures.saturating_sub(1).min(16);
    FIRST.saturating_mul(doubled).min(longest)
}

/// Between three quarters and all of it; `random` is in 0..1.
pub(crate) fn jittered(delay: Duration, random: f64) -> Duration {
    delay.mul_f64(0.75 + 0.25 * random)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_minute_without_consul_takes_fewer_than_30_probes(random in proptest::collection::vec(0.0..1.0, 60)) {
            let mut now = Duration::ZERO;
            let mut probes = 0;
            for (failures, random) in (1..).zip(random) {
                now += jittered(delay(failures, Reach::Unreachable), random);
                if now < Duration::from_mins(1) {
                    probes += 1;
                }
            }
            prop_assert!(probes < 29, "{}", probes);
        }
    }

    #[test]
    fn the_delay_grows_to_4_s_and_where_refused_to_30_s() {
        let delays = |reach| (1..9).map(|n| delay(n, reach).as_millis()).collect::<Vec<_>>();
        assert_eq!(delays(Reach::Unreachable), [250, 500, 1000, 2000, 4000, 4000, 4000, 4000]);
        assert_eq!(delays(Reach::Refused), [250, 500, 1000, 2000, 4000, 8000, 16000, 30000]);
        assert_eq!(delay(u32::MAX, Reach::Refused), LONGEST_REFUSED);
    }
}
