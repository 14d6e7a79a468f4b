//! What Consul's answers mean: JSON in, [`Answer`]s out.
//!
//! Nulls are tolerated wherever Consul's Go code can leave a list or a map nil. What the pools do not need (above all
//! check output) is dropped here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use weir_pools::{Answer, Check, Instance, KeyPair, Query, ServiceEntry, Status, Weights};

use crate::Error;
use crate::client::{KvEntry, Read, Reply};

/// The read that answers a query.
pub(crate) fn read_of(query: &Query) -> Read {
    match query {
        Query::Service { name, datacenter } => {
            Read::new(["health", "service", name]).in_datacenter(datacenter.as_ref())
        }
        Query::Services { datacenter } => {
            Read::new(["catalog", "services"]).in_datacenter(datacenter.as_ref())
        }
        Query::Key { path, datacenter } => {
            Read::key(path).param("raw", "").in_datacenter(datacenter.as_ref())
        }
        Query::Prefix { path, datacenter } => {
            Read::key(path).param("recurse", "").in_datacenter(datacenter.as_ref())
        }
    }
}

/// The answer to a query.
pub(crate) fn answer(query: &Query, reply: &Reply) -> Result<Answer, Error> {
    Ok(match query {
        Query::Service { .. } => Answer::Instances(instances(json(reply)?).into()),
        Query::Services { .. } => Answer::Services(services(json(reply)?).into()),
        Query::Key { .. } => {
            Answer::Value(reply.found.then(|| Arc::from(String::from_utf8_lossy(&reply.body))))
        }
        Query::Prefix { path, .. } if reply.found => Answer::Pairs(pairs(path, json(reply)?).into()),
        Query::Prefix { .. } => Answer::Pairs(Arc::default()),
    })
}

/// Any JSON answer.
pub(crate) fn json<T: DeserializeOwned>(reply: &Reply) -> Result<T, Error> {
    serde_json::from_slice(&reply.body)
        .map_err(|source| Error::Unexpected { what: reply.what.clone(), source })
}

/// The ID in the answer to a session that was created.
pub(crate) fn session_id(reply: &Reply) -> Result<String, Error> {
    #[derive(serde::Deserialize)]
    struct Created {
        #[serde(rename = "ID")]
        id: String,
    }
    json::<Created>(reply).map(|created| created.id)
}

/// What lies below a prefix.
pub(crate) fn kv_entries(reply: &Reply) -> Result<Vec<KvEntry>, Error> {
    let entries: Vec<KeyEntry> = if reply.found { json(reply)? } else { Vec::new() };
    let entry = |entry: KeyEntry| KvEntry {
        value: entry.value.text(),
        modify_index: entry.modify_index,
        key: entry.key,
    };
    Ok(entries.into_iter().map(entry).collect())
}

/// Who holds a key, and what it says; `None` where nobody does.
pub(crate) fn lock_holder(reply: &Reply) -> Result<Option<Holder>, Error> {
    if !reply.found {
        return Ok(None);
    }
    let entries: Vec<KeyEntry> = json(reply)?;
    let held = entries.into_iter().find(|entry| !entry.session.is_empty());
    Ok(held.map(|entry| Holder { value: entry.value.text(), session: entry.session }))
}

/// The session that holds a lock, and what it wrote into the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) session: String,
    pub(crate) value: String,
}

/// `null` as the default value.
fn nil<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(input: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(input).map(Option::unwrap_or_default)
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HealthEntry {
    #[serde(deserialize_with = "nil")]
    node: NodeEntry,
    #[serde(deserialize_with = "nil")]
    service: ServiceBody,
    #[serde(deserialize_with = "nil")]
    checks: Vec<CheckEntry>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NodeEntry {
    #[serde(rename = "ID", deserialize_with = "nil")]
    id: String,
    #[serde(deserialize_with = "nil")]
    node: String,
    #[serde(deserialize_with = "nil")]
    address: String,
    #[serde(deserialize_with = "nil")]
    datacenter: String,
    #[serde(deserialize_with = "nil")]
    meta: BTreeMap<String, String>,
    #[serde(deserialize_with = "nil")]
    tagged_addresses: BTreeMap<String, String>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ServiceBody {
    #[serde(rename = "ID", deserialize_with = "nil")]
    id: String,
    #[serde(deserialize_with = "nil")]
    service: String,
    #[serde(deserialize_with = "nil")]
    address: String,
    #[serde(deserialize_with = "nil")]
    port: i64,
    #[serde(deserialize_with = "nil")]
    tags: Vec<String>,
    #[serde(deserialize_with = "nil")]
    meta: BTreeMap<String, String>,
    #[serde(deserialize_with = "nil")]
    tagged_addresses: BTreeMap<String, TaggedAddress>,
    #[serde(deserialize_with = "nil")]
    weights: WeightsEntry,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TaggedAddress {
    #[serde(deserialize_with = "nil")]
    address: String,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WeightsEntry {
    passing: i64,
    warning: i64,
}

impl Default for WeightsEntry {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// A check, as in `/v1/health/service/:name` and `/v1/health/state/any`.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CheckEntry {
    #[serde(deserialize_with = "nil")]
    pub(crate) node: String,
    #[serde(rename = "CheckID", deserialize_with = "nil")]
    pub(crate) check_id: String,
    #[serde(deserialize_with = "nil")]
    pub(crate) name: String,
    #[serde(deserialize_with = "nil")]
    pub(crate) status: String,
    #[serde(deserialize_with = "nil")]
    pub(crate) service_name: String,
}

fn instances(entries: Vec<HealthEntry>) -> Vec<Instance> {
    let mut instances: Vec<Instance> = entries.into_iter().filter_map(instance).collect();
    instances.sort_by(|a, b| {
        let key = |i: &'_ Instance| (i.address.clone(), i.port, i.node.clone(), i.id.clone());
        key(a).cmp(&key(b))
    });
    instances
}

/// `None` for an instance whose port is none: nothing could connect to it.
fn instance(HealthEntry { node, service, checks }: HealthEntry) -> Option<Instance> {
    let Ok(port) = u16::try_from(service.port) else {
        tracing::warn!(
            service = service.service,
            id = service.id,
            port = service.port,
            "instance left out: no such port"
        );
        return None;
    };
    let mut tags = service.tags;
    tags.sort();
    let tagged = service.tagged_addresses.into_iter();
    Some(Instance {
        address: if service.address.is_empty() { node.address.clone() } else { service.address },
        id: service.id,
        name: service.service,
        port,
        tags,
        service_meta: service.meta,
        service_tagged_addresses: tagged.map(|(name, tagged)| (name, tagged.address)).collect(),
        weights: weights(&service.weights),
        node: node.node,
        node_id: node.id,
        node_address: node.address,
        node_meta: node.meta,
        node_tagged_addresses: node.tagged_addresses,
        datacenter: node.datacenter,
        status: checks.iter().map(CheckEntry::weighs).max().unwrap_or(Status::Passing),
        checks: sorted_checks(checks),
    })
}

fn sorted_checks(checks: Vec<CheckEntry>) -> Vec<Check> {
    let one =
        |check: CheckEntry| Check { status: check.status(), check_id: check.check_id, name: check.name };
    let mut checks: Vec<Check> = checks.into_iter().map(one).collect();
    checks.sort_by(|a, b| a.check_id.cmp(&b.check_id));
    checks
}

impl CheckEntry {
    /// Its status; one that is not known is as bad as critical.
    fn status(&self) -> Status {
        match self.status.as_str() {
            "passing" => Status::Passing,
            "warning" => Status::Warning,
            "maintenance" => Status::Maintenance,
            _ => Status::Critical,
        }
    }

    /// What it means for the instance: the critical check that maintenance mode sets is maintenance.
    fn weighs(&self) -> Status {
        let maintenance =
            self.check_id == "_node_maintenance" || self.check_id.starts_with("_service_maintenance:");
        if maintenance { Status::Maintenance } else { self.status() }
    }
}

fn weights(entry: &WeightsEntry) -> Weights {
    let weight = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
    Weights { passing: weight(entry.passing), warning: weight(entry.warning) }
}

/// The names of Consul's nodes, in `/v1/catalog/nodes`.
pub(crate) fn nodes(reply: &Reply) -> Result<Vec<String>, Error> {
    let nodes: Option<Vec<NodeEntry>> = json(reply)?;
    Ok(nodes.unwrap_or_default().into_iter().map(|node| node.node).collect())
}

/// What stands on one node, in `/v1/catalog/node/:node`: the node's own modify index, and of each service ID its name and
/// modify index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeServices {
    pub(crate) modified: u64,
    pub(crate) services: BTreeMap<String, (String, u64)>,
}

/// The answer of `/v1/catalog/node/:node`; `null` for a node that is gone.
pub(crate) fn node_services(reply: &Reply) -> Result<NodeServices, Error> {
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Entry {
        #[serde(deserialize_with = "nil")]
        service: String,
        #[serde(deserialize_with = "nil")]
        modify_index: u64,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Body {
        #[serde(deserialize_with = "nil")]
        node: Entry,
        #[serde(deserialize_with = "nil")]
        services: BTreeMap<String, Entry>,
    }
    let Body { node, services } = json::<Option<Body>>(reply)?.unwrap_or_default();
    let services = services.into_iter().map(|(id, entry)| (id, (entry.service, entry.modify_index)));
    Ok(NodeServices { modified: node.modify_index, services: services.collect() })
}

/// All checks, in `/v1/health/state/any`.
pub(crate) fn checks(reply: &Reply) -> Result<Vec<CheckEntry>, Error> {
    json::<Option<Vec<CheckEntry>>>(reply).map(Option::unwrap_or_default)
}

fn services(tags_by_name: Option<BTreeMap<String, Option<Vec<String>>>>) -> Vec<ServiceEntry> {
    let entry = |(name, tags): (String, Option<Vec<String>>)| {
        let mut tags = tags.unwrap_or_default();
        tags.sort();
        ServiceEntry { name, tags }
    };
    tags_by_name.unwrap_or_default().into_iter().map(entry).collect()
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct KeyEntry {
    key: String,
    #[serde(deserialize_with = "nil")]
    value: Bytes,
    #[serde(deserialize_with = "nil")]
    session: String,
    modify_index: u64,
}

/// Bytes, written as base64.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        from_base64(&text).map(Self).ok_or_else(|| D::Error::custom("a value that is not base64"))
    }
}

/// The keys below `prefix`: of `a`, `a/b` is one and `ab` is not, although Consul lists both.
fn pairs(prefix: &str, entries: Vec<KeyEntry>) -> Vec<KeyPair> {
    let prefix = prefix.trim_matches('/');
    let below = |path: &str| {
        let rest = path.strip_prefix(prefix)?;
        let key = if prefix.is_empty() { rest } else { rest.strip_prefix('/')? };
        (!key.is_empty() && !key.ends_with('/')).then(|| key.to_owned())
    };
    let pair = |entry: KeyEntry| {
        Some(KeyPair { key: below(&entry.key)?, value: entry.value.text(), path: entry.key })
    };
    let mut pairs: Vec<KeyPair> = entries.into_iter().filter_map(pair).collect();
    pairs.sort_by(|a, b| a.path.cmp(&b.path));
    pairs
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard base64 with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_usize, |word, n| word << 8 | usize::from(*chunk.get(n).unwrap_or(&0)));
        for n in 0..4 {
            let digit = BASE64[word >> (18 - 6 * n) & 63];
            text.push(if n <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// Reads standard base64; `None` where it is none.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut word = 0_u32;
        for letter in chunk {
            let digit = BASE64.iter().position(|known| known == letter)?;
            word = word << 6 | u32::try_from(digit).ok()?;
        }
        let missing = 4 - chunk.len();
        let [_, a, b, c] = (word << (6 * missing)).to_be_bytes();
        bytes.extend_from_slice(&[a, b, c][..3 - missing]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::cursor::Stamp;

    fn reply(body: &str) -> Reply {
        let stamp = Stamp { index: 1, last_contact: Duration::ZERO };
        Reply { what: "GET x".into(), found: true, stamp, body: body.as_bytes().to_vec() }
    }

    fn decoded(body: &str) -> Vec<Instance> {
        let query = Query::Service { name: "web".into(), datacenter: None };
        match answer(&query, &reply(body)).unwrap() {
            Answer::Instances(instances) => instances.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nulls_and_missing_fields_are_empty() {
        let all = decoded(
            r#"[{"Node":{"ID":"","Node":"n1","Address":"10.0.0.1","TaggedAddresses":null,"Meta":null},
                "Service":{"ID":"w","Service":"web","Tags":null,"Address":"","Meta":null,"Port":80,"Weights":null},
                "Checks":null}, {"Node":null,"Service":{"ID":"v"},"Checks":[{"Status":null}]}]"#,
        );
        assert_eq!(all.len(), 2);
        let web = &all[1];
        assert_eq!((web.address.as_str(), web.port, web.status), ("10.0.0.1", 80, Status::Passing));
        assert_eq!(web.weights, Weights::default());
    }

    #[test]
    fn the_worst_check_counts_and_maintenance_is_worse_than_critical() {
        let status =
            |checks: &str| decoded(&format!(r#"[{{"Service":{{"ID":"w"}},"Checks":{checks}}}]"#))[0].status;
        let check =
            |id: &str, status: &str| format!(r#"{{"CheckID":"{id}","Status":"{status}","Output":"x"}}"#);
        let list = |checks: &[String]| format!("[{}]", checks.join(","));
        assert_eq!(status("[]"), Status::Passing);
        assert_eq!(status(&list(&[check("a", "passing"), check("b", "warning")])), Status::Warning);
        assert_eq!(status(&list(&[check("a", "critical"), check("b", "warning")])), Status::Critical);
        assert_eq!(status(&list(&[check("a", "strange")])), Status::Critical);
        for id in ["_node_maintenance", "_service_maintenance:w"] {
            assert_eq!(status(&list(&[check(id, "critical"), check("a", "critical")])), Status::Maintenance);
        }
    }

    #[test]
    fn instances_come_in_order_and_without_impossible_ports() {
        let entry = |address: &str, port: i64, node: &str, id: &str| {
            format!(
                r#"{{"Node":{{"Node":"{node}"}},"Service":{{"ID":"{id}","Address":"{address}","Port":{port}}}}}"#
            )
        };
        let entries = [
            entry("b", 1, "n", "x"),
            entry("a", 2, "n", "x"),
            entry("a", 1, "o", "x"),
            entry("a", 1, "n", "y"),
            entry("a", 70_000, "n", "z"),
            entry("a", 1, "n", "x"),
        ];
        let order: Vec<_> = decoded(&format!("[{}]", entries.join(",")))
            .into_iter()
            .map(|i| format!("{}{}{}{}", i.address, i.port, i.node, i.id))
            .collect();
        assert_eq!(order, ["a1nx", "a1ny", "a1ox", "a2nx", "b1nx"]);
    }

    #[test]
    fn keys_below_a_prefix_leave_out_folders_and_neighbours() {
        let entry = |key: &str, value: &str| format!(r#"{{"Key":"{key}","Value":{value}}}"#);
        let body = [
            entry("a/c/d", "null"),
            entry("a/b", r#""aGkK""#),
            entry("a/", "null"),
            entry("ab", "null"),
            entry("a/c/", "null"),
        ];
        let query = Query::Prefix { path: "a".into(), datacenter: None };
        let Answer::Pairs(pairs) = answer(&query, &reply(&format!("[{}]", body.join(",")))).unwrap() else {
            panic!("not pairs")
        };
        let seen: Vec<_> =
            pairs.iter().map(|p| (p.path.as_str(), p.key.as_str(), p.value.as_str())).collect();
        assert_eq!(seen, [("a/b", "b", "hi\n"), ("a/c/d", "c/d", "")]);
    }

    #[test]
    fn a_missing_key_is_an_answer() {
        let missing = Reply { found: false, ..reply("") };
        let key = Query::Key { path: "a".into(), datacenter: None };
        assert_eq!(answer(&key, &missing).unwrap(), Answer::Value(None));
        assert_eq!(answer(&key, &reply("")).unwrap(), Answer::Value(Some("".into())));
        let prefix = Query::Prefix { path: "a".into(), datacenter: None };
        assert_eq!(answer(&prefix, &missing).unwrap(), Answer::Pairs([].into()));
    }

    #[test]
    fn something_else_at_the_address_is_said_so() {
        let error = answer(&Query::Services { datacenter: None }, &reply("<html>")).unwrap_err();
        assert!(matches!(error, Error::Unexpected { .. }));
        assert_eq!(error.reach(), None);
    }

    #[test]
    fn a_node_that_is_gone_has_no_services() {
        assert_eq!(node_services(&reply("null")).unwrap(), NodeServices::default());
    }

    proptest! {
        #[test]
        fn base64_reads_what_it_writes(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert_eq!(from_base64(&to_base64(&bytes)), Some(bytes));
        }

        #[test]
        fn no_text_upsets_base64(text in ".{0,40}") {
            let _ = from_base64(&text);
        }
    }

    #[test]
    fn base64_is_the_standard_one() {
        assert_eq!(to_base64(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
        assert_eq!(from_base64("a"), None);
    }
}
