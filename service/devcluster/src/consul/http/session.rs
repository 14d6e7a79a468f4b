//! `/v1/session/…`.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::read::{Answer, Params};
use super::{Api, Refused, decode, failure, refused};
use crate::consul::session::Session;
use crate::consul::state::State as Known;
use crate::consul::{parse, view};

pub(super) async fn create(State(api): State<Api>, body: Bytes) -> Result<Json<Value>, Refused> {
    let body = if body.is_empty() { json!({}) } else { decode(&body)? };
    let agent = api.consul.state.read(|state| state.node().to_owned());
    let session = session_of(parse::session(&body, &agent).map_err(|text| failure(&text))?);
    let id = session.id.clone();
    let outcome = api.consul.state.write(|state| state.create_session(session));
    outcome.map(|()| Json(json!({"ID": id}))).map_err(|text| failure(&text))
}

fn session_of(request: parse::SessionRequest) -> Session {
    let mut session = Session::new(crate::id::uuid(), request.node, request.ttl, Instant::now());
    session.name = request.name;
    session.delete = request.delete;
    if let Some(delay) = request.lock_delay {
        session.lock_delay = delay;
    }
    session
}

pub(super) async fn renew(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    // No index moves: renewing wakes nobody. The expiry looks again when it comes, and finds it later.
    let renewed = api
        .consul
        .state
        .write_if(|state| (false, state.sessions.renew(&id, Instant::now()).map(view::session)));
    let unknown = || refused(StatusCode::NOT_FOUND, &format!("Session id '{id}' not found"));
    renewed.map(|session| Json(json!([session]))).ok_or_else(unknown)
}

pub(super) async fn destroy(State(api): State<Api>, Path(id): Path<String>) -> Json<bool> {
    api.consul.state.write(|state| state.destroy_session(&id, Instant::now()));
    Json(true)
}

pub(super) async fn info(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
) -> Response {
    let show = |state: &Known| {
        let found: Vec<Value> = state.sessions.by_id.get(&id).map(view::session).into_iter().collect();
        Answer::json(&found.into())
    };
    api.read(&params, |state| state.sessions.index, show).await
}

pub(super) async fn list(State(api): State<Api>, Query(params): Query<Params>) -> Response {
    let show = |state: &Known| Answer::json(&state.sessions.by_id.values().map(view::session).collect());
    api.read(&params, |state| state.sessions.index, show).await
}
