//! What is written, against a Consul in this process.

use std::collections::BTreeSet;

use weir_consul::{Options, TokenSource};
use weir_devcluster::Cluster;
use weir_pools::KeyPair;

use super::*;

fn asked(owner: &str, wish: Wish, lasting: Option<u64>, reason: Option<&str>) -> Asked {
    let (lasting, reason) = (lasting.map(Duration::from_secs), reason.map(str::to_owned));
    Asked { wish, owner: owner.into(), lasting, reason }
}

#[test]
fn what_is_not_said_stays_as_it_was() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let now = start + Duration::from_millis(400);
    let first = merged(None, &asked("bob", Wish::Maint, Some(60), Some("disk")), now);
    assert_eq!((first.until, first.since), (Some(start + Duration::from_secs(61)), start));
    let later = start + Duration::from_secs(30);
    assert_eq!(merged(Some(&first), &asked("bob", Wish::Maint, None, None), later), first);
    let longer = merged(Some(&first), &asked("bob", Wish::Maint, Some(60), None), later);
    assert_eq!(longer, Intent { until: Some(later + Duration::from_secs(61)), ..first.clone() });
    let other = merged(Some(&first), &asked("bob", Wish::Drain, None, None), later);
    assert_eq!(other, Intent { wish: Wish::Drain, since: later, ..first.clone() });
    let after = start + Duration::from_secs(61);
    assert_eq!(merged(Some(&first), &asked("bob", Wish::Maint, None, None), after).until, None);
}

struct Desk {
    _cluster: Cluster,
    book: Book,
    known: watch::Sender<Arc<Known>>,
}

async fn desk() -> Desk {
    // Only the first call does something.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = Cluster::start(weir_devcluster::Options::default()).await.unwrap();
    let (address, token) = (cluster.consul_addr().to_string(), TokenSource::None);
    let client = Client::new(Options { address, token, ..Options::default() }).unwrap();
    let (known, receiver) = watch::channel(Arc::default());
    Desk { _cluster: cluster, book: Book::new(client, "it", receiver), known }
}

impl Desk {
    async fn entries(&self) -> Vec<KvEntry> {
        self.book.client.kv_list(&self.book.prefix).await.unwrap()
    }

    async fn keys(&self) -> BTreeSet<String> {
        self.entries().await.iter().map(|entry| self.book.below(entry).to_owned()).collect()
    }
}

fn set<const N: usize>(keys: [&str; N]) -> BTreeSet<String> {
    keys.map(str::to_owned).into()
}

#[tokio::test]
async fn writers_at_the_same_time_lose_nothing_of_one_another() {
    let desk = desk().await;
    let by = ["bob", "ann", "scaler:web/app"].map(|owner| asked(owner, Wish::Drain, None, None));
    let [bob, ann, scaler] = &by;
    let reasoned = asked("bob", Wish::Drain, None, Some("disk"));
    let timed = asked("bob", Wish::Drain, Some(600), None);
    let note = |asked| desk.book.note("web", "a:1", asked);
    let (one, two, three, four, five) =
        tokio::join!(note(bob), note(ann), note(scaler), note(&reasoned), note(&timed));
    for noted in [one, two, three, four, five] {
        noted.unwrap();
    }
    assert_eq!(desk.keys().await, set([ABOUT, "web/a,1/ann", "web/a,1/bob", "web/a,1/scaler,web_2fapp"]));
    let entries = desk.entries().await;
    let bobs = entries
        .iter()
        .filter_map(|entry| desk.book.read(entry))
        .find(|intent| intent.owner == "bob")
        .unwrap();
    assert!(bobs.reason == "disk" && bobs.until.is_some(), "{bobs:?}");
    assert!(note(&reasoned).await.unwrap().again);

    assert_eq!(desk.book.strike("web", "a:1").await.unwrap().len(), 3);
    assert_eq!(desk.book.strike("web", "a:1").await.unwrap(), []);
    assert_eq!(desk.keys().await, set([ABOUT]));
}

#[tokio::test]
async fn an_owner_takes_back_its_own_and_nobody_elses() {
    let desk = desk().await;
    let by = ["bob", "scaler:web/app"].map(|owner| asked(owner, Wish::Drain, None, None));
    for (server, asked) in [("a:1", &by[0]), ("a:1", &by[1]), ("a:2", &by[1]), ("a:3", &by[1])] {
        desk.book.note("web", server, asked).await.unwrap();
    }
    let servers = vec![("web", "a:1"), ("web", "a:2"), ("web", "gone:80")];
    desk.book.take_back("scaler:web/app", servers).await.unwrap();
    assert_eq!(desk.keys().await, set([ABOUT, "web/a,1/bob", "web/a,3/scaler,web_2fapp"]));
}

#[tokio::test]
async fn only_what_is_long_over_is_tidied_away() {
    let desk = desk().await;
    for (server, lasting) in [("for-ever", None), ("long", Some(7200)), ("short", Some(60))] {
        desk.book.note("web", server, &asked("bob", Wish::Maint, lasting, None)).await.unwrap();
    }
    let now = SystemTime::now();
    desk.book.tidy(now + AFTERGLOW).await.unwrap();
    assert_eq!(desk.keys().await.len(), 4);
    desk.book.tidy(now + AFTERGLOW + Duration::from_mins(2)).await.unwrap();
    assert_eq!(desk.keys().await, set([ABOUT, "web/for-ever/bob", "web/long/bob"]));
}

#[tokio::test]
async fn a_folder_that_consul_lost_is_laid_out_with_all_that_is_known() {
    let desk = desk().await;
    let pair = |key: &str| KeyPair {
        path: format!("weir/it/intents/{key}"),
        key: key.into(),
        value: merged(None, &asked("bob", Wish::Maint, None, None), SystemTime::now()).value(),
    };
    let entries = Arc::from([pair(ABOUT), pair("web/a/bob"), pair("web/b/bob")]);
    desk.known.send_replace(Arc::new(Known { entries, ..Known::default() }));
    assert_eq!(desk.book.strike("web", "a").await.unwrap().len(), 1);
    assert_eq!(desk.keys().await, set([ABOUT, "web/b/bob"]));
    desk.book.strike("web", "b").await.unwrap();
    desk.book.note("api", "c", &asked("ann", Wish::Drain, None, None)).await.unwrap();
    assert_eq!(desk.keys().await, set([ABOUT, "api/c/ann"]), "what was ended does not come back");
}
