//! Times of a calendar in cron's five fields: minute, hour, day of the month, month, day of the week.
//!
//! In: text such as `0 9 * * 1-5`, and a moment in a time zone. Out: the next moment that fits. Fails on
//! anything but five fields, and on a time that no calendar has. A time that a change of the clock skips
//! comes when the clock goes on; one that comes twice counts the first time. As in crontab(5), where both
//! days are restricted either will do.

use jiff::civil::{Date, Time};
use jiff::{ToSpan as _, Zoned};

/// A set of small numbers.
type Bits = u64;

/// Some moments of the calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: Bits,
    hours: Bits,
    days: Bits,
    months: Bits,
    weekdays: Bits,
    /// Whether both the day of the month and the day of the week are restricted.
    either_day: bool,
}

/// A field's name, its least and greatest number, and names that stand for numbers, from the least on.
struct Field(&'static str, u32, u32, &'static [&'static str]);

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const MINUTE: Field = Field("minute", 0, 59, &[]);
const HOUR: Field = Field("hour", 0, 23, &[]);
const DAY: Field = Field("day of the month", 1, 31, &[]);
const MONTH: Field = Field("month", 1, 12, MONTHS);
/// 7 is Sunday, as 0 is.
const WEEKDAY: Field = Field("day of the week", 0, 7, WEEKDAYS);

/// A leap day that falls on a given weekday comes once in 28 years; over a turn of a century, in 40.
const SEARCH_DAYS: usize = 41 * 366;

impl Cron {
    /// Reads the five fields; the error says which is wrong, and what may stand there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!(
                "it has {} fields and needs five: minute hour day month weekday, such as \"0 9 * * 1-5\"",
                fields.len()
            ));
        };
        let sundays = set(weekday, &WEEKDAY)?;
        let cron = Self {
            text: fields.join(" "),
            minutes: set(minute, &MINUTE)?,
            hours: set(hour, &HOUR)?,
            days: set(day, &DAY)?,
            months: set(month, &MONTH)?,
            weekdays: (sundays | (sundays >> 7)) & 0x7f,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        if cron.comes() { Ok(cron) } else { Err("no calendar has such a day".to_owned()) }
    }

    /// The text that it was read from, with single spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Some date of 28 years fits.
    fn comes(&self) -> bool {
        let start = jiff::civil::date(2000, 1, 1);
        start.series(1.day()).take(SEARCH_DAYS).any(|date| self.has_date(date))
    }

    /// The first moment after `after` that fits.
    pub fn next(&self, after: &Zoned) -> Option<Zoned> {
        let dates = after.date().series(1.day()).take(SEARCH_DAYS).filter(|date| self.has_date(*date));
        let moments = dates.flat_map(|date| self.times().map(move |time| date.to_datetime(time)));
        let zoned = moments.filter_map(|moment| moment.to_zoned(after.time_zone().clone()).ok());
        zoned.into_iter().find(|moment| moment > after)
    }

    fn has_date(&self, date: Date) -> bool {
        let day = has(self.days, date.day().unsigned_abs().into());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset().unsigned_abs().into());
        let fits = if self.either_day { day || weekday } else { day && weekday };
        fits && has(self.months, date.month().unsigned_abs().into())
    }

    /// Its times of a day, in order.
    fn times(&self) -> impl Iterator<Item = Time> + '_ {
        let hours = (0i8..24).filter(|hour| has(self.hours, hour.unsigned_abs().into()));
        hours.flat_map(|hour| {
            let minutes = (0i8..60).filter(|minute| has(self.minutes, minute.unsigned_abs().into()));
            minutes.map(move |minute| Time::constant(hour, minute, 0, 0))
        })
    }
}

fn has(set: Bits, number: u32) -> bool {
    set >> number & 1 == 1
}

/// Reads one field: `*`, or a list of numbers and ranges, each with a step or without.
fn set(text: &str, field: &Field) -> Result<Bits, String> {
    let mut set = 0;
    for part in text.split(',') {
        set |= range(part, field).ok_or_else(|| {
            let Field(name, least, greatest, _) = field;
            format!("{part:?} is no {name}: write {least} to {greatest}, a range, a list, or *")
        })?;
    }
    Ok(set)
}

fn range(part: &str, field: &Field) -> Option<Bits> {
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(digits(step)?)),
        None => (part, None),
    };
    let (first, last) = match (range, range.split_once('-')) {
        ("*", _) => (field.1, field.2),
        (_, Some((first, last))) => (number(first, field)?, number(last, field)?),
        // `5/15` is from 5 on; `5` alone is 5.
        (one, None) => (number(one, field)?, if step.is_some() { field.2 } else { number(one, field)? }),
    };
    let step = step.unwrap_or(1);
    let sound = first <= last && step > 0;
    sound.then(|| (first..=last).step_by(step as usize).fold(0, |set, number| set | 1 << number))
}

fn number(text: &str, field: &Field) -> Option<u32> {
    let Field(_, least, greatest, names) = field;
    let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let number = match named {
        Some(place) => least + u32::try_from(place).ok()?,
        None => digits(text)?,
    };
    (*least..=*greatest).contains(&number).then_some(number)
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
