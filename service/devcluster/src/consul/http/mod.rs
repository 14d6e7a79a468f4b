//! Consul's HTTP API: routes, and the rules that hold for all of them.
//!
//! Inputs: requests. Outputs: Consul's answers, headers and error texts. The handlers are thin: they read
//! parameters, call the state, and show what it says.

mod agent;
mod catalog;
mod kv;
mod read;
mod session;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde_json::Value;

use super::ConsulStore;
use crate::fault::Switches;

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct Api {
    consul: Arc<ConsulStore>,
    faults: Arc<Switches>,
    datacenter: Arc<str>,
}

/// The routes of the Consul side.
pub(crate) fn router(consul: Arc<ConsulStore>, faults: Arc<Switches>, datacenter: &str) -> Router {
    let api = Api { consul, faults, datacenter: datacenter.into() };
    let routes = Router::new()
        .route("/v1/agent/self", get(agent::whoami))
        .route("/v1/agent/maintenance", put(agent::node_maintenance))
        .route("/v1/agent/service/register", put(agent::register))
        .route("/v1/agent/service/deregister/{*id}", put(agent::deregister))
        .route("/v1/agent/service/maintenance/{*id}", put(agent::maintenance))
        .route("/v1/agent/check/{verb}/{*id}", put(agent::report))
        .route("/v1/catalog/register", put(catalog::register))
        .route("/v1/catalog/deregister", put(catalog::deregister))
        .route("/v1/catalog/services", get(catalog::services))
        .route("/v1/catalog/service/{name}", get(catalog::service))
        .route("/v1/catalog/nodes", get(catalog::nodes))
        .route("/v1/catalog/node/{name}", get(catalog::node))
        .route("/v1/health/service/{name}", get(catalog::health))
        .route("/v1/health/state/{state}", get(catalog::checks))
        .route("/v1/kv/", get(kv::get_root).delete(kv::delete_root))
        .route("/v1/kv/{*key}", get(kv::get).put(kv::put).delete(kv::delete))
        .route("/v1/session/create", put(session::create))
        .route("/v1/session/renew/{id}", put(session::renew))
        .route("/v1/session/destroy/{id}", put(session::destroy))
        .route("/v1/session/info/{id}", get(session::info))
        .route("/v1/session/list", get(session::list))
        .route("/v1/status/leader", get(agent::leader));
    routes.layer(from_fn_with_state(api.clone(), faulty)).with_state(api)
}

/// Faults that concern every request.
async fn faulty(State(api): State<Api>, request: Request, next: Next) -> Response {
    if api.faults.consul_429.is_on() {
        let text = "Your IP is issuing too many concurrent connections, please rate limit your calls\n";
        return (StatusCode::TOO_MANY_REQUESTS, text).into_response();
    }
    api.faults.consul_hang.until_off().await;
    let write = request.method() != axum::http::Method::GET;
    let local = request.uri().path().starts_with("/v1/agent/");
    if write && !local && api.faults.consul_no_leader.is_on() {
        return no_leader().into_response();
    }
    let response = next.run(request).await;
    api.faults.consul_hang.until_off().await;
    response
}

/// An error answer: Consul's plain text.
type Refused = (StatusCode, String);

fn no_leader() -> Refused {
    failure("No cluster leader")
}

fn failure(text: &str) -> Refused {
    refused(StatusCode::INTERNAL_SERVER_ERROR, text)
}

fn refused(status: StatusCode, text: &str) -> Refused {
    (status, text.to_owned())
}

/// The body of a request as JSON, or Consul's 400.
fn decode(body: &Bytes) -> Result<Value, Refused> {
    serde_json::from_slice(body)
        .map_err(|error| refused(StatusCode::BAD_REQUEST, &format!("Request decode failed: {error}")))
}
