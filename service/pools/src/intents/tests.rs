//! Keys and values there and back, expiry, and who counts.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Names with all that makes trouble in a key.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9:._,/%-]{1,12}", r"[.:/_,]{1,4}", "\\PC{1,8}"]
}

fn place() -> impl Strategy<Value = Place> {
    (name(), name(), name()).prop_map(|(backend, server, owner)| Place { backend, server, owner })
}

fn time() -> impl Strategy<Value = SystemTime> {
    (0_u64..4_000_000_000, 0_u32..1_000_000_000)
        .prop_map(|(seconds, nanos)| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos))
}

fn intent() -> impl Strategy<Value = Intent> {
    let wish = prop_oneof![Just(Wish::Drain), Just(Wish::Maint)];
    (wish, "\\PC{0,200}", name(), time(), proptest::option::of(time()))
        .prop_map(|(wish, reason, owner, since, until)| Intent { wish, reason, owner, since, until })
}

/// Intents of few servers, so that several owners meet.
fn intents() -> impl Strategy<Value = Intents> {
    proptest::collection::vec(("[ab]", "[xy]", intent()), 0..12).prop_map(|all| {
        let mut intents = Intents::default();
        for (backend, server, intent) in all {
            intents.insert(&backend, &server, intent);
        }
        intents
    })
}

fn entries(intents: &Intents) -> Vec<(String, String)> {
    let entry = |(backend, server, intent): (&str, &str, &Intent)| {
        let (backend, server, owner) = (backend.to_owned(), server.to_owned(), intent.owner.clone());
        (Place { backend, server, owner }.key(), intent.value())
    };
    intents.iter().map(entry).collect()
}

fn read(entries: &[(String, String)]) -> (Intents, Vec<Malformed>) {
    Intents::read(entries.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

proptest! {
    #[test]
    fn a_key_is_read_as_it_was_written(place in place()) {
        prop_assert_eq!(Place::read(&place.key()), Ok(place));
    }

    #[test]
    fn a_key_is_one_that_every_consul_takes(place in place()) {
        let key = place.key();
        prop_assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.,/".contains(c)), "{}", key);
        prop_assert!(!key.contains("..") && !key.starts_with('/') && !key.contains("//"), "{}", key);
        prop_assert!(key.split('/').all(|part| part != "." && !part.starts_with('.')), "{}", key);
        prop_assert_eq!(key.split('/').count(), 3);
    }

    #[test]
    fn two_places_never_have_one_key(places in proptest::collection::vec(place(), 2..20)) {
        let names: BTreeSet<_> = places.iter().map(|p| (&p.backend, &p.server, &p.owner)).collect();
        let keys: BTreeSet<_> = places.iter().map(Place::key).collect();
        prop_assert_eq!(names.len(), keys.len());
    }

    #[test]
    fn any_key_is_read_as_itself_or_not_at_all(key in "[a-f0-9_,./-]{0,12}/[a-f0-9_,./-]{0,6}/[a-f0-9_,]{0,6}") {
        if let Ok(place) = Place::read(&key) {
            prop_assert_eq!(place.key(), key);
        }
    }

    #[test]
    fn intents_are_read_as_they_were_written(intents in intents()) {
        prop_assert_eq!(read(&entries(&intents)), (intents, vec![]));
    }

    #[test]
    fn what_cannot_be_read_hides_no_other(intents in intents(), value in "\\PC{0,20}", at in any::<prop::sample::Index>()) {
        let mut all = entries(&intents);
        all.insert(at.index(all.len() + 1), ("web/10.0.0.1,80/zoe".into(), format!("{{{value}")));
        let (rest, malformed) = read(&all);
        prop_assert_eq!(rest, intents);
        prop_assert_eq!(malformed.len(), 1);
        prop_assert_eq!(malformed[0].key.as_str(), "web/10.0.0.1,80/zoe");
    }

    #[test]
    fn at_the_next_expiry_something_ends_and_nothing_before(intents in intents(), now in time()) {
        let before = intents.in_force(now);
        let Some(next) = before.next_expiry(now) else {
            prop_assert!(before.iter().all(|(.., intent)| intent.until.is_none()));
            return Ok(());
        };
        prop_assert!(next > now);
        prop_assert_eq!(&intents.in_force(next - Duration::from_nanos(1)), &before);
        prop_assert!(intents.in_force(next).iter().count() < before.iter().count());
    }

    #[test]
    fn maintenance_counts_more_than_a_drain(intents in intents()) {
        for (backend, server, intent) in intents.iter() {
            let strongest = intents.strongest(backend, server).unwrap();
            prop_assert!(strongest.wish >= intent.wish);
            let ends_sooner = strongest.wish == intent.wish && intent.until.is_none();
            prop_assert!(!ends_sooner || strongest.until.is_none());
        }
    }
}

#[test]
fn keys_are_readable() {
    let key = |backend: &str, server: &str, owner: &str| {
        let [backend, server, owner] = [backend, server, owner].map(str::to_owned);
        Place { backend, server, owner }.key()
    };
    assert_eq!(key("web", "10.0.0.1:8080", "alice"), "web/10.0.0.1,8080/alice");
    assert_eq!(key("app_web", "::1:81", "scaler:web/app"), "app__web/,,1,81/scaler,web_2fapp");
    assert_eq!(key(".", "..", "a b"), "_2e/_2e_2e/a_20b");
    assert_eq!(prefix("default"), "weir/default/intents/");
}

#[test]
fn an_entry_that_a_person_wrote_needs_only_its_wish() {
    let (intents, malformed) =
        Intents::read([("web/a/bob", r#"{"wish": "maint", "until": null, "ticket": 7}"#)]);
    assert_eq!(malformed, []);
    let intent = intents.strongest("web", "a").unwrap();
    assert_eq!((intent.wish, intent.owner.as_str(), intent.until), (Wish::Maint, "bob", None));
    assert_eq!((intent.reason.as_str(), intent.since), ("", SystemTime::UNIX_EPOCH));
}

#[test]
fn what_is_wrong_with_an_entry_is_said() {
    let cases = [
        ("web/a", r#"{"wish":"maint"}"#, "BACKEND/SERVER/OWNER"),
        ("web/a:1/bob", r#"{"wish":"maint"}"#, "not written as weir does"),
        ("web/a_41/bob", r#"{"wish":"maint"}"#, "not written as weir does"),
        ("web/a_0a/bob", r#"{"wish":"maint"}"#, "control character"),
        ("web/a/bob", r#"{"wish":"stop"}"#, "unknown variant `stop`"),
        ("web/a/bob", r#"{"wish":"maint","until":"tomorrow"}"#, "2026-02-03T14:05:00Z"),
        ("web/a/bob", "", "EOF"),
    ];
    for (key, value, why) in cases {
        let (intents, malformed) = Intents::read([(key, value), (ABOUT, "text")]);
        assert!(intents.is_empty());
        let [one] = &malformed[..] else { panic!("{malformed:?}") };
        assert!(one.to_string().contains(key) && one.why.contains(why), "{one}");
    }
}

#[test]
fn a_reason_stays_one_line_and_a_time_that_cannot_be_written_is_the_last_that_can() {
    let until = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40));
    let (wish, since) = (Wish::Drain, SystemTime::UNIX_EPOCH);
    let intent = Intent { wish, reason: "a\x1b[2J\nb".into(), owner: "bob".into(), since, until };
    let (intents, _) = Intents::read([("web/a/bob", intent.value().as_str())]);
    let read = intents.strongest("web", "a").unwrap();
    assert_eq!(read.reason, "a [2J b");
    assert!(read.until > Some(since + Duration::from_secs(200_000_000_000)));
}
