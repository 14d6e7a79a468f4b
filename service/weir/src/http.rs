//! The read-only HTTP interface: metrics, health, status, records.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::views::Views;

/// Serves until cancelled.
pub(crate) async fn serve(listener: TcpListener, views: Views, cancel: CancellationToken) {
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/v1/status", get(status))
        .route("/v1/policies", get(policies))
        .route("/v1/records", get(records))
        .with_state(views);
    let served = axum::serve(listener, app).with_graceful_shutdown(cancel.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!("the HTTP interface ended: {error}");
    }
}

async fn metrics(State(views): State<Views>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], views.metrics.render(&views.status()))
}

async fn health(State(views): State<Views>) -> Response {
    verdict("healthy", &views.ailments())
}

async fn ready(State(views): State<Views>) -> Response {
    verdict("ready", &views.status().reasons)
}

fn verdict(word: &str, reasons: &[String]) -> Response {
    let good = reasons.is_empty();
    let code = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ word: good, "reasons": reasons }))).into_response()
}

async fn status(State(views): State<Views>) -> impl IntoResponse {
    Json(views.status())
}

/// The scaling policies alone; none where Nomad is not configured.
async fn policies(State(views): State<Views>) -> impl IntoResponse {
    Json(views.status().scaling.map(|scaling| scaling.policies).unwrap_or_default())
}

/// Which records are asked for.
#[derive(Debug, Deserialize)]
struct Since {
    /// The last one that the asker has.
    #[serde(default)]
    since: u64,
}

async fn records(State(views): State<Views>, Query(since): Query<Since>) -> impl IntoResponse {
    Json(views.journal.since(since.since))
}
