//! `/v1/kv/…`.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::read::{Answer, Params};
use super::{Api, Refused, failure, refused};
use crate::consul::kv::Put;
use crate::consul::state::State as Known;
use crate::consul::view;

pub(super) async fn get(
    State(api): State<Api>,
    Path(key): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    read(&api, &key, &params).await
}

pub(super) async fn get_root(State(api): State<Api>, Query(params): Query<Params>) -> Response {
    read(&api, "", &params).await
}

async fn read(api: &Api, key: &str, params: &Params) -> Response {
    if params.contains_key("keys") {
        return api.read(params, |state| state.kv.prefix_index(key), |state| names(state, key, params)).await;
    }
    if params.contains_key("recurse") {
        return api.read(params, |state| state.kv.prefix_index(key), |state| tree(state, key)).await;
    }
    if key.is_empty() {
        return refused(StatusCode::BAD_REQUEST, "Missing key name").into_response();
    }
    let raw = params.contains_key("raw");
    let show = |state: &Known| match state.kv.pairs.get(key) {
        None => Answer::not_found(),
        Some(pair) if raw => Answer::raw(pair.value.clone()),
        Some(pair) => Answer::json(&json!([view::pair(key, pair)])),
    };
    api.read(params, |state| state.kv.key_index(key), show).await
}

fn names(state: &Known, prefix: &str, params: &Params) -> Answer {
    let separator = params.get("separator").map(String::as_str);
    let names = view::key_names(state.kv.under(prefix).map(|(key, _)| key), prefix, separator);
    if names.is_empty() { Answer::not_found() } else { Answer::json(&json!(names)) }
}

fn tree(state: &Known, prefix: &str) -> Answer {
    let pairs: Vec<Value> = state.kv.under(prefix).map(|(key, pair)| view::pair(key, pair)).collect();
    if pairs.is_empty() { Answer::not_found() } else { Answer::json(&pairs.into()) }
}

/// A parameter that must be a number where it is given.
fn number(params: &Params, name: &str) -> Result<Option<u64>, Refused> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let refuse = |_| refused(StatusCode::BAD_REQUEST, &format!("Invalid {name} value: {text}"));
    text.parse().map(Some).map_err(refuse)
}

fn how(params: &Params) -> Result<Put, Refused> {
    let named = ["cas", "acquire", "release"].iter().filter(|name| params.contains_key(**name)).count();
    if named > 1 {
        return Err(refused(StatusCode::BAD_REQUEST, "Conflicting flags: cas, acquire and release"));
    }
    if let Some(index) = number(params, "cas")? {
        return Ok(Put::Cas(index));
    }
    let acquire = params.get("acquire").map(|session| Put::Acquire(session.clone()));
    let release = params.get("release").map(|session| Put::Release(session.clone()));
    Ok(acquire.or(release).unwrap_or(Put::Set))
}

pub(super) async fn put(
    State(api): State<Api>,
    Path(key): Path<String>,
    Query(params): Query<Params>,
    body: Bytes,
) -> Result<Json<bool>, Refused> {
    let (how, flags) = (how(&params)?, number(&params, "flags")?.unwrap_or(0));
    let now = Instant::now();
    let outcome = api.consul.state.write(|state| state.put_key(&key, body.to_vec(), flags, &how, now));
    outcome.map(Json).map_err(|text| failure(&text))
}

pub(super) async fn delete(
    State(api): State<Api>,
    Path(key): Path<String>,
    Query(params): Query<Params>,
) -> Result<Json<bool>, Refused> {
    if params.contains_key("recurse") {
        api.consul.state.write(|state| state.delete_tree(&key));
        return Ok(Json(true));
    }
    let cas = number(&params, "cas")?;
    Ok(Json(api.consul.state.write(|state| state.delete_key(&key, cas))))
}

pub(super) async fn delete_root(
    State(api): State<Api>,
    Query(params): Query<Params>,
) -> Result<Json<bool>, Refused> {
    if !params.contains_key("recurse") {
        return Err(refused(StatusCode::BAD_REQUEST, "Missing key name"));
    }
    api.consul.state.write(|state| state.delete_tree(""));
    Ok(Json(true))
}
