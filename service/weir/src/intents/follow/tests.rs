//! What is believed of Consul's answers, and what is told of it.

use std::collections::BTreeSet;

use weir_pools::intents::{ABOUT, Intent, Place, Wish};

use super::*;
use crate::metrics::Metrics;

fn pair(key: &str, value: &str) -> KeyPair {
    KeyPair { path: format!("weir/it/intents/{key}"), key: key.into(), value: value.into() }
}

fn about() -> KeyPair {
    pair(ABOUT, "text")
}

fn maint(server: &str, until: Option<SystemTime>) -> KeyPair {
    let place = Place { backend: "web".into(), server: server.into(), owner: "bob".into() };
    let since = SystemTime::UNIX_EPOCH;
    let intent = Intent { wish: Wish::Maint, reason: "disk".into(), owner: "bob".into(), since, until };
    pair(&place.key(), &intent.value())
}

fn servers(intents: &Intents) -> BTreeSet<String> {
    intents.iter().map(|(_, server, _)| server.to_owned()).collect()
}

fn catalogue(pairs: Vec<KeyPair>) -> Arc<Catalogue> {
    Arc::new(Catalogue::from_iter([(query("it"), Answer::Pairs(pairs.into()))]))
}

#[test]
fn a_folder_that_is_missing_ends_nothing_and_an_emptied_one_does() {
    let mut follower = Follower::default();
    let now = SystemTime::now();
    assert!(!follower.take(&Arc::default()) && follower.known(now).problems.is_empty(), "the first day");
    assert!(follower.take(&Arc::from([about(), maint("a", None)])));
    assert!(!follower.take(&Arc::from([about(), maint("a", None)])), "no news");

    assert!(!follower.take(&Arc::default()));
    let known = follower.known(now);
    assert_eq!(servers(&known.in_force), BTreeSet::from(["a".to_owned()]));
    assert!(matches!(&known.problems[..], [problem] if problem.contains("key:read")), "{known:?}");

    assert!(follower.take(&Arc::from([about()])));
    assert_eq!(follower.known(now), Known { entries: Arc::from([about()]), ..Known::default() });
}

#[test]
fn an_entry_that_cannot_be_read_is_told_once_and_hides_no_other() {
    let mut follower = Follower::default();
    follower.take(&Arc::from([about(), maint("a", None), pair("web/b/bob", "nonsense")]));
    let (before, now) = (Known::default(), SystemTime::now());
    let known = follower.known(now);
    let records = news(&before, &known, now);
    assert_eq!(records.len(), 2, "{records:?}");
    assert!(matches!(&records[0], Record::Intended(intent) if intent.server == "a"));
    assert!(matches!(&records[1], Record::IntentProblem { problem } if problem.contains("web/b/bob")));
    assert_eq!(news(&known, &known, now), []);
}

struct Followed {
    catalogue: watch::Sender<Arc<Catalogue>>,
    known: watch::Receiver<Arc<Known>>,
    journal: Journal,
    parts: Parts,
    dir: tempfile::TempDir,
}

fn followed() -> Followed {
    let (catalogue, receiver) = watch::channel(Arc::default());
    let journal = Journal::new(Arc::new(Metrics::new().unwrap()));
    let (dir, (parts, _)) = (tempfile::tempdir().unwrap(), Parts::new());
    let known = start("it", dir.path(), receiver, journal.clone(), &parts);
    Followed { catalogue, known, journal, parts, dir }
}

impl Followed {
    async fn until(&mut self, wanted: impl FnMut(&Arc<Known>) -> bool) {
        let met = tokio::time::timeout(Duration::from_secs(20), self.known.wait_for(wanted)).await;
        drop(met.expect("in time").expect("followed"));
    }
}

#[tokio::test]
async fn an_intent_ends_by_itself_in_every_loop() {
    let mut followed = followed();
    let (events, mut queue) = mpsc::channel(8);
    tokio::spawn(deliver(followed.known.clone(), vec![events]));
    let mut next = async || match queue.recv().await {
        Some(Event::Intents(intents)) => servers(&intents),
        other => panic!("{other:?}"),
    };
    assert_eq!(next().await, BTreeSet::new());
    let soon = SystemTime::now() + Duration::from_millis(300);
    followed.catalogue.send_replace(catalogue(vec![about(), maint("a", Some(soon)), maint("b", None)]));
    assert_eq!(next().await.len(), 2);
    assert_eq!(next().await, BTreeSet::from(["b".to_owned()]));
    assert!(SystemTime::now() >= soon);
    followed.until(|known| servers(&known.in_force).len() == 1).await;
    let ended = |record: &Record| matches!(record, Record::IntentEnded { intent, expired: true } if intent.server == "a");
    assert!(followed.journal.since(0).iter().any(|entry| ended(&entry.record)));
}

#[tokio::test]
async fn what_was_known_is_known_after_a_restart_without_consul() {
    let mut followed = followed();
    followed.catalogue.send_replace(catalogue(vec![about(), maint("a", None)]));
    followed.until(|known| !known.in_force.is_empty()).await;
    let (parts, _) = Parts::new();
    let (_silent, receiver) = watch::channel(Arc::default());
    let again = start("it", followed.dir.path(), receiver, followed.journal.clone(), &parts);
    assert_eq!(servers(&again.borrow().in_force), BTreeSet::from(["a".to_owned()]));
    let (_silent, receiver) = watch::channel(Arc::default());
    let elsewhere = start("other", followed.dir.path(), receiver, followed.journal.clone(), &parts);
    assert!(elsewhere.borrow().in_force.is_empty(), "another cluster's");
    parts.cancel.cancel();
    followed.parts.cancel.cancel();
}
