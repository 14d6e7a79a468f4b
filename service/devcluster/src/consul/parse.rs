//! From Consul's registration JSON to what the catalogue stores.
//!
//! Pure. Inputs: request bodies. Outputs: definitions, or the text of a 400. As in Consul, several spellings
//! of a field name are taken (`CheckID`, `check_id`).

use std::time::Duration;

use serde_json::{Map, Value};

use super::catalog::{CheckDef, NodeDef, ServiceDef};
use super::state::{Probe, Timing};
use crate::duration;

/// A field whatever its case and underscores; `null` counts as absent.
fn field<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    let plain = |key: &str| key.replace('_', "").eq_ignore_ascii_case(name);
    let (_, value) = body.as_object()?.iter().find(|(key, _)| plain(key))?;
    (!value.is_null()).then_some(value)
}

fn text(body: &Value, name: &str) -> String {
    field(body, name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn map(body: &Value, name: &str) -> Map<String, Value> {
    field(body, name).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn either(first: String, second: &str) -> String {
    if first.is_empty() { second.to_owned() } else { first }
}

fn weights(body: &Value) -> (i64, i64) {
    let of = |name| field(body, "Weights").and_then(|weights| field(weights, name)).and_then(Value::as_i64);
    (of("Passing").unwrap_or(1), of("Warning").unwrap_or(1))
}

/// A service of the agent's or the catalogue's registration; `name` is the field that carries its name.
fn service(body: &Value, name: &str) -> ServiceDef {
    let service = text(body, name);
    let tags = field(body, "Tags").and_then(Value::as_array);
    let tags = tags.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    ServiceDef {
        id: either(text(body, "ID"), &service),
        name: service,
        tags,
        address: text(body, "Address"),
        port: field(body, "Port").and_then(Value::as_i64).unwrap_or(0),
        meta: map(body, "Meta"),
        weights: weights(body),
        enable_tag_override: field(body, "EnableTagOverride").and_then(Value::as_bool).unwrap_or(false),
    }
}

/// `/v1/agent/service/register`.
pub(crate) fn registration(body: &Value) -> Result<(ServiceDef, Vec<(CheckDef, Probe)>), String> {
    let service = service(body, "Name");
    if service.name.is_empty() {
        return Err("Missing service name".to_owned());
    }
    let one = field(body, "Check").filter(|check| check.as_object().is_some_and(|map| !map.is_empty()));
    let many = field(body, "Checks").and_then(Value::as_array);
    let checks: Vec<&Value> = one.into_iter().chain(many.into_iter().flatten()).collect();
    let named = |(position, check): (usize, &&Value)| {
        let id = default_check_id(&service.id, position, checks.len());
        agent_check(check, &service, &id)
    };
    let parsed = checks.iter().enumerate().map(named).collect::<Result<_, _>>()?;
    Ok((service, parsed))
}

fn default_check_id(service: &str, position: usize, of: usize) -> String {
    if of > 1 { format!("service:{service}:{}", position + 1) } else { format!("service:{service}") }
}

fn agent_check(body: &Value, service: &ServiceDef, id: &str) -> Result<(CheckDef, Probe), String> {
    let (kind, probe) = probe(body)?;
    let check = CheckDef {
        id: either(text(body, "CheckID"), id),
        name: either(text(body, "Name"), &format!("Service '{}' check", service.name)),
        status: either(text(body, "Status"), "critical"),
        notes: text(body, "Notes"),
        service_id: service.id.clone(),
        kind: kind.to_owned(),
        ..CheckDef::default()
    };
    Ok((check, probe))
}

fn probe(body: &Value) -> Result<(&'static str, Probe), String> {
    let length = |name| field(body, name).and_then(duration::from_json).filter(|length| !length.is_zero());
    if let Some(ttl) = length("TTL") {
        return Ok(("ttl", Probe::Ttl(ttl)));
    }
    let interval = length("Interval").ok_or("Invalid check: TTL must be > 0 for TTL checks")?;
    let timing = Timing { interval, timeout: length("Timeout").unwrap_or(Duration::from_secs(10)) };
    match (text(body, "HTTP"), text(body, "TCP")) {
        (url, _) if !url.is_empty() => Ok(("http", Probe::Http(timing, url))),
        (_, address) if !address.is_empty() => Ok(("tcp", Probe::Tcp(timing, address))),
        _ => Err("Invalid check: only TTL, HTTP and TCP checks are run here".to_owned()),
    }
}

/// `/v1/catalog/register`.
pub(crate) fn catalog_registration(
    body: &Value,
    datacenter: &str,
) -> Result<(NodeDef, Option<ServiceDef>, Vec<CheckDef>), String> {
    let node = NodeDef {
        id: text(body, "ID"),
        name: text(body, "Node"),
        address: text(body, "Address"),
        datacenter: either(text(body, "Datacenter"), datacenter),
        tagged_addresses: map(body, "TaggedAddresses"),
        meta: map(body, "NodeMeta"),
    };
    if node.name.is_empty() || node.address.is_empty() {
        return Err("Must provide node and address".to_owned());
    }
    let service = field(body, "Service").map(|body| service(body, "Service"));
    let many = field(body, "Checks").and_then(Value::as_array);
    let checks = field(body, "Check").into_iter().chain(many.into_iter().flatten());
    let default = service.as_ref().map(|service| service.id.clone()).unwrap_or_default();
    Ok((node, service, checks.map(|check| catalog_check(check, &default)).collect()))
}

fn catalog_check(body: &Value, service: &str) -> CheckDef {
    let own = field(body, "ServiceID").is_none() && field(body, "CheckID").is_none();
    let service = if own { service.to_owned() } else { text(body, "ServiceID") };
    CheckDef {
        id: either(text(body, "CheckID"), &text(body, "Name")),
        name: text(body, "Name"),
        status: either(text(body, "Status"), "critical"),
        notes: text(body, "Notes"),
        output: text(body, "Output"),
        service_id: service,
        ..CheckDef::default()
    }
}

/// `/v1/catalog/deregister`: node, service, check.
pub(crate) fn catalog_deregistration(body: &Value) -> (String, String, String) {
    (text(body, "Node"), text(body, "ServiceID"), text(body, "CheckID"))
}

/// What `/v1/session/create` may say.
pub(crate) struct SessionRequest {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) ttl: String,
    pub(crate) lock_delay: Option<Duration>,
    pub(crate) delete: bool,
}

/// Consul takes a bare number below this as seconds, any other as nanoseconds (`lockDelayMinThreshold`).
const NUMBER_IS_SECONDS_BELOW: u64 = 1000;
const TTL: (Duration, Duration) = (Duration::from_secs(10), Duration::from_hours(24));
const MAX_LOCK_DELAY: Duration = Duration::from_mins(1);

/// `/v1/session/create`.
pub(crate) fn session(body: &Value, agent: &str) -> Result<SessionRequest, String> {
    let ttl = text(body, "TTL");
    let length = duration::parse(&ttl);
    if !ttl.is_empty() && length.is_none_or(|ttl| ttl < TTL.0 || ttl > TTL.1) {
        return Err(format!("Invalid Session TTL '{ttl}', must be between [10s=24h0m0s]"));
    }
    let lock_delay = field(body, "LockDelay").and_then(|delay| match delay.as_u64() {
        Some(seconds) if seconds < NUMBER_IS_SECONDS_BELOW => Some(Duration::from_secs(seconds)),
        _ => duration::from_json(delay),
    });
    Ok(SessionRequest {
        name: text(body, "Name"),
        node: either(text(body, "Node"), agent),
        ttl,
        lock_delay: lock_delay.map(|delay| delay.min(MAX_LOCK_DELAY)),
        delete: text(body, "Behavior") == "delete",
    })
}
