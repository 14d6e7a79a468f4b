//! Strategy `concurrency`: how many slots the work needs, now and when it can be decided again.
//!
//! In: what is known of the load, options, and how long an instance takes to serve. Out: two counts of slots:
//! what the load needs as it is, and what would be asked for, which in a rush also covers the queue that has
//! built up by the time that new instances serve. A rule of thumb for each number stands where it is
//! computed.

use std::time::Duration;

use super::staffing::margin_factor;
use crate::history::Load;
use crate::policy::Concurrency;

/// How far ahead one looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outlook {
    /// From asking for an instance until it serves.
    pub(crate) start: Duration,
    /// From now until instances that the next decision after this one asks for serve.
    pub(crate) horizon: Duration,
    /// Whether a queue grows for good: then the newest second tells more than the last few.
    pub(crate) rush: bool,
}

/// What the load needs, in slots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Need {
    /// Slots that are busy, or would be if there were enough.
    pub(crate) busy: f64,
    /// Slots for that and its spread, as far as it lasts.
    pub(crate) steady: f64,
    /// Fewer than these are too few: half of the spread is covered, so that a count which just fits is kept, and all of the
    /// queue, which does not go by itself.
    pub(crate) least: f64,
    /// Slots for that and for the queue.
    pub(crate) wanted: f64,
    /// Requests that will wait when new instances serve.
    pub(crate) queue: f64,
}

/// What `load` needs.
pub(crate) fn need(load: &Load, options: &Concurrency, outlook: Outlook) -> Need {
    let busy = offered(load, outlook);
    let tunnels = tunnels_then(load, outlook);
    let margin = margin(busy, tunnels, options, outlook);
    let lasting = by_arrivals(load, load.rate, outlook).min(busy);
    let queue = queue_then(load, outlook);
    let clearing = queue * load.service_time.unwrap_or(0.0) / options.queue_drain.as_secs_f64();
    // Nothing is asked for those that are drained; but what they may come back to is not taken away.
    let staying = load.tunnels + load.left;
    let all = busy + tunnels;
    Need {
        busy: all,
        steady: lasting + staying + lasting_margin(lasting, staying, options, outlook),
        least: all + (margin / 2.0).max(clearing),
        wanted: all + margin.max(clearing),
        queue,
    }
}

/// What is kept free for spread and growth. A target that somebody chose stands instead. Tunnels come and go too slowly to
/// spread within the time that is looked ahead.
fn margin(busy: f64, tunnels: f64, options: &Concurrency, outlook: Outlook) -> f64 {
    let all = busy + tunnels;
    if let Some(target) = options.target {
        return all / target - all;
    }
    let spread = margin_factor(options.wait) * busy.sqrt();
    spread.max(Concurrency::HEADROOM * all).max(growth(all, outlook))
}

/// The same for what was needed in a window, whose highest has the spread in it already.
fn lasting_margin(lasting: f64, tunnels: f64, options: &Concurrency, outlook: Outlook) -> f64 {
    let half = margin(lasting, tunnels, options, Outlook { horizon: Duration::ZERO, ..outlook }) / 2.0;
    if options.target.is_some() { half } else { half.max(growth(lasting + tunnels, outlook)) }
}

/// By how much the load may grow before anything can be done about it.
fn growth(busy: f64, outlook: Outlook) -> f64 {
    busy * (Concurrency::GROWTH * outlook.horizon.as_secs_f64()).min(Concurrency::MOST_GROWTH)
}

/// Slots that requests would keep busy. Without a queue they are counted, and a trend is carried on until the next
/// decision can take effect, though never beyond twice of what is. With a queue the count of busy slots only
/// shows how many there are, so it is computed from arrivals.
fn offered(load: &Load, outlook: Outlook) -> f64 {
    let rise = (load.slope * outlook.horizon.as_secs_f64()).clamp(0.0, load.steady + load.tunnels);
    let calm = load.steady + if load.is_saturated() { 0.0 } else { rise };
    let pressed = if load.is_saturated() || outlook.rush {
        by_arrivals(load, arrivals(load, outlook, outlook.horizon), outlook)
    } else {
        0.0
    };
    calm.max(pressed)
}

/// Tunnels that will be open. Without a queue they are counted, and their trend is in that of the busy slots. With one, those who
/// wait and those who arrive will keep the slots that they get, as many of them as did lately.
fn tunnels_then(load: &Load, outlook: Outlook) -> f64 {
    if !(load.is_saturated() || outlook.rush) {
        return load.tunnels;
    }
    let become_one = |requests: f64| load.upgrades * requests;
    let rate = become_one(arrivals(load, outlook, outlook.horizon).unwrap_or(0.0));
    let then = after(outlook.horizon, load.tunnels, rate, load.tunnel_time.unwrap_or(f64::INFINITY));
    then.max(load.tunnels) + become_one(load.queues[0])
}

/// The mean of an infinite-server queue after a time H: of what is there, W, what lasts S fades, and λS builds up:
/// W e^(−H/S) + λS (1 − e^(−H/S)). Where S is without end that is W + λH; where it is short, λS.
fn after(horizon: Duration, there: f64, rate: f64, lasts: f64) -> f64 {
    let horizon = horizon.as_secs_f64();
    if lasts.is_infinite() {
        return there + rate * horizon;
    }
    let fades = (-horizon / lasts).exp();
    there * fades + rate * lasts * (1.0 - fades)
}

/// The work there will be. Without counters, all that waits counts as if it were served.
fn by_arrivals(load: &Load, rate: Option<f64>, outlook: Outlook) -> f64 {
    let Some((rate, time)) = rate.zip(load.service_time).filter(|(rate, _)| *rate > 0.0) else {
        return load.work;
    };
    after(outlook.horizon, load.work, rate, time)
}

/// Requests that arrive after some time: in a rush as many as in any second lately, and what they rise by until then, though
/// never by more than one and a half times of what is; else without what may be chance.
fn arrivals(load: &Load, outlook: Outlook, after: Duration) -> Option<f64> {
    /// A rise may end at any time. What it is carried on to is asked for once, so it may be much.
    const MOST_RISE: f64 = 1.5;
    if !outlook.rush {
        return load.calm_rate.or(load.rate);
    }
    let now = load.newest_rate.into_iter().chain(load.rate).reduce(f64::max)?;
    Some(now + (load.rise * after.as_secs_f64()).min(MOST_RISE * now))
}

/// Requests that wait by the time that instances asked for now serve, where things go on as they do.
fn queue_then(load: &Load, outlook: Outlook) -> f64 {
    let waiting = load.queues[0];
    if waiting <= 0.0 {
        return 0.0;
    }
    let rate = arrivals(load, outlook, outlook.start / 2);
    let growth = rate.zip(done(load)).map_or(0.0, |(rate, done)| rate - done);
    (waiting + growth * outlook.start.as_secs_f64()).max(0.0)
}

/// Requests that the instances which serve do in a second while some wait: what was done lately is still that of
/// before the queue, when fewer slots were busy.
fn done(load: &Load) -> Option<f64> {
    let full = load.capacity().zip(load.service_time).map(|(slots, time)| slots / time);
    load.completions.map(|completed| full.map_or(completed, |full| full.max(completed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook(rush: bool) -> Outlook {
        Outlook { start: Duration::from_secs(4), horizon: Duration::from_secs(10), rush }
    }

    fn slots(load: &Load, options: &Concurrency) -> (f64, f64, f64) {
        let need = need(load, options, outlook(false));
        (need.least.round(), need.steady.round(), need.wanted.round())
    }

    #[test]
    fn without_a_queue_work_and_its_spread() {
        let load = Load { work: 39.0, steady: 39.0, ..Load::default() };
        assert_eq!(slots(&load, &Concurrency::default()), (41.0, 41.0, 43.0));
        let targeted = Concurrency { target: Some(0.8), ..Concurrency::default() };
        assert_eq!(slots(&load, &targeted), (44.0, 44.0, 49.0));
        let large = Load { work: 500.0, steady: 500.0, ..Load::default() };
        assert_eq!(slots(&large, &Concurrency::default()), (525.0, 530.0, 550.0), "a tenth is free at least");
    }

    #[test]
    fn tunnels_need_their_slots_and_no_spread() {
        let load = Load { work: 39.0, steady: 39.0, tunnels: 10.0, ..Load::default() };
        assert_eq!(slots(&load, &Concurrency::default()), (51.0, 52.0, 54.0));
        let alone = Load { tunnels: 200.0, ..Load::default() };
        let (least, _, wanted) = slots(&alone, &Concurrency::default());
        assert_eq!((least, wanted), (210.0, 220.0), "a tenth is free at least");
        let targeted = Concurrency { target: Some(0.5), ..Concurrency::default() };
        let (least, _, wanted) = slots(&alone, &targeted);
        assert_eq!((least, wanted), (300.0, 400.0));
    }

    #[test]
    fn who_waits_for_a_tunnel_will_keep_a_slot() {
        let full = Load {
            work: 6.0,
            queued: 6.0,
            queues: [6.0, 2.0],
            tunnels: 8.0,
            rate: Some(2.0),
            newest_rate: Some(2.0),
            service_time: Some(0.01),
            serving: 2,
            slots: Some(4.0),
            ..Load::default()
        };
        let busy = |upgrades, tunnel_time| {
            need(&Load { upgrades, tunnel_time, ..full.clone() }, &Concurrency::default(), outlook(true)).busy
        };
        let about = |found: f64, expected: f64| assert!((found - expected).abs() < 0.1, "{found} {expected}");
        about(busy(0.0, None), 8.0);
        about(busy(1.0, None), 8.0 + 6.0 + 20.0);
        about(busy(0.5, None), 8.0 + 3.0 + 10.0);
        // Of those that last 5 s, 2 a second make 10.
        about(busy(1.0, Some(5.0)), 8.0 * 0.135 + 10.0 * 0.865 + 6.0);
    }

    #[test]
    fn the_longer_nothing_can_be_done_the_more_is_kept_free() {
        let load = Load { work: 100.0, steady: 100.0, ..Load::default() };
        let wanted = |seconds| {
            let outlook = Outlook { horizon: Duration::from_secs(seconds), ..outlook(false) };
            need(&load, &Concurrency::default(), outlook).wanted.round()
        };
        let found = [10, 30, 50, 600].map(wanted);
        let near =
            found.iter().zip([110.0, 118.0, 130.0, 143.0]).all(|(one, other)| (one - other).abs() < 0.5);
        assert!(near, "{found:?}");
    }

    #[test]
    fn a_trend_is_carried_on_but_not_beyond_twice() {
        let load = |slope| Load { work: 20.0, steady: 20.0, slope, ..Load::default() };
        let busy = |slope| need(&load(slope), &Concurrency::default(), outlook(false)).busy;
        assert!((busy(0.5) - 25.0).abs() < 1e-9 && (busy(9.0) - 40.0).abs() < 1e-9);
    }

    #[test]
    fn with_a_queue_the_arrivals_tell() {
        let load = Load {
            work: 110.0,
            queued: 100.0,
            queues: [320.0, 100.0],
            steady: 10.0,
            rate: Some(220.0),
            newest_rate: Some(300.0),
            completions: Some(77.0),
            service_time: Some(0.13),
            serving: 2,
            slots: Some(5.0),
            ..Load::default()
        };
        let rushed = need(&load, &Concurrency::default(), outlook(true));
        assert!((rushed.busy - 39.0).abs() < 0.1, "{rushed:?}");
        assert!((rushed.queue - 1212.0).abs() < 1.0, "{rushed:?}");
        let clearing = 1212.0 * 0.13 / Concurrency::QUEUE_DRAIN.as_secs_f64();
        assert!((rushed.wanted - 39.0 - clearing).abs() < 0.1, "{rushed:?}");
        let hours = Load { service_time: Some(1e6), ..load };
        let slow = need(&hours, &Concurrency::default(), outlook(true));
        assert!(
            slow.busy < 110.0 + 3001.0,
            "requests of hours: what there is, and what comes until then: {slow:?}"
        );
    }
}
