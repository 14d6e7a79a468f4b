//! What Consul's endpoints show of the state, as JSON.
//!
//! Pure. Inputs: the state and the filters of a request. Outputs: JSON with Consul's field names.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::catalog::{Catalog, CheckDef, Entry, Node, ServiceDef};
use super::kv::Pair;
use super::session::Session;
use crate::duration::nanos;

/// What `/v1/health/service/:name` and `/v1/catalog/service/:name` filter by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) passing: bool,
    pub(crate) tag: Option<String>,
}

impl Filter {
    fn takes(&self, service: &ServiceDef) -> bool {
        self.tag.as_ref().is_none_or(|tag| service.tags.iter().any(|have| have.eq_ignore_ascii_case(tag)))
    }
}

pub(crate) fn node(node: &Node) -> Value {
    json!({
        "ID": node.def.id,
        "Node": node.def.name,
        "Address": node.def.address,
        "Datacenter": node.def.datacenter,
        "TaggedAddresses": or_null(&node.def.tagged_addresses),
        "Meta": or_null(&node.def.meta),
        "CreateIndex": node.create_index,
        "ModifyIndex": node.modify_index,
    })
}

/// Go writes a map that was never made as `null`.
fn or_null(map: &Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { Value::Object(map.clone()) }
}

fn service(entry: &Entry<ServiceDef>) -> Value {
    let service = &entry.value;
    json!({
        "ID": service.id,
        "Service": service.name,
        "Tags": service.tags,
        "Address": service.address,
        "Meta": or_null(&service.meta),
        "Port": service.port,
        "Weights": {"Passing": service.weights.0, "Warning": service.weights.1},
        "EnableTagOverride": service.enable_tag_override,
        "CreateIndex": entry.create_index,
        "ModifyIndex": entry.modify_index,
    })
}

fn check(node: &str, entry: &Entry<CheckDef>) -> Value {
    let check = &entry.value;
    json!({
        "Node": node,
        "CheckID": check.id,
        "Name": check.name,
        "Status": check.status,
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": check.service_id,
        "ServiceName": check.service_name,
        "ServiceTags": check.service_tags,
        "Type": check.kind,
        "Definition": {},
        "CreateIndex": entry.create_index,
        "ModifyIndex": entry.modify_index,
    })
}

/// `/v1/health/service/:name`.
pub(crate) fn health(catalog: &Catalog, name: &str, filter: &Filter) -> Value {
    let shown = catalog.instances(name).filter(|(_, entry)| filter.takes(&entry.value));
    let rows = shown.filter_map(|(host, entry)| {
        let checks: Vec<_> = host.checks_of(&entry.value.id).collect();
        let passes = checks.iter().all(|check| check.value.status == "passing");
        let row = || {
            let checks: Vec<Value> = checks.iter().map(|entry| check(&host.def.name, entry)).collect();
            json!({"Node": node(host), "Service": service(entry), "Checks": checks})
        };
        (passes || !filter.passing).then(row)
    });
    rows.collect()
}

/// `/v1/health/state/:state`.
pub(crate) fn checks_in_state(catalog: &Catalog, state: &str) -> Value {
    let of = |host: &Node| -> Vec<Value> {
        let fits = |entry: &&Entry<CheckDef>| state == "any" || entry.value.status == state;
        host.checks.values().filter(fits).map(|entry| check(&host.def.name, entry)).collect()
    };
    catalog.nodes.values().flat_map(of).collect()
}

/// `/v1/catalog/services`: names with the union of their tags.
pub(crate) fn services(catalog: &Catalog) -> Value {
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for entry in catalog.nodes.values().flat_map(|node| node.services.values()) {
        names.entry(&entry.value.name).or_default().extend(entry.value.tags.iter().map(String::as_str));
    }
    json!(names)
}

/// `/v1/catalog/service/:name`.
pub(crate) fn catalog_service(catalog: &Catalog, name: &str, filter: &Filter) -> Value {
    let shown = catalog.instances(name).filter(|(_, entry)| filter.takes(&entry.value));
    shown.map(|(host, entry)| catalog_row(host, entry)).collect()
}

fn catalog_row(host: &Node, entry: &Entry<ServiceDef>) -> Value {
    let service = &entry.value;
    json!({
        "ID": host.def.id,
        "Node": host.def.name,
        "Address": host.def.address,
        "Datacenter": host.def.datacenter,
        "TaggedAddresses": or_null(&host.def.tagged_addresses),
        "NodeMeta": or_null(&host.def.meta),
        "ServiceKind": "",
        "ServiceID": service.id,
        "ServiceName": service.name,
        "ServiceTags": service.tags,
        "ServiceAddress": service.address,
        "ServiceWeights": {"Passing": service.weights.0, "Warning": service.weights.1},
        "ServiceMeta": service.meta,
        "ServicePort": service.port,
        "ServiceEnableTagOverride": service.enable_tag_override,
        "CreateIndex": entry.create_index,
        "ModifyIndex": entry.modify_index,
    })
}

/// `/v1/catalog/nodes`.
pub(crate) fn nodes(catalog: &Catalog) -> Value {
    catalog.nodes.values().map(node).collect()
}

/// `/v1/catalog/node/:node`; `null` for a node that is not there.
pub(crate) fn node_services(catalog: &Catalog, name: &str) -> Value {
    let Some(host) = catalog.nodes.get(name) else { return Value::Null };
    let services: Map<String, Value> =
        host.services.iter().map(|(id, entry)| (id.clone(), service(entry))).collect();
    json!({"Node": node(host), "Services": services})
}

/// One entry of `/v1/kv/:key`.
pub(crate) fn pair(key: &str, pair: &Pair) -> Value {
    let value = if pair.value.is_empty() { Value::Null } else { base64(&pair.value).into() };
    let mut shown = json!({
        "LockIndex": pair.lock_index,
        "Key": key,
        "Flags": pair.flags,
        "Value": value,
        "CreateIndex": pair.create_index,
        "ModifyIndex": pair.modify_index,
    });
    if let Some(session) = &pair.session {
        shown["Session"] = session.clone().into();
    }
    shown
}

/// One entry of `/v1/session/list`.
pub(crate) fn session(session: &Session) -> Value {
    json!({
        "ID": session.id,
        "Name": session.name,
        "Node": session.node,
        "NodeChecks": session.checks,
        "ServiceChecks": null,
        "LockDelay": nanos(session.lock_delay),
        "Behavior": if session.delete { "delete" } else { "release" },
        "TTL": session.ttl,
        "CreateIndex": session.create_index,
        "ModifyIndex": session.create_index,
    })
}

/// `?keys` with a separator: keys cut after its next occurrence behind the prefix, each once.
pub(crate) fn key_names<'a>(
    keys: impl Iterator<Item = &'a String>,
    prefix: &str,
    separator: Option<&str>,
) -> Vec<String> {
    let separator = separator.filter(|separator| !separator.is_empty());
    let cut = |key: &String| match separator.and_then(|sep| Some((key[prefix.len()..].find(sep)?, sep.len())))
    {
        Some((at, length)) => key[..prefix.len() + at + length].to_owned(),
        None => key.clone(),
    };
    let mut names: Vec<String> = keys.map(cut).collect();
    names.dedup();
    names
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = (word >> (18 - 6 * place)) & 63;
            text.push(if place > chunk.len() { '=' } else { char::from(ALPHABET[sextet as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_the_vectors_of_rfc_4648() {
        let vectors = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, coded) in vectors {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn keys_are_cut_at_the_separator() {
        let keys = ["a/b/1", "a/b/2", "a/c"].map(str::to_owned);
        assert_eq!(key_names(keys.iter(), "a/", Some("/")), ["a/b/", "a/c"]);
        assert_eq!(key_names(keys.iter(), "a/", None), keys);
    }
}
