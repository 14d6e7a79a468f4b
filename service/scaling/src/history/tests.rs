use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use super::*;
use crate::demand::{Counter, Undealt, Unknown};

const WINDOW: Duration = Duration::from_secs(20);

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
}

fn measure(second: u64, work: f64) -> Measure {
    Measure {
        at: at(second),
        work,
        queued: 0.0,
        tunnels: 0.0,
        left: 0.0,
        begun: BTreeMap::new(),
        serving: 2,
        slots: Some(10.0),
        totals: BTreeMap::new(),
        undealt: BTreeMap::new(),
        errors: BTreeMap::new(),
        missing: Vec::new(),
    }
}

fn after(works: impl IntoIterator<Item = (u64, f64)>) -> History {
    let mut history = History::new(Duration::from_mins(1));
    works.into_iter().for_each(|(second, work)| history.push(Ok(measure(second, work))));
    history
}

#[track_caller]
fn load(history: &History, now: u64) -> Load {
    match history.demand(at(now)) {
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
fn a_calm_stretch_is_averaged_and_a_change_begins_a_new_one() {
    let waves = (0..=60).map(|s| (s, if s % 2 == 0 { 42.0 } else { 36.0 }));
    let calm = load(&after(waves.clone()), 60);
    assert!((calm.steady - 39.0).abs() < 0.3, "{calm:?}");
    let stepped = load(&after(waves.chain((61..=66).map(|s| (s, 80.0)))), 66);
    assert!(stepped.steady > 70.0, "{stepped:?}");
}

#[test]
fn a_trend_must_be_no_chance_and_not_over() {
    let rises = |works: &dyn Fn(u64) -> f64| load(&after((0..=60).map(|s| (s, works(s)))), 60).slope > 0.0;
    assert!(rises(&|s| s as f64 / 2.0));
    assert!(!rises(&|s| 30.0 - s as f64 / 2.0), "a fall is none");
    assert!(!rises(&|s| 20.0 + (s % 3) as f64), "chance is none");
    assert!(!rises(&|s| s.min(44) as f64), "it is over");
    assert!(!rises(&|s| if s < 45 { 10.0 } else { 40.0 }), "a jump is none");
    let line = load(&after((0..=60).map(|s| (s, s as f64 / 2.0))), 60);
    assert!((line.slope - 0.5).abs() < 1e-6);
}

#[test]
fn tunnels_keep_slots_and_make_no_request_long() {
    let mut history = History::new(WINDOW);
    for second in 0..=60 {
        let totals = BTreeMap::from([(counter(), 50 * second)]);
        let tunnels = 2.0 * second as f64;
        let begun = BTreeMap::from([(counter(), 3.0 * second as f64)]);
        history.push(Ok(Measure { totals, tunnels, begun, left: 7.0, serving: 20, ..measure(second, 5.0) }));
    }
    let load = load(&history, 60);
    assert!((load.upgrades - 0.06).abs() < 1e-9, "three of fifty: {load:?}");
    let opened = (1..=60).map(|second| 7.0 + 2.0 * f64::from(second)).sum::<f64>();
    assert!((load.tunnel_time.unwrap() - opened / 60.0).abs() < 1e-6, "one a second ended: {load:?}");
    assert!((load.service_time.unwrap() - 0.1).abs() < 1e-9, "{load:?}");
    assert!((load.slope - 2.0).abs() < 1e-6, "more of them come: {load:?}");
    assert_eq!((load.work, load.tunnels, load.capacity()), (5.0, 118.0, Some(82.0)));
    assert_eq!(load.idle, None);
    let mut nothing = after([(0, 0.0), (1, 0.0)]);
    assert!(matches!(nothing.demand(at(1)), Demand::Known(Load { idle: Some(_), .. })));
    nothing.push(Ok(Measure { left: 1.0, ..measure(2, 0.0) }));
    assert!(matches!(nothing.demand(at(2)), Demand::Known(Load { idle: None, .. })), "one is not done yet");
}

#[test]
fn what_waits_undealt_has_arrived() {
    let mut history = History::new(WINDOW);
    for second in 0..=10_u64 {
        // 30 a second are dealt and 20 more wait each second.
        let totals = BTreeMap::from([(counter(), 30 * second)]);
        let waiting = 20.0 * second as f64;
        let undealt = BTreeMap::from([(counter(), Undealt { bound: waiting, free: 0.0, part: 0.5 })]);
        history.push(Ok(Measure { totals, undealt, queued: waiting, ..measure(second, 3.0 + waiting) }));
    }
    let load = load(&history, 10);
    assert_eq!((load.rate, load.completions), (Some(50.0), Some(30.0)));
}

#[test]
fn a_part_that_grows_has_nothing_arrive() {
    let mut history = History::new(WINDOW);
    for second in 0..=10_u64 {
        // 30 a second are dealt; 1,000 wait for any server, of which the group gets half, then two thirds.
        let totals = BTreeMap::from([(counter(), 30 * second)]);
        let part = if second < 9 { 0.5 } else { 2.0 / 3.0 };
        let undealt = BTreeMap::from([(counter(), Undealt { bound: 0.0, free: 1000.0, part })]);
        let queued = 1000.0 * part;
        history.push(Ok(Measure { queued, totals, undealt, ..measure(second, 3.0 + queued) }));
    }
    let load = load(&history, 10);
    let near = |value: Option<f64>| (value.unwrap() - 30.0).abs() < 1e-9;
    assert!(near(load.rate) && near(load.completions), "{load:?}");
}

fn counter() -> Counter {
    Counter::of(crate::sample::Process { node: 0, pid: 1, started: 1 }, "web", "")
}

#[test]
fn service_times_are_by_littles_law() {
    let mut history = History::new(WINDOW);
    for second in 0..=20 {
        let totals = BTreeMap::from([(counter(), 50 * second)]);
        history.push(Ok(Measure { totals, ..measure(second, 5.0) }));
    }
    let load = load(&history, 20);
    assert!((load.service_time.unwrap() - 0.1).abs() < 1e-9, "{load:?}");
    assert_eq!((load.completions, load.newest_rate), (Some(50.0), Some(50.0)));
}

/// Requests of 50 ms and, every 250th, of 20 s; five times as many from second 120 on. Ten seconds later most of the long ones
/// are not done with, and only the minute before tells how long they take.
#[test]
fn long_requests_take_their_time_before_they_are_done() {
    let arrivals = |second: u64| if second < 120 { 60_u32 } else { 300 };
    let mut history = History::new(WINDOW);
    let mut total = 0;
    for second in 0..=130_u64 {
        let long: f64 =
            (second.saturating_sub(20)..second).map(|second| f64::from(arrivals(second)) / 250.0).sum();
        let counter = Counter::of(crate::sample::Process { node: 0, pid: 1, started: 1 }, "web", "");
        total += u64::from(arrivals(second));
        let totals = BTreeMap::from([(counter, total)]);
        history.push(Ok(Measure { totals, ..measure(second, long + 0.05 * f64::from(arrivals(second))) }));
    }
    let newest = history.service_time_at(at(130)).unwrap();
    let time = load(&history, 130).service_time.unwrap();
    assert!(newest < 0.115 && (0.125..0.135).contains(&time), "130 ms: {newest} {time}");
}

#[test]
fn errors_rise_where_there_are_twice_as_many() {
    let rises = |errors: &dyn Fn(u64) -> u64| {
        let mut history = History::new(WINDOW);
        for second in 0..=60 {
            let counter = || Counter::of(crate::sample::Process { node: 0, pid: 1, started: 1 }, "web", "");
            let totals = BTreeMap::from([(counter(), 100 * second)]);
            let errors = BTreeMap::from([(counter(), errors(second))]);
            history.push(Ok(Measure { totals, errors, ..measure(second, 5.0) }));
        }
        load(&history, 60).errors_rise
    };
    assert!(!rises(&|second| 5 * second), "as many as before");
    assert!(!rises(&|second| u64::from(second > 58)), "one in a hundred requests is chance");
    assert!(rises(&|second| 20 * second.saturating_sub(57)));
}

#[test]
fn idle_is_watched_without_a_gap() {
    let idle = |works: Vec<(u64, f64)>, now| load(&after(works), now).idle;
    assert_eq!(
        idle((0..=30).map(|s| (s, f64::from(u8::from(s <= 10)))).collect(), 30),
        Some(Duration::from_secs(20))
    );
    assert_eq!(idle(vec![(0, 0.0), (20, 0.0), (21, 0.0)], 21), Some(Duration::from_secs(1)));
    assert_eq!(idle(vec![(0, 0.0), (1, 1.0)], 1), None);
    let mut short = History::new(WINDOW);
    for second in 0..=30 {
        let counter = Counter::of(crate::sample::Process { node: 0, pid: 1, started: 1 }, "web", "");
        let totals = BTreeMap::from([(counter, u64::from(second >= 25))]);
        short.push(Ok(Measure { totals, ..measure(second, 0.0) }));
    }
    let since = load(&short, 30).idle;
    assert_eq!(since, Some(Duration::from_secs(5)), "a request that nobody saw in progress");
}

#[test]
fn the_gain_of_an_increase_is_told_from_before_and_after() {
    // Where a look takes long there are fewer of them.
    let grown = |completions: u64, apart: u64| {
        let mut history = History::new(WINDOW);
        for second in (0..=60).filter(|second| *second > 30 || second % apart == 0) {
            let raised = second > 30;
            let done = if raised { 100 * 30 + completions * (second - 30) } else { 100 * second };
            let counter = Counter::of(crate::sample::Process { node: 0, pid: 1, started: 1 }, "web", "");
            let totals = BTreeMap::from([(counter, done)]);
            let work = if raised { 60.0 } else { 20.0 };
            let serving = if raised { 4 } else { 2 };
            history.push(Ok(Measure { serving, totals, ..measure(second, work) }));
        }
        history.gain(at(30), Duration::from_secs(4), at(60))
    };
    let gain = grown(200, 1).unwrap();
    assert_eq!(after((0..=60).map(|s| (s, 1.0))).served_after(at(30), 3), None, "they do not serve yet");
    assert_eq!(after((0..=60).map(|s| (s, 1.0))).served_after(at(30), 2), Some(Duration::ZERO));
    assert!((gain.instances - 2.0).abs() < 1e-9 && (gain.completions - 2.0).abs() < 0.1, "{gain:?}");
    assert!(!gain.is_none() && grown(105, 1).unwrap().is_none());
    let gain = grown(200, 2).unwrap();
    assert!((gain.completions - 2.0).abs() < 0.1, "looked at twice as often since: {gain:?}");
    assert_eq!(after((0..=60).map(|s| (s, 1.0))).gain(at(5), WINDOW, at(60)), None, "not watched before");
    assert_eq!(after((0..=60).map(|s| (s, 1.0))).gain(at(50), WINDOW, at(60)), None, "too early");
}

#[test]
fn tunnels_that_fill_what_an_increase_brought_are_no_slow_dependency() {
    let gain = |tunnels: f64| {
        let mut history = History::new(WINDOW);
        for second in 0..=60 {
            // Twice as many serve from the thirtieth second on, and requests find no slot.
            let (serving, work, open) = if second > 30 { (4, 60.0, tunnels) } else { (2, 20.0, 0.0) };
            let totals = BTreeMap::from([(counter(), 100 * second)]);
            history.push(Ok(Measure { serving, totals, tunnels: open, ..measure(second, work) }));
        }
        history.gain(at(30), Duration::from_secs(4), at(60))
    };
    assert!(gain(0.0).unwrap().is_none(), "more that do nothing for more work");
    assert!(gain(3.0).unwrap().is_none(), "of 20 new slots");
    assert_eq!(gain(20.0), None);
}

#[test]
fn old_and_absent_measures_are_unknown() {
    let unknown = |history: &History, now| match history.demand(at(now)) {
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
    assert!((load(&history, 3).work - 9.0).abs() < 1e-9);
}

#[test]
fn only_what_a_window_needs_is_kept() {
    assert!(after((0..10_000).map(|s| (s, 1.0))).points.len() <= 304);
}

#[test]
fn arrivals_are_counted_within_a_process_only() {
    let measured = |second, totals: &[(u32, u64)]| {
        let counter = |pid| Counter::of(crate::sample::Process { node: 0, pid, started: 1 }, "web", "s1");
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

#[test]
fn a_window_has_a_value_a_second_however_often_haproxy_was_read() {
    let raw = crate::RawPolicy {
        id: "p".to_owned(),
        namespace: "default".to_owned(),
        job: "web".to_owned(),
        group: "app".to_owned(),
        min: 1,
        max: 9,
        enabled: true,
        modify_index: 7,
        policy: serde_json::json!({"check": [{"queue": [{
            "query": "concurrency", "query_window": "10s",
            "strategy": [{"threshold": [{"lower_bound": 1, "delta": 1}]}],
        }]}]}),
    };
    let policy = crate::parse(&raw).unwrap();
    for apart in [500, 1000] {
        let mut history = History::new(Duration::from_mins(1));
        for look in 0..=20_000 / apart {
            let at = at(0) + Duration::from_millis(look * apart);
            history.push(Ok(Measure { at, ..measure(0, look as f64) }));
        }
        let all = metrics(&policy, &history, at(20));
        let Some(Metric::Known { values, .. }) = all.get("queue") else { panic!("{all:?}") };
        assert_eq!(values.len(), 11, "{apart} ms: {values:?}");
        assert!(values.is_sorted() && values.last() == Some(&(20_000.0 / apart as f64)), "{values:?}");
    }
}

#[test]
fn a_queue_that_grows_slowly_is_told_from_one_that_swings() {
    // Two looks a second at 120 requests a second: by chance they differ by 15 or so.
    let rushes = |queue: &dyn Fn(u64) -> u64| -> Vec<bool> {
        let mut history = History::new(WINDOW);
        let mut looks = Vec::new();
        for look in 0..=24 {
            let at = at(0) + Duration::from_millis(500 * look);
            let counter = Counter::of(crate::sample::Process { node: 0, pid: 1, started: 1 }, "web", "");
            let (work, totals) = ((20 + queue(look)) as f64, BTreeMap::from([(counter, 60 * look)]));
            history.push(Ok(Measure { at, queued: queue(look) as f64, totals, ..measure(0, work) }));
            let Demand::Known(load) = history.demand(at) else { panic!("it is known") };
            looks.push(load.rushes(Duration::from_millis(250)));
        }
        looks
    };
    let grown = rushes(&|look| 10 * look.saturating_sub(16));
    assert!(!grown[..18].contains(&true) && grown[20..].iter().all(|rushes| *rushes), "{grown:?}");
    assert!(!rushes(&|look| 20 + 14 * (look % 2)).contains(&true));
    assert!(!rushes(&|look| 400 - 10 * look).contains(&true), "it shrinks");
}
