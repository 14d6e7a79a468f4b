use jiff::tz::TimeZone;

use super::*;

#[track_caller]
fn next(cron: &str, after: &str) -> String {
    let after: jiff::civil::DateTime = after.parse().unwrap();
    let after = after.to_zoned(TimeZone::UTC).unwrap();
    let next = Cron::parse(cron).unwrap().next(&after).unwrap();
    next.strftime("%F %H:%M %a").to_string()
}

#[test]
fn the_next_moment() {
    let friday = "2026-03-06T12:30:00";
    assert_eq!(next("*/15 * * * *", friday), "2026-03-06 12:45 Fri");
    assert_eq!(next("30 12 * * *", friday), "2026-03-07 12:30 Sat", "strictly after");
    assert_eq!(next("0 9 * * 1-5", friday), "2026-03-09 09:00 Mon");
    assert_eq!(next("0 9 * * mon,Sun", friday), "2026-03-08 09:00 Sun");
    assert_eq!(next("0 0 * * 7", friday), "2026-03-08 00:00 Sun");
    assert_eq!(next("5/20 3 1 jan *", friday), "2027-01-01 03:05 Fri");
    assert_eq!(next("0 0 29 2 *", friday), "2028-02-29 00:00 Tue");
    assert_eq!(next("0 0 13 * 5", friday), "2026-03-13 00:00 Fri", "either day will do");
    assert_eq!(next("0 0 10 * 5", friday), "2026-03-10 00:00 Tue", "either day will do");
}

#[test]
fn what_is_no_cron() {
    for wrong in
        ["", "* * * *", "* * * * * *", "@daily", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *"]
    {
        assert!(Cron::parse(wrong).is_err(), "{wrong:?}");
    }
    for wrong in
        ["* * * * 8", "5-1 * * * *", "*/0 * * * *", "a * * * *", "1, * * * *", "-1 * * * *", "0 0 30 2 *"]
    {
        assert!(Cron::parse(wrong).is_err(), "{wrong:?}");
    }
    let error = Cron::parse("0 25 * * *").unwrap_err();
    assert_eq!(error, "\"25\" is no hour: write 0 to 23, a range, a list, or *");
}

#[test]
fn a_skipped_time_comes_and_a_double_one_comes_once() {
    // A zone whose clock goes from 2:00 to 3:00 on 2026-03-29, and back on 2026-10-25.
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let at = |text: &str| text.parse::<jiff::civil::DateTime>().unwrap().to_zoned(zone.clone()).unwrap();
    let cron = Cron::parse("30 2 * * *").unwrap();
    assert_eq!(cron.next(&at("2026-03-28T12:00")).unwrap(), at("2026-03-29T03:30"));
    let first = cron.next(&at("2026-10-24T12:00")).unwrap();
    assert_eq!(first.offset().seconds(), 7200);
    assert_eq!(cron.next(&first).unwrap(), at("2026-10-26T02:30"));
}
