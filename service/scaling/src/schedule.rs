//! When something holds: from a moment of the calendar to another one, or for a time.
//!
//! In: a schedule and a moment. Out: whether it is within. As with KEDA's cron scaler a span is open where
//! its next end comes before its next start.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::cron::Cron;
use crate::duration::format_duration;

/// Spans of time that come again and again, and what holds in them.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// When a span starts.
    pub start: Cron,
    /// How it ends.
    pub end: End,
    /// The zone's IANA name.
    pub timezone: String,
    /// The zone that `start` and `end` are times of.
    pub zone: TimeZone,
    /// The fewest instances within; `None`: it is no floor.
    pub min: Option<u64>,
    /// The most instances within; `None`: it is no ceiling.
    pub max: Option<u64>,
}

/// How a span ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// At a moment.
    At(Cron),
    /// After a time.
    After(Duration),
}

impl Schedule {
    /// Whether `now` is within one of its spans.
    pub fn is_open(&self, now: SystemTime) -> bool {
        let Ok(now) = Timestamp::try_from(now) else { return false };
        let now = now.to_zoned(self.zone.clone());
        match &self.end {
            End::At(end) => self.opens_and_closes(end, &now),
            End::After(time) => now.checked_sub(*time).is_ok_and(|then| self.starts_within(&then, &now)),
        }
    }

    /// The next end is before the next start.
    fn opens_and_closes(&self, end: &Cron, now: &Zoned) -> bool {
        match (end.next(now), self.start.next(now)) {
            (Some(end), Some(start)) => end <= start,
            _ => false,
        }
    }

    /// A start lies after `then` and not after `now`.
    fn starts_within(&self, then: &Zoned, now: &Zoned) -> bool {
        self.start.next(then).is_some_and(|start| start <= *now)
    }

    /// Whether it says when checks vote, rather than how many instances there are.
    pub fn is_gate(&self) -> bool {
        self.min.is_none() && self.max.is_none()
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (end, duration) = match &self.end {
            End::At(end) => (Some(end.text()), None),
            End::After(time) => (None, Some(format_duration(*time))),
        };
        let mut schedule = serializer.serialize_struct("Schedule", 6)?;
        schedule.serialize_field("start", self.start.text())?;
        schedule.serialize_field("end", &end)?;
        schedule.serialize_field("duration", &duration)?;
        schedule.serialize_field("timezone", &self.timezone)?;
        schedule.serialize_field("min", &self.min)?;
        schedule.serialize_field("max", &self.max)?;
        schedule.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    fn schedule(start: &str, end: End) -> Schedule {
        let (timezone, zone) = ("Europe/Berlin".to_owned(), TimeZone::fixed(jiff::tz::offset(1)));
        Schedule { start: Cron::parse(start).unwrap(), end, timezone, zone, min: None, max: None }
    }

    #[test]
    fn from_a_moment_to_another_in_its_own_zone() {
        let office = schedule("0 9 * * 1-5", End::At(Cron::parse("0 17 * * 1-5").unwrap()));
        let monday = |time: &str| office.is_open(at(&format!("2026-03-02T{time}Z")));
        assert!(!monday("07:59:59") && monday("08:00:00") && monday("15:59:59") && !monday("16:00:00"));
        assert!(!office.is_open(at("2026-03-01T12:00:00Z")), "a Sunday");
    }

    #[test]
    fn over_midnight_and_for_a_time() {
        let night = schedule("0 22 * * *", End::At(Cron::parse("0 6 * * *").unwrap()));
        assert!(night.is_open(at("2026-03-02T23:30:00Z")) && !night.is_open(at("2026-03-02T05:00:00Z")));
        let shift = schedule("0 22 * * *", End::After(Duration::from_hours(8)));
        assert!(shift.is_open(at("2026-03-02T21:00:00Z")) && shift.is_open(at("2026-03-03T04:59:59Z")));
        assert!(!shift.is_open(at("2026-03-02T20:59:59Z")) && !shift.is_open(at("2026-03-03T05:00:00Z")));
    }
}
