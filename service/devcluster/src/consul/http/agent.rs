//! `/v1/agent/…` and `/v1/status/…`.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::read::Params;
use super::{Api, Refused, decode, failure, refused};
use crate::consul::catalog::CheckDef;

pub(super) async fn whoami(State(api): State<Api>) -> Json<Value> {
    let node = api.consul.state.read(|state| state.node().to_owned());
    let config =
        json!({"Datacenter": &*api.datacenter, "NodeName": node, "Server": true, "Version": "1.20.0"});
    Json(json!({"Config": config, "Member": {"Name": node, "Addr": "127.0.0.1", "Status": 1}}))
}

pub(super) async fn leader(State(api): State<Api>) -> Json<Value> {
    let leader = if api.faults.consul_no_leader.is_on() { "" } else { "127.0.0.1:8300" };
    Json(leader.into())
}

pub(super) async fn register(State(api): State<Api>, body: Bytes) -> Result<(), Refused> {
    api.consul.register(&decode(&body)?).map_err(|text| refused(StatusCode::BAD_REQUEST, &text))
}

pub(super) async fn deregister(State(api): State<Api>, Path(id): Path<String>) -> Result<(), Refused> {
    if api.consul.deregister(&id) { Ok(()) } else { Err(unknown_service(&id)) }
}

fn unknown_service(id: &str) -> Refused {
    let text =
        format!("Unknown service ID {id:?}. Ensure that the service ID is passed, not the service name.");
    refused(StatusCode::NOT_FOUND, &text)
}

pub(super) async fn report(
    State(api): State<Api>,
    Path((verb, id)): Path<(String, String)>,
    Query(params): Query<Params>,
) -> Result<(), Refused> {
    let status = match verb.as_str() {
        "pass" => "passing",
        "warn" => "warning",
        "fail" => "critical",
        _ => return Err(refused(StatusCode::NOT_FOUND, "")),
    };
    let note = params.get("note").map(String::as_str).unwrap_or_default();
    if api.consul.state.write(|state| state.report_ttl(&id, status, note, Instant::now())) {
        return Ok(());
    }
    let text = format!("Unknown check ID {id:?}. Ensure that the check ID is passed, not the check name.");
    Err(refused(StatusCode::NOT_FOUND, &text))
}

/// `?enable=true|false`, which Consul insists on.
fn enabled(params: &Params) -> Result<bool, Refused> {
    let refuse = |text| refused(StatusCode::BAD_REQUEST, text);
    let enable = params.get("enable").ok_or_else(|| refuse("Missing value for enable"))?;
    enable.parse().map_err(|_| refuse("Invalid value for enable"))
}

fn maintenance_check(id: String, what: &str, params: &Params) -> CheckDef {
    let default = format!(
        "Maintenance mode is enabled for this {what}, but no reason was provided. This is a default message."
    );
    let reason = params.get("reason").filter(|reason| !reason.is_empty()).unwrap_or(&default);
    let name = if what == "node" { "Node Maintenance Mode" } else { "Service Maintenance Mode" };
    CheckDef {
        id,
        name: name.to_owned(),
        status: "critical".to_owned(),
        notes: reason.clone(),
        kind: "maintenance".to_owned(),
        ..CheckDef::default()
    }
}

pub(super) async fn maintenance(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Result<(), Refused> {
    if !api.consul.has_service(&id) {
        return Err(unknown_service(&id));
    }
    let check = maintenance_check(format!("_service_maintenance:{id}"), "service", &params);
    set_maintenance(&api, CheckDef { service_id: id, ..check }, &params)
}

pub(super) async fn node_maintenance(
    State(api): State<Api>,
    Query(params): Query<Params>,
) -> Result<(), Refused> {
    set_maintenance(&api, maintenance_check("_node_maintenance".to_owned(), "node", &params), &params)
}

fn set_maintenance(api: &Api, check: CheckDef, params: &Params) -> Result<(), Refused> {
    let enable = enabled(params)?;
    let outcome = api.consul.state.write(|state| {
        if enable {
            return state.set_local_check(check);
        }
        state.remove_local_check(&check.id);
        Ok(())
    });
    outcome.map_err(|_missing| failure("Missing service registration"))
}
