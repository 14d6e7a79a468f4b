//! What HAProxy refuses of Consul's answers, and is left out as long as it stands there just so.
//!
//! In: two catalogues. Out: [`Suspect`]s, what is new or changed in the later one, each of which can be taken out of it. An instance
//! or a listed service is left out; a key keeps the value that it had.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_pools::{Answer, Catalogue, Instance, KeyPair, Query, ServiceEntry};

use crate::status::LeftOut;

/// One that HAProxy refuses.
#[derive(Debug, Clone)]
pub(crate) struct Banned {
    pub(crate) suspect: Suspect,
    pub(crate) left_out: LeftOut,
}

/// One thing that Consul says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Suspect {
    query: Query,
    who: Who,
}

#[derive(Debug, Clone, PartialEq)]
enum Who {
    Instance(Box<Instance>),
    Service(ServiceEntry),
    /// A key's value, and the one before.
    Value(Option<Arc<str>>, Option<Arc<str>>),
    /// A key below a prefix, and what it was before, if it was there.
    Pair(KeyPair, Option<KeyPair>),
}

impl Suspect {
    /// The member of an answer at that place; `None` where it has no members.
    pub(crate) fn member(query: &Query, answer: &Answer, index: usize) -> Option<Self> {
        let who = match answer {
            Answer::Instances(instances) => Who::Instance(Box::new(instances.get(index)?.clone())),
            Answer::Services(entries) => Who::Service(entries.get(index)?.clone()),
            Answer::Value(_) | Answer::Pairs(_) => return None,
        };
        Some(Self { query: query.clone(), who })
    }

    /// Whether it still stands in the catalogue just as it did.
    pub(crate) fn stands(&self, catalogue: &Catalogue) -> bool {
        match (catalogue.get(&self.query), &self.who) {
            (Some(Answer::Instances(instances)), Who::Instance(who)) => instances.contains(who),
            (Some(Answer::Services(entries)), Who::Service(who)) => entries.contains(who),
            (Some(Answer::Value(value)), Who::Value(who, _)) => value == who,
            (Some(Answer::Pairs(pairs)), Who::Pair(who, _)) => pairs.contains(who),
            _ => false,
        }
    }

    /// Takes it out.
    pub(crate) fn remove_from(&self, catalogue: &mut Catalogue) {
        let answer = match (catalogue.get(&self.query), &self.who) {
            (Some(Answer::Instances(instances)), Who::Instance(who)) => {
                Answer::Instances(instances.iter().filter(|instance| *instance != &**who).cloned().collect())
            }
            (Some(Answer::Services(entries)), Who::Service(who)) => {
                Answer::Services(entries.iter().filter(|entry| *entry != who).cloned().collect())
            }
            (Some(Answer::Value(value)), Who::Value(who, before)) if value == who => {
                Answer::Value(before.clone())
            }
            (Some(Answer::Pairs(pairs)), Who::Pair(who, before)) => {
                Answer::Pairs(replaced(pairs, who, before.as_ref()))
            }
            _ => return,
        };
        catalogue.insert(self.query.clone(), answer);
    }

    fn is(&self, instance: &Instance) -> bool {
        matches!(&self.who, Who::Instance(who) if **who == *instance)
    }

    /// How it is shown.
    pub(crate) fn left_out(&self, place: &str, reason: &str) -> LeftOut {
        let clean = |text: &str| text.escape_debug().to_string();
        let (service, instance, node) = match &self.who {
            Who::Instance(who) => (clean(&who.name), clean(&who.id), clean(&who.node)),
            Who::Service(who) => (clean(&who.name), String::new(), String::new()),
            Who::Value(..) => (clean(&self.query.to_string()), String::new(), String::new()),
            Who::Pair(who, _) => (format!("key {}", clean(&who.path)), String::new(), String::new()),
        };
        LeftOut { service, instance, node, place: place.to_owned(), reason: reason.to_owned() }
    }
}

/// The catalogue without all of these.
pub(super) fn without<'a>(catalogue: &Catalogue, suspects: impl Iterator<Item = &'a Suspect>) -> Catalogue {
    let mut by_query: BTreeMap<&Query, Vec<&Suspect>> = BTreeMap::new();
    for suspect in suspects {
        by_query.entry(&suspect.query).or_default().push(suspect);
    }
    let mut rest = catalogue.clone();
    for (query, suspects) in by_query {
        match catalogue.get(query) {
            Some(Answer::Instances(instances)) => {
                let out = |instance: &Instance| suspects.iter().any(|suspect| suspect.is(instance));
                let instances = instances.iter().filter(|instance| !out(instance)).cloned().collect();
                rest.insert(query.clone(), Answer::Instances(instances));
            }
            _ => suspects.iter().for_each(|suspect| suspect.remove_from(&mut rest)),
        }
    }
    rest
}

fn replaced(pairs: &[KeyPair], who: &KeyPair, before: Option<&KeyPair>) -> Arc<[KeyPair]> {
    pairs.iter().filter_map(|pair| if pair == who { before } else { Some(pair) }).cloned().collect()
}

/// What is new or changed in `now`, in the answers to `reads`. What makes others be printed comes first: a service in the
/// list, then instances, then keys. So who is found behind a beginning that is accepted is not merely the door to the culprit.
pub(crate) fn suspects(before: &Catalogue, now: &Catalogue, reads: &BTreeSet<Query>) -> Vec<Suspect> {
    let read = now.differing(before).filter(|query| reads.contains(*query));
    let mut suspects: Vec<Suspect> = read
        .flat_map(|query| {
            let whos = now.get(query).map_or_else(Vec::new, |answer| differing(before.get(query), answer));
            whos.into_iter().map(|who| Suspect { query: query.clone(), who })
        })
        .collect();
    suspects.sort_by_key(|suspect| suspect.who.rank());
    suspects
}

impl Who {
    fn rank(&self) -> u8 {
        match self {
            Self::Service(_) => 0,
            Self::Instance(_) => 1,
            Self::Value(..) | Self::Pair(..) => 2,
        }
    }
}

fn differing(before: Option<&Answer>, now: &Answer) -> Vec<Who> {
    match (before, now) {
        (Some(Answer::Instances(before)), Answer::Instances(now)) => instances(before, now),
        (None, Answer::Instances(now)) => instances(&[], now),
        (Some(Answer::Services(before)), Answer::Services(now)) => services(before, now),
        (None, Answer::Services(now)) => services(&[], now),
        (Some(Answer::Value(before)), Answer::Value(now)) => vec![Who::Value(now.clone(), before.clone())],
        (Some(Answer::Pairs(before)), Answer::Pairs(now)) => pairs(before, now),
        (None, Answer::Pairs(now)) => pairs(&[], now),
        // Nothing can stand for a key of which nothing was known before.
        _ => Vec::new(),
    }
}

fn instances(before: &[Instance], now: &[Instance]) -> Vec<Who> {
    let news = now.iter().filter(|instance| !before.contains(instance));
    news.map(|instance| Who::Instance(Box::new(instance.clone()))).collect()
}

fn services(before: &[ServiceEntry], now: &[ServiceEntry]) -> Vec<Who> {
    now.iter().filter(|entry| !before.contains(entry)).cloned().map(Who::Service).collect()
}

fn pairs(before: &[KeyPair], now: &[KeyPair]) -> Vec<Who> {
    let was = |pair: &KeyPair| before.iter().find(|other| other.path == pair.path).cloned();
    let news = now.iter().filter(|pair| !before.contains(pair));
    news.map(|pair| Who::Pair(pair.clone(), was(pair))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(services: &[&str], note: &str, pairs: &[(&str, &str)]) -> Catalogue {
        let entry = |name: &&str| ServiceEntry { name: (*name).to_owned(), tags: vec![] };
        let pair = |(key, value): &(&str, &str)| KeyPair {
            path: format!("conf/{key}"),
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        let key = Query::Key { path: "note".into(), datacenter: None };
        let prefix = Query::Prefix { path: "conf".into(), datacenter: None };
        Catalogue::from_iter([
            (key, Answer::Value(Some(note.into()))),
            (prefix, Answer::Pairs(pairs.iter().map(pair).collect())),
            (Query::Services { datacenter: None }, Answer::Services(services.iter().map(entry).collect())),
        ])
    }

    /// Whatever was taken out, in any order: what is left is what was before and what was not taken out.
    #[test]
    fn without_its_suspects_a_catalogue_says_what_it_said_before() {
        let before = catalogue(&["a", "b"], "x", &[("one", "1"), ("two", "2")]);
        let now = catalogue(&["a", "b", "c"], "y", &[("one", "1"), ("two", "3"), ("zoo", "4")]);
        let reads: BTreeSet<Query> = now.iter().map(|(query, _)| query.clone()).collect();
        let suspects = suspects(&before, &now, &reads);
        let names: Vec<String> = suspects.iter().map(|who| who.left_out("", "").service).collect();
        assert_eq!(names, ["c", "key note", "key conf/two", "key conf/zoo"]);
        assert!(suspects.iter().all(|who| who.stands(&now) && !who.stands(&before)));
        let mut left = now.clone();
        suspects.iter().rev().for_each(|who| who.remove_from(&mut left));
        assert_eq!(left, before);
        assert_eq!(without(&now, suspects.iter()), before);
        let mut one = now.clone();
        suspects[2].remove_from(&mut one);
        assert_eq!(one, catalogue(&["a", "b", "c"], "y", &[("one", "1"), ("two", "2"), ("zoo", "4")]));
        assert!(!suspects[2].stands(&one) && suspects[3].stands(&one));
    }

    #[test]
    fn what_no_template_reads_is_not_suspected() {
        let (before, now) = (catalogue(&["a"], "x", &[]), catalogue(&["b"], "y", &[]));
        assert!(suspects(&before, &now, &BTreeSet::new()).is_empty());
    }
}
