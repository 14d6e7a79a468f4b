//! The pod autoscaler of Knative Serving (KPA), class `concurrency`, with its defaults.
//!
//! In: the concurrency in the whole pool, averaged over each second, and a look every [`Kpa::TICK`] seconds.
//! Out: the pods wanted. Not modelled: scale to zero and the activator, which only matter at a count of 0.

use std::collections::VecDeque;

use crate::strategy::whole;

/// The rules and what they remember. Sources: `pkg/autoscaler/scaling/autoscaler.go` and the defaults in
/// `config/core/configmaps/autoscaler.yaml`.
#[derive(Debug, Clone)]
pub struct Kpa {
    /// Concurrency that one pod should have.
    target: f64,
    rates: (f64, f64),
    seconds: VecDeque<f64>,
    panic: Option<Panic>,
}

/// A panic: since when it was last renewed, and the most pods that it wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Panic {
    renewed: f64,
    most: u64,
}

impl Kpa {
    /// Seconds between two looks.
    pub const TICK: u64 = 2;
    /// Seconds that the stable average covers (`stable-window`).
    pub const STABLE: usize = 60;
    /// Seconds that the panic average covers: a tenth of it (`panic-window-percentage`).
    pub const PANIC: usize = 6;
    /// Panic begins where the panic average wants so many times the ready pods
    /// (`panic-threshold-percentage`).
    pub const THRESHOLD: f64 = 2.0;
    /// The share of a pod's concurrency that is aimed at (`container-concurrency-target-percentage`).
    pub const UTILIZATION: f64 = 0.7;
    /// At most so many times the ready pods, and at least their part by this (`max-scale-up-rate`,
    /// `max-scale-down-rate`).
    pub const RATES: (f64, f64) = (1000.0, 2.0);

    /// For pods of a target concurrency, `ready` of which are there: with more than one it starts in panic,
    /// so that it takes none away before it has a past.
    pub fn new(target: f64, ready: u64) -> Self {
        let panic = (ready > 1).then_some(Panic { renewed: 0.0, most: ready });
        Self { target, rates: Self::RATES, seconds: VecDeque::new(), panic }
    }

    /// Takes in the average of a second.
    pub fn second(&mut self, concurrency: f64) {
        self.seconds.push_back(concurrency);
        if self.seconds.len() > Self::STABLE {
            self.seconds.pop_front();
        }
    }

    /// One look; nothing without a past.
    pub fn tick(&mut self, now: f64, ready: u64) -> Option<u64> {
        let stable = self.mean(Self::STABLE)?;
        let panic = self.mean(Self::PANIC)?;
        Some(self.decide(now, ready, stable, panic))
    }

    /// The mean over the seconds there are: a window that is not full yet counts those only.
    fn mean(&self, seconds: usize) -> Option<f64> {
        let seen = self.seconds.len().min(seconds);
        (seen > 0).then(|| self.seconds.iter().rev().take(seen).sum::<f64>() / seen as f64)
    }

    fn decide(&mut self, now: f64, ready: u64, stable: f64, panic: f64) -> u64 {
        let ready = ready.max(1) as f64;
        let (most, least) = (whole(self.rates.0 * ready), (ready / self.rates.1).floor());
        let target = self.target;
        let bounded = |value: f64| whole(value / target).max(whole(least)).min(most);
        let over = (panic / self.target).ceil() / ready >= Self::THRESHOLD;
        self.renew(now, over);
        let stable = bounded(stable);
        let Some(state) = &mut self.panic else { return stable };
        state.most = state.most.max(stable).max(bounded(panic));
        state.most
    }

    fn renew(&mut self, now: f64, over: bool) {
        match &mut self.panic {
            Some(panic) if over => panic.renewed = now,
            Some(panic) if panic.renewed + (Self::STABLE as f64) < now => self.panic = None,
            None if over => self.panic = Some(Panic { renewed: now, most: 0 }),
            Some(_) | None => {}
        }
    }
}

/// The cases of `pkg/autoscaler/scaling/autoscaler_test.go`, named as there. They have rates of 10 and 10.
#[cfg(test)]
mod tests {
    use super::*;

    fn kpa(target: f64) -> Kpa {
        Kpa { rates: (10.0, 10.0), ..Kpa::new(target, 1) }
    }

    #[test]
    fn autoscaler_scale() {
        let cases = [
            // target, stable, panic, ready → wanted
            (10.0, 0.0, 0.0, 1, 0),
            (181.0, 21.0, 26.0, 1, 1),
            (10.0, 50.0, 49.0, 1, 5),
            (10.0, 50.0, 50.0, 5, 5),
            (10.0, 50.0, 100.0, 1, 10),
            (10.0, 100.0, 100.0, 8, 10),
            (10.0, 50.0, 50.0, 8, 5),
            (10.0, 1.0, 1.0, 100, 10),
            (10.0, 1000.0, 1001.0, 1, 10),
            (10.0, 1000.0, 1001.0, 10, 100),
            (10.0, 1000.0, 888.0, 0, 10),
        ];
        for (target, stable, panic, ready, wanted) in cases {
            let found = kpa(target).decide(100.0, ready, stable, panic);
            assert_eq!(found, wanted, "{stable} and {panic} at {target} on {ready}");
        }
    }

    #[test]
    fn small_rates_let_one_pod_move() {
        let slow = |rates, ready, stable, panic, target| {
            Kpa { rates, ..Kpa::new(target, 1) }.decide(0.0, ready, stable, panic)
        };
        assert_eq!(slow((1.1, 10.0), 2, 3.0, 3.1, 1.0), 3);
        assert_eq!(slow((10.0, 1.1), 100, 1.0, 1.0, 10.0), 90);
    }

    #[test]
    fn in_panic_the_larger_of_both_averages_counts() {
        for (stable, panic, wanted) in [(50.0, 30.0, 50), (20.0, 30.0, 30)] {
            let mut kpa = Kpa { panic: Some(Panic { renewed: 95.0, most: 5 }), ..kpa(1.0) };
            assert_eq!(kpa.decide(100.0, 5, stable, panic), wanted);
        }
    }

    #[test]
    fn panic_then_unpanic_scale_down() {
        let mut kpa = kpa(10.0);
        assert_eq!(kpa.decide(0.0, 1, 100.0, 100.0), 10);
        assert_eq!(kpa.decide(0.0, 10, 100.0, 1000.0), 100);
        assert_eq!(kpa.decide(30.0, 10, 1.0, 1.0), 100);
        assert_eq!(kpa.decide(61.0, 10, 1.0, 1.0), 1);
    }

    #[test]
    fn unpanic_after_slow_increase() {
        let mut kpa = kpa(1.0);
        assert_eq!(kpa.decide(0.0, 10, 11.0, 25.0), 25);
        assert_eq!(kpa.decide(30.0, 40, 30.0, 41.0), 41);
        assert_eq!(kpa.panic.map(|panic| panic.renewed), Some(0.0));
        assert_eq!(kpa.decide(62.0, 55, 50.0, 56.0), 50);
        assert_eq!(kpa.panic, None);
    }

    #[test]
    fn extend_panic_window() {
        let mut kpa = kpa(1.0);
        assert_eq!(kpa.decide(0.0, 10, 11.0, 25.0), 25);
        assert_eq!(kpa.decide(30.0, 40, 30.0, 80.0), 80);
        assert_eq!(kpa.panic.map(|panic| panic.renewed), Some(30.0));
    }

    #[test]
    fn start_in_panic_mode() {
        assert_eq!((Kpa::new(100.0, 0).panic, Kpa::new(100.0, 1).panic), (None, None));
        assert_eq!(Kpa::new(100.0, 2).panic, Some(Panic { renewed: 0.0, most: 2 }));
    }

    #[test]
    fn no_data_no_autoscale() {
        assert_eq!(Kpa::new(10.0, 1).tick(0.0, 1), None);
    }

    /// `TestAutoscalerPanicModeExponentialTrackAndStabilize`.
    #[test]
    fn panic_follows_exponential_growth() {
        let mut kpa = kpa(1.0);
        for (at, ready, load, wanted) in
            [(0.0, 1, 6.0, 6), (0.0, 6, 36.0, 36), (1.0, 36, 216.0, 216), (1.0, 216, 1296.0, 1296)]
        {
            assert_eq!(kpa.decide(at, ready, load, load), wanted);
        }
        assert_eq!(kpa.decide(2.0, 1296, 1296.0, 1296.0), 1296);
    }
}
