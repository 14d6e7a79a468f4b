//! Arrivals that rise to five times within ten seconds, modelled with several seeds: whether one scale is enough.

use super::plain;
use crate::simulate::{Outcome, Setting, Weir, run, suite};

/// When the rise begins: after a minute and a half, in which it was seen how long requests take.
const RISE: usize = 90;
const SECONDS: usize = 10;
/// What the load keeps busy at its end: 300 a second, of 50 ms, and every 250th of 20 s.
const BUSY: u64 = 39;
/// A server's `maxconn` on two load balancers, together.
const SLOTS: u32 = 6;

fn setting(seed: u64) -> Setting {
    let mut setting = Setting { seed, ..suite::measured().setting };
    setting.cluster.slots = SLOTS;
    setting.service.long = Some((250, 20.0));
    let rate = |second: usize| 60.0 + 240.0 * (second as f64 + 0.5) / SECONDS as f64;
    let calm = std::iter::repeat_n(60.0, RISE);
    setting.rates = calm.chain((0..SECONDS).map(rate)).chain(std::iter::repeat_n(300.0, 50)).collect();
    setting
}

/// Whether the first scale asks for enough within 3 s of the first queue, and none follows until it is carried out.
fn is_one_action(outcome: &Outcome) -> bool {
    let begins = RISE as u64;
    let during = |second: u64| (begins..begins + 16).contains(&second);
    let ups: Vec<_> = outcome.actions.iter().filter(|step| during(step.second)).collect();
    let queue = outcome.course.iter().position(|second| second.queued > 10).unwrap_or(usize::MAX) as u64;
    ups.len() == 1 && ups[0].to * u64::from(SLOTS) >= BUSY && ups[0].second <= queue.saturating_add(3)
}

#[test]
fn one_scale_is_enough_for_a_rise() {
    let modelled = |seed| {
        let setting = setting(seed);
        run(&setting, &mut Weir::new(plain(2, 20), &setting.cluster))
    };
    let outcomes: Vec<Outcome> = (0..20).map(modelled).collect();
    let one = outcomes.iter().filter(|outcome| is_one_action(outcome)).count();
    let late: Vec<f64> = outcomes.iter().map(Outcome::late_percent).collect();
    assert!(one >= 17, "{one} of 20: {:?}", outcomes.iter().map(|one| &one.actions).collect::<Vec<_>>());
    assert!(late.iter().filter(|late| **late < 4.0).count() >= 18, "{late:?}");
}
