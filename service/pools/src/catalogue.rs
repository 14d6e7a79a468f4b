//! What is known of Consul: the answers to the queries that templates ask.
//!
//! A [`Query`] without an answer is *not known yet*; an [`Answer`] may well be empty. The two are never mixed up:
//! a template that reads something unknown waits, one that reads something empty renders.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Instance, SharedMap};

/// One thing that a template can ask Consul. `datacenter` is `None` for the agent's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// All instances of a service, whatever their status: `/v1/health/service/NAME`.
    Service {
        /// The service's name.
        name: String,
        /// Datacenter.
        datacenter: Option<String>,
    },
    /// The names and tags of all services: `/v1/catalog/services`.
    Services {
        /// Datacenter.
        datacenter: Option<String>,
    },
    /// One key: `/v1/kv/PATH`.
    Key {
        /// The key's full path.
        path: String,
        /// Datacenter.
        datacenter: Option<String>,
    },
    /// All keys below a prefix: `/v1/kv/PATH?recurse`.
    Prefix {
        /// The prefix.
        path: String,
        /// Datacenter.
        datacenter: Option<String>,
    },
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, name, datacenter) = match self {
            Self::Service { name, datacenter } => ("service ", name.as_str(), datacenter),
            Self::Services { datacenter } => ("services", "", datacenter),
            Self::Key { path, datacenter } => ("key ", path.as_str(), datacenter),
            Self::Prefix { path, datacenter } => ("keys below ", path.as_str(), datacenter),
        };
        write!(f, "{kind}{name}")?;
        datacenter.as_ref().map_or(Ok(()), |dc| write!(f, " in datacenter {dc}"))
    }
}

/// What Consul said to a [`Query`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Query::Service`]: sorted by address, port, node and ID.
    Instances(Arc<[Instance]>),
    /// To [`Query::Services`]: sorted by name.
    Services(Arc<[ServiceEntry]>),
    /// To [`Query::Key`]; `None` where there is no such key.
    Value(Option<Arc<str>>),
    /// To [`Query::Prefix`]: sorted by path, without "folder" keys that end in `/`.
    Pairs(Arc<[KeyPair]>),
}

impl PartialEq for Answer {
    /// The same list in memory costs nothing to compare. (The standard library looks at that only where a type has a size.)
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Instances(a), Self::Instances(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Services(a), Self::Services(b)) => Arc::ptr_eq(a, b) || a == b,
            (Self::Value(a), Self::Value(b)) => a == b,
            (Self::Pairs(a), Self::Pairs(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

impl Eq for Answer {}

/// A service's name and the tags that any of its instances has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceEntry {
    /// The service's name.
    pub name: String,
    /// Tags, sorted.
    pub tags: Vec<String>,
}

/// One key below a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyPair {
    /// The full path.
    pub path: String,
    /// The path below the prefix, without a leading `/`.
    pub key: String,
    /// The value; bytes that are not UTF-8 are replaced.
    pub value: String,
}

/// The answers known at one moment. A clone costs nothing, and a change of one answer little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    answers: SharedMap<Arc<Query>, Answer>,
}

impl Catalogue {
    /// The answer to `query`; `None` while it is not known.
    pub fn get(&self, query: &Query) -> Option<&Answer> {
        self.answers.get(query)
    }

    /// The answer, and the query as it stands here: the same in memory from one moment to the next.
    pub fn entry(&self, query: &Query) -> Option<(&Arc<Query>, &Answer)> {
        self.answers.entry(query)
    }

    /// Puts an answer in. Returns whether it differs from the one before.
    pub fn insert(&mut self, query: Query, answer: Answer) -> bool {
        let known = self.entry(&query).map(|(known, before)| (known.clone(), *before == answer));
        let query = match known {
            Some((_, true)) => return false,
            Some((known, false)) => known,
            None => Arc::new(query),
        };
        self.answers.insert(query, answer);
        true
    }

    /// Forgets the answers to queries that nobody asks any more.
    pub fn retain(&mut self, wanted: &BTreeSet<Query>) {
        self.answers.retain(|query, _| wanted.contains(&**query));
    }

    /// All instances of a service; `None` while they are not known.
    pub fn instances(&self, query: &Query) -> Option<&Arc<[Instance]>> {
        match self.get(query)? {
            Answer::Instances(instances) => Some(instances),
            Answer::Services(_) | Answer::Value(_) | Answer::Pairs(_) => None,
        }
    }

    /// Every answer, in order of the queries.
    pub fn iter(&self) -> impl Iterator<Item = (&Query, &Answer)> {
        self.answers.iter().map(|(query, answer)| (&**query, answer))
    }

    /// The queries whose answers differ between two moments, or that are known at one of them only, in order. Answers
    /// that are the same list in memory cost next to nothing.
    pub fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Query> {
        let unshared = self.answers.unshared(&other.answers);
        unshared.filter(|(_, mine, others)| mine != others).map(|(query, ..)| &**query)
    }

    /// Whether both moments have the same answers to all of `queries`, unknown ones included.
    pub fn agrees(&self, other: &Self, queries: &BTreeSet<Query>) -> bool {
        !self.differing(other).any(|query| queries.contains(query))
    }
}

impl FromIterator<(Query, Answer)> for Catalogue {
    fn from_iter<I: IntoIterator<Item = (Query, Answer)>>(answers: I) -> Self {
        let answers = answers.into_iter().map(|(query, answer)| (Arc::new(query), answer));
        Self { answers: answers.collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(path: &str) -> Query {
        Query::Key { path: path.into(), datacenter: None }
    }

    proptest! {
        #[test]
        fn two_moments_agree_where_each_answer_is_the_same(
            a in prop::collection::btree_map("[a-d]", "[xy]", 0..4),
            b in prop::collection::btree_map("[a-d]", "[xy]", 0..4),
            asked in prop::collection::btree_set("[a-d]", 0..4),
        ) {
            let moment = |values: &BTreeMap<String, String>| -> Catalogue {
                let answer = |(path, value): (&String, &String)| {
                    (key(path), Answer::Value(Some(value.as_str().into())))
                };
                values.iter().map(answer).collect()
            };
            let (first, second) = (moment(&a), moment(&b));
            // One that came out of the other, so that both have the same queries in memory.
            let mut third = second.clone();
            third.insert(key("a"), Answer::Value(None));
            let asked: BTreeSet<Query> = asked.iter().map(|path| key(path)).collect();
            third.retain(&asked);
            for (one, other) in [(&first, &second), (&second, &third), (&third, &third)] {
                let differs = |query: &Query| one.get(query) != other.get(query);
                let expected: Vec<Query> = ["a", "b", "c", "d"].map(key).into_iter().filter(differs).collect();
                prop_assert_eq!(one.differing(other).cloned().collect::<Vec<_>>(), expected);
                prop_assert_eq!(one.agrees(other, &asked), !asked.iter().any(differs));
            }
        }
    }
}
