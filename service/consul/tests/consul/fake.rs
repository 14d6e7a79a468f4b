//! A server that answers as a test tells it to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// What the server does with a request for the service `web`.
#[derive(Clone)]
pub(crate) enum Step {
    /// Answers with this port, index, and further headers.
    Port(u16, u64, &'static [(&'static str, &'static str)]),
    /// Answers with this status and body.
    Status(u16, &'static str),
    /// Announces a longer body than it sends.
    BreakOff,
    /// Never answers.
    Hang,
}

/// What it was asked.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// A running fake: the steps are taken in order, after the last it hangs.
pub(crate) struct Fake {
    pub(crate) address: String,
    pub(crate) asked: Asked,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    asked: Asked,
}

impl Fake {
    pub(crate) async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        let asked = Asked::default();
        let script =
            Script { steps: Arc::new(Mutex::new(steps.into_iter().collect())), asked: asked.clone() };
        let router = Router::new().fallback(answer).with_state(script);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, asked, _task: AbortOnDropHandle::new(task) }
    }

    /// The queries for the service, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(script): State<Script>, uri: Uri) -> Response {
    if uri.path() == "/v1/status/leader" {
        return Response::new(Body::from(r#""127.0.0.1:8300""#));
    }
    script.asked.lock().unwrap().push(uri.query().unwrap_or_default().to_owned());
    let step = script.steps.lock().unwrap().pop_front();
    take(step.unwrap_or(Step::Hang)).await
}

async fn take(step: Step) -> Response {
    let response = Response::builder();
    match step {
        Step::Port(port, index, headers) => {
            let body =
                format!(r#"[{{"Node":{{"Address":"10.0.0.1"}},"Service":{{"ID":"w","Port":{port}}}}}]"#);
            let response = response.header("X-Consul-Index", index);
            let response =
                headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
            response.body(Body::from(body)).unwrap()
        }
        Step::Status(status, body) => {
            response.status(StatusCode::from_u16(status).unwrap()).body(Body::from(body)).unwrap()
        }
        Step::BreakOff => response
            .header("X-Consul-Index", 5)
            .header("Content-Length", 100)
            .body(Body::from_stream(futures_util::stream::iter([
                Ok(b"[{".to_vec()),
                Err(std::io::Error::other("cut")),
            ])))
            .unwrap(),
        Step::Hang => std::future::pending().await,
    }
}
