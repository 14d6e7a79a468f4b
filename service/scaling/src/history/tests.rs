use std::time::UNIX_EPOCH;

use super::*;
use crate::demand::Unknown;

const WINDOW: Duration = Duration::from_secs(20);

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
}

fn measure(second: u64, work: f64) -> Measure {
    let totals = BTreeMap::new();
    Measure { at: at(second), work, queued: 0.0, serving: 2, slots: Some(10.0), totals }
}

fn after(works: impl IntoIterator<Item = (u64, f64)>) -> History {
    let mut history = History::new(Duration::from_mins(1));
    works.into_iter().for_each(|(second, work)| history.push(Ok(measure(second, work))));
    history
}

#[track_caller]
fn load(history: &History, now: u64) -> Load {
    match history.demand(at(now), WINDOW) {
        Demand::Known(load) => load,
        Demand::Unknown { reason } => panic!("{reason}"),
    }
}

#[test]
fn increases_follow_the_mean_of_three_seconds() {
    let load = load(&after([(0, 90.0), (1, 10.0), (2, 20.0), (3, 30.0)]), 3);
    assert!((load.work - 20.0).abs() < 1e-9);
}

#[test]
fn the_peak_needs_a_window_without_gaps() {
    let steady = after((0..=30).map(|s| (s, if s == 15 { 40.0 } else { 10.0 })));
    assert_eq!(load(&steady, 30).peak, Some(20.0));
    assert_eq!(load(&after((0..=19).map(|s| (s, 10.0))), 19).peak, None);
    let gap = after((0..=30).filter(|s| !(12..=18).contains(s)).map(|s| (s, 10.0)));
    assert_eq!(load(&gap, 30).peak, None);
    let short_gap = after((0..=30).filter(|s| !(12..=14).contains(s)).map(|s| (s, 10.0)));
    assert_eq!(load(&short_gap, 30).peak, Some(10.0));
}

#[test]
fn a_window_longer_than_what_is_kept_is_not_covered() {
    let mut history = after((0..=200).map(|s| (s, 1.0)));
    let peak = |history: &History, window| match history.demand(at(200), Duration::from_secs(window)) {
        Demand::Known(load) => load.peak,
        Demand::Unknown { .. } => None,
    };
    assert_eq!((peak(&history, 60), peak(&history, 61)), (Some(1.0), None));
    history.keep_at_least(Duration::from_secs(100));
    assert_eq!(peak(&history, 100), None, "what was forgotten does not come back");
}

#[test]
fn old_and_absent_measures_are_unknown() {
    let unknown = |history: &History, now| match history.demand(at(now), WINDOW) {
        Demand::Unknown { reason } => reason,
        Demand::Known(load) => panic!("{load:?}"),
    };
    let mut history = History::new(WINDOW);
    assert_eq!(unknown(&history, 0), "HAProxy was not read yet");
    history.push(Err(Unknown::NoServer));
    assert!(unknown(&history, 0).contains("no HAProxy server"));
    history.push(Ok(measure(0, 1.0)));
    history.push(Err(Unknown::ProcessMissing("worker 7".to_owned())));
    assert!((load(&history, 5).work - 1.0).abs() < 1e-9);
    assert_eq!(unknown(&history, 6), "the newest measure is 6 s old: HAProxy did not answer: worker 7");
}

#[test]
fn a_clock_that_is_set_back_begins_anew() {
    let mut history = after((0..=30).map(|s| (s, 50.0)));
    history.push(Ok(measure(29, 9.0)));
    assert!((load(&history, 30).work - 50.0).abs() < 1e-9, "a late measure is dropped");
    history.push(Ok(measure(3, 9.0)));
    assert_eq!((load(&history, 3).work, load(&history, 3).peak), (9.0, None));
}

#[test]
fn only_what_a_window_needs_is_kept() {
    assert!(after((0..10_000).map(|s| (s, 1.0))).points.len() <= 64);
}

#[test]
fn arrivals_are_counted_within_a_process_only() {
    let measured = |second, totals: &[(u32, u64)]| {
        let counter = |pid| Counter::of(crate::sample::Process { pid, started: 1 }, "web", "s1");
        let totals = totals.iter().map(|&(pid, total)| (counter(pid), total)).collect();
        Ok(Measure { totals, ..measure(second, 1.0) })
    };
    let rate = |first: &[(u32, u64)], second: &[(u32, u64)]| {
        let mut history = History::new(WINDOW);
        history.push(measured(0, first));
        history.push(measured(1, second));
        load(&history, 1).rate
    };
    assert_eq!(rate(&[(1, 100)], &[(1, 130)]), Some(30.0));
    assert_eq!(rate(&[(1, 100)], &[(1, 4)]), Some(4.0), "cleared counters count from 0");
    assert_eq!(
        rate(&[(1, 100)], &[(1, 101), (2, 7)]),
        Some(1.0),
        "a new process is not subtracted from an old one"
    );
    assert_eq!(load(&after([(0, 1.0)]), 0).rate, None);
}
