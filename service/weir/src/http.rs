//! The read-only HTTP interface: metrics, health, status, records.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::views::Views;

/// What there is, for who opens the listener in a browser.
const INDEX: &str = "\
weir, read-only:
/health       200 while weir works and HAProxy runs what is written, 503 otherwise; with the reasons
/ready        200 while all is rendered and in force, 503 otherwise; with the reasons
/metrics      numbers for Prometheus
/v1/status    the state of everything, as `weir status --json`
/v1/policies  the scaling policies of it
/v1/records   what happened, the oldest first; with ?since=17 what came after the record with that seq
";

/// Serves until cancelled.
pub(crate) async fn serve(listener: TcpListener, views: Views, cancel: CancellationToken) {
    let served = axum::serve(listener, router(views)).with_graceful_shutdown(cancel.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!("the HTTP interface ended: {error}");
    }
}

fn router(views: Views) -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/v1/status", get(status))
        .route("/v1/policies", get(policies))
        .route("/v1/records", get(records))
        .with_state(views)
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

/// The records after the one that the asker has, or all.
async fn records(State(views): State<Views>, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    match since(&asked) {
        Ok(seq) => Json(views.journal.since(seq)).into_response(),
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
    }
}

fn since(asked: &BTreeMap<String, String>) -> Result<u64, String> {
    let Some(text) = asked.get("since") else { return Ok(0) };
    text.parse().map_err(|_| {
        format!(
            "`since` is {text:?}; it must be the seq of the last record that you have, such as since=17\n"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use jiff::Timestamp;
    use tokio::sync::watch;
    use weir_consul::{Health, Mode, Reach};

    use super::*;
    use crate::journal::Journal;
    use crate::metrics::Metrics;

    fn views() -> Views {
        let metrics = Arc::new(Metrics::new().unwrap());
        let health = Health {
            state: Reach::Ok,
            error: None,
            since: SystemTime::now(),
            attempts: 1,
            mode: Mode::Narrow,
            watches: 1,
            wakeups: 0,
            problems: BTreeMap::new(),
        };
        Views {
            started: Timestamp::now(),
            cluster: "c".into(),
            consul: watch::channel(Arc::new(health)).1,
            pools: Vec::new(),
            scaling: None,
            wake: None,
            peers: None,
            intents: watch::channel(Arc::default()).1,
            journal: Journal::new(metrics.clone()),
            metrics,
        }
    }

    /// The status, the type and the body of each answer.
    async fn answers(paths: &[&str]) -> Vec<(u16, String, String)> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        tokio::spawn(serve(listener, views(), cancel.clone()));
        let _ends = cancel.drop_guard();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut answers = Vec::new();
        for path in paths {
            let answer = client.get(format!("http://{address}{path}")).send().await.unwrap();
            let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
            answers.push((answer.status().as_u16(), kind, answer.text().await.unwrap()));
        }
        answers
    }

    #[tokio::test]
    async fn the_index_lists_what_there_is() {
        let index = answers(&["/"]).await.remove(0);
        assert_eq!((index.0, index.1.as_str()), (200, "text/plain; charset=utf-8"));
        let listed: Vec<&str> =
            index.2.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        assert!(listed.len() >= 6 && listed.iter().all(|path| path.starts_with('/')), "{listed:?}");
        for (path, answer) in listed.iter().zip(answers(&listed).await) {
            assert_eq!(answer.0, 200, "{path}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn records_are_asked_for_by_their_number() {
        let (code, _, text) = answers(&["/v1/records?since=abc"]).await.remove(0);
        let expected =
            "`since` is \"abc\"; it must be the seq of the last record that you have, such as since=17\n";
        assert_eq!((code, text.as_str()), (400, expected));
        let found = answers(&["/v1/records", "/v1/records?since=4"]).await;
        assert!(found.iter().all(|(code, _, text)| *code == 200 && text == "[]"), "{found:?}");
    }
}
