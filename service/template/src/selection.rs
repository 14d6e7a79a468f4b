//! What a helper selects from one answer of the catalogue, as the JSON that templates see.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_pools::{Answer, Instance, KeyPair, Query, ServiceEntry, Status, server_ids};

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
    pub(crate) fn select(&self, answer: &Answer) -> Value {
        let list = match (self, answer) {
            (Self::Instances { tag, statuses, .. }, Answer::Instances(all)) => {
                instances(all, tag.as_deref(), statuses)
            }
            (Self::Services { tag, .. }, Answer::Services(all)) => services(all, tag.as_deref()),
            (Self::Pairs { path, deep, .. }, Answer::Pairs(all)) => pairs(all, path, *deep),
            _ => Vec::new(),
        };
        Value::Array(list)
    }
}

fn instances(all: &[Instance], tag: Option<&str>, statuses: &[Status]) -> Vec<Value> {
    let servers: Vec<String> = all.iter().map(Instance::server).collect();
    // Over all instances, so that a number does not depend on what is selected.
    let ids = server_ids(servers.iter().map(String::as_str));
    let selected = all.iter().zip(&servers).filter(|(instance, _)| {
        statuses.contains(&instance.status)
            && tag.is_none_or(|tag| instance.tags.iter().any(|have| have == tag))
    });
    let mut by_server: BTreeMap<&str, &Instance> = BTreeMap::new();
    for (instance, server) in selected {
        let kept = by_server.entry(server).or_insert(instance);
        if (instance.status, order(instance)) < (kept.status, order(kept)) {
            *kept = instance;
        }
    }
    let mut kept: Vec<(&str, &Instance)> = by_server.into_iter().collect();
    kept.sort_by(|(_, a), (_, b)| order(a).cmp(&order(b)));
    kept.into_iter().map(|(server, instance)| instance_json(instance, server, ids.get(server))).collect()
}

fn order(instance: &Instance) -> (&str, u16, &str, &str) {
    (&instance.address, instance.port, &instance.node, &instance.id)
}

fn instance_json(instance: &Instance, server: &str, id: Option<&u32>) -> Value {
    let mut json = handlebars::to_json(instance);
    if let Value::Object(fields) = &mut json {
        fields.insert("Server".to_owned(), Value::from(server));
        fields.insert("ServerId".to_owned(), Value::from(id.copied()));
    }
    json
}

fn services(all: &[ServiceEntry], tag: Option<&str>) -> Vec<Value> {
    let with_tag = |entry: &&ServiceEntry| tag.is_none_or(|tag| entry.tags.iter().any(|have| have == tag));
    all.iter().filter(with_tag).map(handlebars::to_json).collect()
}

fn pairs(all: &[KeyPair], prefix: &str, deep: bool) -> Vec<Value> {
    all.iter().filter(|pair| below(pair, prefix, deep)).map(handlebars::to_json).collect()
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
