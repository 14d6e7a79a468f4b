//! An intent in words: `maintenance by alice until 14:05: kernel update`.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use weir_pools::intents::{Intent, Wish};

use crate::short::short_words;

/// The intent in words, with the time of this machine's zone.
pub(crate) fn words(intent: &Intent, now: Timestamp) -> String {
    in_zone(intent, now, &TimeZone::system())
}

fn in_zone(intent: &Intent, now: Timestamp, zone: &TimeZone) -> String {
    let what = match intent.wish {
        Wish::Wake => "requests held",
        Wish::Drain => "drain",
        Wish::Maint => "maintenance",
    };
    let until = intent.until.and_then(|until| Timestamp::try_from(until).ok());
    let until = until.map_or(String::new(), |until| format!(" until {}", moment(until, now, zone)));
    let reason = if intent.reason.is_empty() { String::new() } else { format!(": {}", intent.reason) };
    short_words(&format!("{what} by {}{until}{reason}", intent.owner))
}

/// The time of day, and the date where it is another.
fn moment(time: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let (time, now) = (time.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
    let format = if time.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    time.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_said_where_it_is_another() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut intent = Intent {
            wish: Wish::Maint,
            reason: "kernel update".into(),
            owner: "alice".into(),
            since: std::time::SystemTime::UNIX_EPOCH,
            until: Some(time("2026-02-03T23:05:00Z").into()),
        };
        let now = time("2026-02-03T12:00:00Z");
        let east = TimeZone::fixed(jiff::tz::offset(2));
        let said = |intent: &Intent, zone: &TimeZone| in_zone(intent, now, zone);
        assert_eq!(said(&intent, &TimeZone::UTC), "maintenance by alice until 23:05: kernel update");
        assert_eq!(said(&intent, &east), "maintenance by alice until 2026-02-04 01:05: kernel update");
        (intent.until, intent.reason, intent.wish) = (None, String::new(), Wish::Drain);
        assert_eq!(said(&intent, &east), "drain by alice");
    }
}
