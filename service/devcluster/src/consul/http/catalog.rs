//! `/v1/catalog/…` and `/v1/health/…`.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::read::{Answer, Params};
use super::{Api, Refused, decode, failure, refused};
use crate::consul::parse;
use crate::consul::state::State as Known;
use crate::consul::view::{self, Filter};

pub(super) async fn register(State(api): State<Api>, body: Bytes) -> Result<Json<bool>, Refused> {
    let parsed = parse::catalog_registration(&decode(&body)?, &api.datacenter);
    let (node, service, checks) = parsed.map_err(|text| refused(StatusCode::BAD_REQUEST, &text))?;
    let outcome = api.consul.state.write(|state| state.register(&node, service, checks));
    outcome.map(|()| Json(true)).map_err(|_missing| failure("Missing service registration"))
}

pub(super) async fn deregister(State(api): State<Api>, body: Bytes) -> Result<Json<bool>, Refused> {
    let (node, service, check) = parse::catalog_deregistration(&decode(&body)?);
    if node.is_empty() {
        return Err(refused(StatusCode::BAD_REQUEST, "Must provide node"));
    }
    api.consul.state.write(|state| state.deregister(&node, &service, &check, Instant::now()));
    Ok(Json(true))
}

fn filter(params: &Params) -> Filter {
    let passing = params.get("passing").is_some_and(|value| value.is_empty() || value.parse() != Ok(false));
    Filter { passing, tag: params.get("tag").filter(|tag| !tag.is_empty()).cloned() }
}

/// What the token may see: everything, or, when it lost its permission, what `empty` says.
fn permitted(api: &Api, empty: &Value, shown: impl FnOnce() -> Value) -> Answer {
    if api.is_denied() { Answer::json(empty) } else { Answer::json(&shown()) }
}

pub(super) async fn health(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let filter = filter(&params);
    let show = |state: &Known| permitted(&api, &json!([]), || view::health(&state.catalog, &name, &filter));
    api.read(&params, |state| state.catalog.service_index(&name), show).await
}

pub(super) async fn service(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let filter = filter(&params);
    let show =
        |state: &Known| permitted(&api, &json!([]), || view::catalog_service(&state.catalog, &name, &filter));
    api.read(&params, |state| state.catalog.service_index(&name), show).await
}

pub(super) async fn checks(
    State(api): State<Api>,
    Path(wanted): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let show = |state: &Known| permitted(&api, &json!([]), || view::checks_in_state(&state.catalog, &wanted));
    api.read(&params, |state| state.catalog.checks_index, show).await
}

pub(super) async fn services(State(api): State<Api>, Query(params): Query<Params>) -> Response {
    let show = |state: &Known| permitted(&api, &json!({}), || view::services(&state.catalog));
    api.read(&params, |state| state.catalog.services_index, show).await
}

pub(super) async fn nodes(State(api): State<Api>, Query(params): Query<Params>) -> Response {
    let show = |state: &Known| permitted(&api, &json!([]), || view::nodes(&state.catalog));
    api.read(&params, |state| state.catalog.nodes_index, show).await
}

pub(super) async fn node(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let show = |state: &Known| permitted(&api, &Value::Null, || view::node_services(&state.catalog, &name));
    api.read(&params, |state| state.catalog.nodes_index.max(state.catalog.services_index), show).await
}
