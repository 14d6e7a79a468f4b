//! What a helper selects from one answer of the catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_pools::{Answer, Instance, KeyPair, Query, ServiceEntry, Status, server_ids};

use crate::items::{Item, Listed};

/// A list that a template can loop over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Selection {
    Instances { name: String, datacenter: Option<String>, tag: Option<String>, statuses: Vec<Status> },
    Services { datacenter: Option<String>, tag: Option<String> },
    Pairs { path: String, datacenter: Option<String>, deep: bool },
}

impl Selection {
    /// The query whose answer is selected from.
    pub(crate) fn query(&self) -> Query {
        match self {
            Self::Instances { name, datacenter, .. } => {
                Query::Service { name: name.clone(), datacenter: datacenter.clone() }
            }
            Self::Services { datacenter, .. } => Query::Services { datacenter: datacenter.clone() },
            Self::Pairs { path, datacenter, .. } => {
                Query::Prefix { path: path.clone(), datacenter: datacenter.clone() }
            }
        }
    }

    /// The selected list. An answer of another kind than the query's selects nothing.
    pub(crate) fn select(&self, answer: &Answer) -> Vec<Item> {
        match (self, answer) {
            (Self::Instances { tag, statuses, .. }, Answer::Instances(all)) => {
                instances(all, tag.as_deref(), statuses)
            }
            (Self::Services { tag, .. }, Answer::Services(all)) => services(all, tag.as_deref()),
            (Self::Pairs { path, deep, .. }, Answer::Pairs(all)) => pairs(all, path, *deep),
            _ => Vec::new(),
        }
    }
}

fn instances(all: &Arc<[Instance]>, tag: Option<&str>, statuses: &[Status]) -> Vec<Item> {
    let servers: Vec<String> = all.iter().map(Instance::server).collect();
    // Over all instances, so that a number does not depend on what is selected.
    let ids = server_ids(servers.iter().map(String::as_str));
    let selected = all.iter().zip(&servers).enumerate().filter(|(_, (instance, _))| {
        statuses.contains(&instance.status)
            && tag.is_none_or(|tag| instance.tags.iter().any(|have| have == tag))
    });
    let mut by_server: BTreeMap<&str, (usize, &Instance)> = BTreeMap::new();
    for (index, (instance, server)) in selected {
        let kept = by_server.entry(server).or_insert((index, instance));
        if (instance.status, order(instance)) < (kept.1.status, order(kept.1)) {
            *kept = (index, instance);
        }
    }
    let mut kept: Vec<(&str, (usize, &Instance))> = by_server.into_iter().collect();
    kept.sort_by(|(_, (_, a)), (_, (_, b))| order(a).cmp(&order(b)));
    let item = |(server, (index, _))| Item::Instance(Listed::new(all, index), ids.get(server).copied());
    kept.into_iter().map(item).collect()
}

fn order(instance: &Instance) -> (&str, u16, &str, &str) {
    (&instance.address, instance.port, &instance.node, &instance.id)
}

fn services(all: &Arc<[ServiceEntry]>, tag: Option<&str>) -> Vec<Item> {
    let with_tag = |entry: &ServiceEntry| tag.is_none_or(|tag| entry.tags.iter().any(|have| have == tag));
    let chosen = all.iter().enumerate().filter(|(_, entry)| with_tag(entry));
    chosen.map(|(index, _)| Item::Service(Listed::new(all, index))).collect()
}

fn pairs(all: &Arc<[KeyPair]>, prefix: &str, deep: bool) -> Vec<Item> {
    let chosen = all.iter().enumerate().filter(|(_, pair)| below(pair, prefix, deep));
    chosen.map(|(index, _)| Item::Pair(Listed::new(all, index))).collect()
}

/// Consul matches prefixes by letters: `app` finds `apple/x` too, which is not below `app`.
fn below(pair: &KeyPair, prefix: &str, deep: bool) -> bool {
    let Some(rest) = pair.path.strip_prefix(prefix) else { return false };
    let separated = prefix.is_empty() || prefix.ends_with('/') || rest.starts_with('/');
    separated && !pair.key.is_empty() && (deep || !pair.key.contains('/'))
}

/// The words of `status=`.
pub(crate) const STATUSES: [&str; 5] = ["passing", "warning", "critical", "maintenance", "any"];

/// Reads `passing|warning` or `passing,warning`.
pub(crate) fn parse_statuses(words: &str) -> Result<Vec<Status>, String> {
    let mut statuses = Vec::new();
    for word in words.split(['|', ',']).map(str::trim) {
        match word {
            "any" => statuses.extend(EVERY),
            word => statuses.push(status(word)?),
        }
    }
    statuses.sort_unstable();
    statuses.dedup();
    Ok(statuses)
}

const EVERY: [Status; 4] = [Status::Passing, Status::Warning, Status::Critical, Status::Maintenance];

fn status(word: &str) -> Result<Status, String> {
    EVERY
        .into_iter()
        .find(|status| status.as_str() == word)
        .ok_or_else(|| format!("unknown status `{word}`: one of {}", STATUSES.join(", ")))
}

/// A service's name as a template writes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceName<'a> {
    pub(crate) name: &'a str,
    pub(crate) tag: Option<&'a str>,
    pub(crate) datacenter: Option<&'a str>,
    pub(crate) status: Option<&'a str>,
}

impl<'a> ServiceName<'a> {
    /// A name that comes from data: taken as it is, whatever characters it has.
    pub(crate) fn plain(name: &'a str) -> Result<Self, String> {
        Self { name, ..Self::default() }.named()
    }

    /// A name that stands in the source, in Consul Template's form `[TAG.]NAME[@DATACENTER][|STATUS]`.
    pub(crate) fn written(text: &'a str) -> Result<Self, String> {
        if let Some(found) = text.find(['~', '?']) {
            return Err(format!("`{}` in a service's name is not supported", &text[found..=found]));
        }
        let (rest, status) = split_right_part(text, '|');
        let (rest, datacenter) = split_right_part(rest, '@');
        let (tag, name) = match rest.rsplit_once('.') {
            Some((tag, name)) => (Some(tag), name),
            None => (None, rest),
        };
        Self { name, tag, datacenter, status }.named()
    }

    fn named(self) -> Result<Self, String> {
        if self.name.is_empty() { Err("the service's name is empty".to_owned()) } else { Ok(self) }
    }
}

fn split_right_part(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((left, right)) => (left, Some(right)),
        None => (text, None),
    }
}

/// A key's path as Consul knows it: without a leading `/`.
pub(crate) fn key_path(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}
