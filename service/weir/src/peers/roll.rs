//! Which weirs there are, as they wrote it into Consul's folder `weir/CLUSTER/peers/`.
//!
//! In: the answer to [`query`]. Out: the others, by where they listen. An entry that cannot be understood is
//! passed over: it is of a later version, or of no weir. What an entry says is used to connect to, with the
//! token of this cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_pools::{Answer, Catalogue, Query};

/// One weir's entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// How people call its node.
    pub(crate) node: String,
    /// `HOST:PORT` by which it is reached.
    pub(crate) address: String,
    /// Tells a weir from one that says it is at the same address; the same after a restart.
    pub(crate) place: String,
}

/// The others, by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Roll {
    pub(crate) others: BTreeMap<String, Entry>,
    /// Somebody else has our own address, and must not.
    pub(crate) double: Option<Entry>,
    /// Whether our own entry is there, be it from before a restart. Consul shows an empty folder to who may not read it, too.
    pub(crate) shows_us: bool,
}

/// The folder of a cluster.
pub(crate) fn folder(cluster: &str) -> String {
    format!("weir/{cluster}/peers")
}

/// The query that entries are read by.
pub(crate) fn query(cluster: &str) -> Query {
    Query::Prefix { path: format!("{}/", folder(cluster)), datacenter: None }
}

/// Who is there besides `own`; nothing while Consul has not said.
pub(crate) fn roll(catalogue: &Catalogue, cluster: &str, own: &Entry) -> Option<Roll> {
    let Answer::Pairs(pairs) = catalogue.get(&query(cluster))? else { return None };
    let mut roll = Roll::default();
    for entry in pairs.iter().filter_map(|pair| serde_json::from_str::<Entry>(&pair.value).ok()) {
        if entry.address == own.address && entry.place == own.place {
            roll.shows_us = true;
        } else if entry.address == own.address {
            roll.double = Some(entry);
        } else {
            roll.others.insert(entry.address.clone(), entry);
        }
    }
    Some(roll)
}

#[cfg(test)]
mod tests {
    use weir_pools::KeyPair;

    use super::*;

    fn entry(address: &str, place: &str) -> Entry {
        Entry { node: "lb".into(), address: address.into(), place: place.into() }
    }

    fn of(values: &[String]) -> Option<Roll> {
        let pair = |value: &String| KeyPair { path: String::new(), key: String::new(), value: value.clone() };
        let pairs: Vec<KeyPair> = values.iter().map(pair).collect();
        let catalogue = Catalogue::from_iter([(query("default"), Answer::Pairs(pairs.into()))]);
        roll(&catalogue, "default", &entry("a:1", "me"))
    }

    #[test]
    fn the_others_are_found_and_a_double_is_none_of_them() {
        assert_eq!(roll(&Catalogue::default(), "default", &entry("a:1", "me")), None);
        let text = |entry: Entry| serde_json::to_string(&entry).unwrap();
        let entries =
            [text(entry("a:1", "me")), text(entry("b:1", "x")), text(entry("b:1", "y")), "{}".to_owned()];
        let alone = of(&entries).unwrap();
        assert_eq!((alone.others.len(), alone.others["b:1"].place.as_str(), alone.double), (1, "y", None));
        assert!(alone.shows_us && !of(&[]).unwrap().shows_us);
        let double = of(&[text(entry("a:1", "other"))]).unwrap();
        assert_eq!((double.others.len(), double.double.map(|entry| entry.place)), (0, Some("other".into())));
        let renamed = of(&[text(Entry { node: "old".into(), ..entry("a:1", "me") })]).unwrap();
        assert!(renamed.shows_us && renamed.double.is_none(), "its node had another name: {renamed:?}");
    }
}
