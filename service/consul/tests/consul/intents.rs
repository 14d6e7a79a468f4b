//! What intents need of Consul's KV, on a real one: keys of any names, writes that overwrite no later one, and what
//! an emptied and a forbidden folder look like.

use weir_consul::{Client, KvEntry};
use weir_pools::intents::{ABOUT, Intent, Intents, Place, Wish, prefix};
use weir_pools::{Answer, Query};

use crate::rig::{options, until, watched};
use crate::server::Consul;

const NAMES: [&str; 9] =
    ["10.0.0.1:8080", "::1:81", "a_b", "..", ".", "a/b", "scaler:web/app", "j.müller 100%", "a?b#c,d\\e"];

fn place(backend: &str, server: &str, owner: &str) -> Place {
    Place { backend: backend.into(), server: server.into(), owner: owner.into() }
}

fn intent(owner: &str) -> Intent {
    let since = std::time::SystemTime::UNIX_EPOCH;
    Intent { wish: Wish::Maint, reason: "kernel update".into(), owner: owner.into(), since, until: None }
}

fn answer(pairs: &[weir_pools::KeyPair]) -> (Intents, usize) {
    let (intents, malformed) =
        Intents::read(pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())));
    (intents, malformed.len())
}

#[tokio::test]
async fn intents_about_servers_of_any_name_are_written_followed_and_deleted() {
    let Some(consul) = Consul::start().await else { return };
    let folder = prefix("it");
    let query = Query::Prefix { path: folder.clone(), datacenter: None };
    let mut seen = watched(options(&consul.address()), [query.clone()]);
    let mut wanted = Intents::default();
    for (number, name) in NAMES.iter().enumerate() {
        let owner = NAMES[(number + 1) % NAMES.len()];
        let key = folder.clone() + &place(NAMES[(number + 2) % NAMES.len()], name, owner).key();
        assert!(seen.client.kv_put_if(&key, intent(owner).value(), 0).await.unwrap(), "{key}");
        wanted.insert(NAMES[(number + 2) % NAMES.len()], name, intent(owner));
    }
    consul.put("kv/weir/it/intents-of-another/web/a/bob", intent("bob").value()).await;
    until("all of them", &mut seen.catalogue, |catalogue| {
        matches!(catalogue.get(&query), Some(Answer::Pairs(pairs)) if answer(pairs) == (wanted.clone(), 0))
    })
    .await;

    consul.put(&format!("kv/{folder}{ABOUT}"), "text").await;
    let listed = seen.client.kv_list(&folder).await.unwrap();
    assert_eq!(listed.len(), NAMES.len() + 1);
    for entry in listed.iter().filter(|entry| entry.key != format!("{folder}{ABOUT}")) {
        seen.client.kv_delete(&entry.key).await.unwrap();
        seen.client.kv_delete(&entry.key).await.unwrap();
    }
    until("none but the folder's own key", &mut seen.catalogue, |catalogue| {
        matches!(catalogue.get(&query), Some(Answer::Pairs(pairs)) if pairs.len() == 1 && pairs[0].key == ABOUT)
    })
    .await;
}

async fn entry(client: &Client, path: &str) -> KvEntry {
    client.kv_list(path).await.unwrap().into_iter().next().unwrap()
}

#[tokio::test]
async fn a_later_write_is_not_overwritten_and_not_deleted() {
    let Some(consul) = Consul::start().await else { return };
    let client = Client::new(options(&consul.address())).unwrap();
    let path = "weir/it/intents/web/10.0.0.1,8080/bob";
    assert_eq!(client.kv_list("weir/it/intents/").await.unwrap(), []);
    assert!(!client.kv_put_if(path, "0", 7).await.unwrap(), "there is no such key");
    assert!(client.kv_put_if(path, "1", 0).await.unwrap());
    let first = entry(&client, path).await;
    assert_eq!((first.key.as_str(), first.value.as_str()), (path, "1"));
    assert!(!client.kv_put_if(path, "2", 0).await.unwrap(), "there is one now");
    assert!(client.kv_put_if(path, "2", first.modify_index).await.unwrap());
    assert!(!client.kv_put_if(path, "3", first.modify_index).await.unwrap(), "it was changed meanwhile");
    assert!(!client.kv_delete_if(path, first.modify_index).await.unwrap(), "it was changed meanwhile");
    let second = entry(&client, path).await;
    assert_eq!(second.value, "2");
    assert!(client.kv_delete_if(path, second.modify_index).await.unwrap());
    assert_eq!(client.kv_get(path).await.unwrap(), None);
}

#[tokio::test]
async fn who_may_not_read_is_told_that_there_is_nothing_and_who_may_not_write_is_refused() {
    let Some(consul) = Consul::start_denying().await else { return };
    consul.put("kv/weir/it/intents/web/a/bob", intent("bob").value()).await;
    let stranger = Client::new(options(&consul.address())).unwrap();
    assert_eq!(stranger.kv_list("weir/it/intents/").await.unwrap(), [], "as if the folder were empty");
    let refused = stranger.kv_put_if("weir/it/intents/web/a/bob", "x", 0).await.unwrap_err();
    assert!(matches!(refused, weir_consul::Error::Denied { .. }), "{refused}");
    let refused = stranger.kv_delete("weir/it/intents/web/a/bob").await.unwrap_err().to_string();
    assert!(refused.contains("key:write") && refused.contains("DELETE"), "{refused}");
}
