//! What was measured lately, and the load that it amounts to.
//!
//! In: one or two [`Measure`]s a second, or why there is none. Out: a [`Demand`], and series of a signal for
//! the strategies that look at a window. Where the newest measure is too old the load is unknown. What
//! happens within a second is smoothed; a calm stretch is averaged over its whole length, so that a count
//! follows changes and not chance.

mod gain;
mod load;
mod point;
mod ramp;
mod signals;
mod statistics;

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use crate::demand::{Measure, Unknown};
use point::Point;
use ramp::ramp;
use statistics::{mean, slope};

pub use gain::Gain;
pub use load::{Demand, Load};
pub use signals::{Metric, metrics};

/// The time that a gauge is averaged over. HAProxy is read once or twice a second; a few readings take the edge off a
/// moment's burst and delay an increase by one second in the mean.
pub const SMOOTHING: Duration = Duration::from_secs(3);

/// How old the newest measure may be; also the longest gap that a covered window may have.
pub const FRESH: Duration = Duration::from_secs(5);

/// What is kept at least: enough to tell whether the last increase brought anything.
const KEEP: Duration = Duration::from_mins(5);
/// A calm stretch is found part by part, each so long,
const PART: Duration = Duration::from_secs(5);
/// and at most so many of them.
const STRETCH: u32 = 6;
/// How far the mean of a part may be from that of the newer ones to belong to them, in square roots of it:
/// the number of busy slots spreads by its square root, whatever the service times are (M/G/∞).
const CHANCE: f64 = 1.25;
/// The time that a trend must have gone on for.
const TREND: Duration = Duration::from_secs(30);
/// How many standard errors a slope is away from 0 where it is none by chance: 1 of 370.
const SIGNIFICANT: f64 = 3.0;
/// The time in which arrivals that rise are told from such that jumped: twelve looks, of which some show the level before.
const RAMP: Duration = Duration::from_secs(6);
/// The time in which the growth of a queue is told from chance: four looks, give or take.
const GROWING: Duration = Duration::from_millis(2100);
/// The time that arrivals are averaged over where nothing hurries.
const CALM: Duration = Duration::from_secs(10);
/// The time that service times and error rates are a mean of.
const MINUTE: Duration = Duration::from_mins(1);
/// How long requests that last may take to show how long they do, after their number jumped.
const UNSEEN: Duration = Duration::from_secs(45);
/// HAProxy is read once a second or twice, give or take.
const ABOUT_A_SECOND: f64 = 0.9;
/// So many arrivals tell a rate: it is off by a tenth.
const MANY: f64 = 100.0;
/// Fewer requests than this tell no service time: their mean is off by more than a fifth.
const ENOUGH: f64 = 25.0;

/// The measures of one group, oldest first.
#[derive(Debug, Clone)]
pub struct History {
    keep: Duration,
    points: VecDeque<Point>,
    /// When the measures without a gap begin.
    since: Option<SystemTime>,
    newest: Option<Measure>,
    unknown: Option<Unknown>,
}

impl History {
    /// An empty one that can answer for windows up to `keep`.
    pub fn new(keep: Duration) -> Self {
        Self { keep: keep.max(KEEP), points: VecDeque::new(), since: None, newest: None, unknown: None }
    }

    /// From now on answers for windows up to `keep`, where that is more than before.
    pub fn keep_at_least(&mut self, keep: Duration) {
        if keep > self.keep {
            self.keep = keep;
            // What was forgotten does not come back.
            self.since = self.points.front().map(|oldest| oldest.at).max(self.since);
        }
    }

    /// Takes in what a reading said. A measure that is not newer than the last one is dropped, unless the
    /// clock was set back by more than [`FRESH`]: then all begins anew.
    pub fn push(&mut self, measured: Result<Measure, Unknown>) {
        match measured {
            Err(unknown) => self.unknown = Some(unknown),
            Ok(measure) => self.add(measure),
        }
    }

    fn add(&mut self, measure: Measure) {
        if let Some(last) = self.points.back() {
            if last.at.duration_since(measure.at).is_ok_and(|back| back > FRESH) {
                self.points.clear();
                self.newest = None;
            } else if measure.at <= last.at {
                return;
            }
        }
        self.note_gap(measure.at);
        let at = measure.at;
        let before = self.newest.as_ref().filter(|before| within(before.at, at, FRESH));
        self.points.push_back(Point::of(&measure, before));
        self.newest = Some(measure);
        self.unknown = None;
        self.forget(at);
    }

    /// A gap, or the first measure of all, begins a new stretch.
    fn note_gap(&mut self, at: SystemTime) {
        let follows = self.points.back().is_some_and(|last| within(last.at, at, FRESH));
        if !follows {
            self.since = Some(at);
        }
    }

    fn forget(&mut self, now: SystemTime) {
        let keep = self.keep + SMOOTHING;
        while self.points.front().is_some_and(|point| !within(point.at, now, keep)) {
            self.points.pop_front();
        }
    }

    /// The load at `now`.
    pub fn demand(&self, now: SystemTime) -> Demand {
        match self.fresh(now) {
            Ok(newest) => Demand::Known(self.load(newest)),
            Err(reason) => Demand::Unknown { reason },
        }
    }

    /// The newest measure, or why there is none that counts.
    fn fresh(&self, now: SystemTime) -> Result<&Measure, String> {
        let Some(newest) = &self.newest else {
            return Err(self
                .unknown
                .as_ref()
                .map_or("HAProxy was not read yet".to_owned(), ToString::to_string));
        };
        if within(newest.at, now, FRESH) {
            return Ok(newest);
        }
        let age = now.duration_since(newest.at).unwrap_or_default().as_secs();
        let why = self.unknown.as_ref().map(|unknown| format!(": {unknown}")).unwrap_or_default();
        Err(format!("the newest measure is {age} s old{why}"))
    }

    fn load(&self, newest: &Measure) -> Load {
        let mut queues = self.points.iter().rev().map(|point| point.queued);
        let errors = self.rate(SMOOTHING, |point| point.errors);
        Load {
            work: self.mean(SMOOTHING, |point| point.work),
            queued: self.mean(SMOOTHING, |point| point.queued),
            tunnels: self.mean(SMOOTHING, |point| point.tunnels),
            left: self.mean(SMOOTHING, |point| point.left),
            upgrades: self.upgrades(),
            tunnel_time: self.tunnel_time(),
            queues: [queues.next().unwrap_or(0.0), queues.next().unwrap_or(0.0)],
            growth: self.growth(),
            steady: self.steady(),
            slope: self.slope(),
            rate: self.rate(SMOOTHING, |point| point.arrived),
            calm_rate: self.rate(CALM, |point| point.arrived),
            newest_rate: self.newest_rate(),
            rise: self.rise(),
            completions: self.rate(SMOOTHING, |point| point.completed),
            service_time: self.service_time(),
            errors,
            errors_rise: self.errors_rise(errors),
            idle: self.idle(newest.at),
            serving: newest.serving,
            slots: newest.slots,
            missing: newest.missing.clone(),
        }
    }

    /// The points of the last `span`, newest first.
    fn latest(&self, span: Duration) -> impl Iterator<Item = &Point> {
        let newest = self.points.back().map(|point| point.at);
        self.points.iter().rev().take_while(move |point| {
            newest.is_some_and(|newest| newest.duration_since(point.at).is_ok_and(|age| age < span))
        })
    }

    fn mean(&self, span: Duration, of: impl Fn(&Point) -> f64) -> f64 {
        mean(&self.latest(span).map(of).collect::<Vec<_>>())
    }

    /// So much a second, over the last `span`.
    fn rate(&self, span: Duration, of: impl Fn(&Point) -> f64) -> Option<f64> {
        let (mut sum, mut time) = (0.0, 0.0);
        for point in self.latest(span).filter(|point| point.seconds > 0.0) {
            sum += of(point);
            time += point.seconds;
        }
        (time > 0.0).then(|| sum / time)
    }

    /// By how much the queue has grown since one of the last looks, in square roots of what arrived meanwhile, where that is
    /// most: a slow growth is no chance after four looks that might be one after the first.
    fn growth(&self) -> f64 {
        let Some(newest) = self.points.back() else { return 0.0 };
        let (mut growth, mut arrived) = (0.0_f64, newest.arrived);
        for point in self.latest(GROWING).skip(1) {
            growth = growth.max((newest.queued - point.queued) / arrived.max(newest.queued).max(1.0).sqrt());
            arrived += point.arrived;
        }
        growth
    }

    /// Arrivals of the last second; of less where they are enough to tell.
    fn newest_rate(&self) -> Option<f64> {
        let (mut sum, mut time) = (0.0, 0.0);
        for point in self.points.iter().rev().take_while(|point| point.seconds > 0.0) {
            sum += point.arrived;
            time += point.seconds;
            if time >= ABOUT_A_SECOND || sum >= MANY {
                break;
            }
        }
        (time > 0.0).then(|| sum / time)
    }

    /// By how much the rate of arrivals rises in a second, where it does so steadily.
    fn rise(&self) -> f64 {
        let points: Vec<&Point> = self.latest(RAMP).filter(|point| point.seconds > 0.0).collect();
        let Some(newest) = points.first() else { return 0.0 };
        let rates =
            points.iter().rev().map(|point| (-seconds(point.at, newest.at), point.arrived / point.seconds));
        ramp(&rates.collect::<Vec<_>>())
    }

    /// The mean of the busy slots over the longest time whose every part could belong to it.
    fn steady(&self) -> f64 {
        let mut steady = self.mean(SMOOTHING, Point::busy);
        let (mut sum, mut count) = (0.0, 0);
        for part in 0..STRETCH {
            let busy: Vec<f64> = self.part(part).map(Point::busy).collect();
            let fits = (mean(&busy) - steady).abs() <= CHANCE * steady.max(1.0).sqrt();
            if busy.is_empty() || !fits {
                break;
            }
            sum += busy.iter().sum::<f64>();
            count += busy.len();
            steady = sum / count as f64;
        }
        steady
    }

    /// The points of one part of a stretch; 0 is the newest.
    fn part(&self, number: u32) -> impl Iterator<Item = &Point> {
        let newest = self.points.back().map(|point| point.at);
        let end = newest.and_then(|newest| newest.checked_sub(PART * number));
        let inside = move |point: &&Point| {
            end.is_some_and(|end| end.duration_since(point.at).is_ok_and(|age| age < PART))
        };
        self.latest(PART * (number + 1)).filter(inside)
    }

    /// The rise of the busy slots, those of tunnels too, where it is no chance, and went on through both halves of the window: a
    /// jump does not, and neither does a rise that is over. Less than most of the window is no trend: after a
    /// start all connections come back.
    fn slope(&self) -> f64 {
        let points: Vec<&Point> = self.latest(TREND).collect();
        let (Some(newest), Some(oldest)) = (points.first(), points.last()) else { return 0.0 };
        if seconds(oldest.at, newest.at) < 0.8 * TREND.as_secs_f64() {
            return 0.0;
        }
        let values: Vec<(f64, f64)> =
            points.iter().map(|point| (seconds(oldest.at, point.at), point.busy() + point.tunnels)).collect();
        let (late, early) = values.split_at(values.len() / 2);
        match (slope(&values), slope(early), slope(late)) {
            (Some((rise, sure)), Some((early, _)), Some((late, _))) if sure > SIGNIFICANT => {
                rise.min(early).min(late).max(0.0)
            }
            _ => 0.0,
        }
    }

    /// Of the last minute, or of the one before what may not be seen yet: after a jump the many short requests are done with
    /// and the long ones have only begun, so that the mean is too low for as long as these last.
    fn service_time(&self) -> Option<f64> {
        let now = self.points.back()?.at;
        let before = now.checked_sub(UNSEEN).and_then(|then| self.service_time_at(then));
        let newest = self.service_time_at(now)?;
        Some(before.map_or(newest, |before| before.max(newest)))
    }

    /// Of the minute up to `then`, by Little's law: the time that slots were busy, over the requests that were done.
    fn service_time_at(&self, then: SystemTime) -> Option<f64> {
        let (mut busy, mut done) = (0.0, 0.0);
        for point in self.points.iter().filter(|point| point.at <= then && within(point.at, then, MINUTE)) {
            busy += point.busy() * point.seconds;
            done += point.completed;
        }
        (done >= ENOUGH && busy > 0.0).then(|| busy / done)
    }

    /// The share of the requests of the last minute that became tunnels; of all that is kept, where none was done in that.
    fn upgrades(&self) -> f64 {
        let share = |points: &mut dyn Iterator<Item = &Point>| {
            let sum = |(begun, done), point: &Point| (begun + point.begun, done + point.completed);
            let (begun, done): (f64, f64) = points.fold((0.0, 0.0), sum);
            (done >= 1.0).then(|| (begun / done).min(1.0))
        };
        // Where every slot was a tunnel's for as long, what was before is all that is known.
        share(&mut self.latest(MINUTE)).or_else(|| share(&mut self.points.iter())).unwrap_or(0.0)
    }

    /// How long tunnels last, by Little's law over all that is kept.
    fn tunnel_time(&self) -> Option<f64> {
        let open = |point: &Point| (point.tunnels + point.left) * point.seconds;
        let ended: f64 = self.points.iter().map(|point| point.ended).sum();
        let time = self.points.iter().map(open).sum::<f64>() / ended;
        (time.is_finite() && time > 0.0).then_some(time)
    }

    /// Twice as many as in the minute before, and more than one request in a hundred.
    fn errors_rise(&self, now: Option<f64>) -> bool {
        let before = self.rate(MINUTE, |point| point.errors);
        let (Some(now), Some(before), Some(rate)) =
            (now, before, self.rate(SMOOTHING, |point| point.arrived))
        else {
            return false;
        };
        now > 2.0 * before && now > 0.01 * rate
    }

    fn idle(&self, now: SystemTime) -> Option<Duration> {
        let busy = self.points.iter().rev().find(|point| point.is_busy());
        let since = match busy {
            Some(busy) => busy.at.max(self.since?),
            None => self.since?,
        };
        let idle = self.points.back().is_some_and(|point| !point.is_busy());
        idle.then(|| now.duration_since(since).unwrap_or_default())
    }
}

fn seconds(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or_default().as_secs_f64()
}

/// Whether `then` lies at most `span` before `now`; a time to come counts as now.
fn within(then: SystemTime, now: SystemTime, span: Duration) -> bool {
    now.duration_since(then).is_ok_and(|age| age <= span) || then > now
}

#[cfg(test)]
mod tests;
