//! Reads: the common parameters (`index`, `wait`, `stale`, `consistent`), the wait, and the headers.
//!
//! Inputs: query parameters. Outputs: a response with Consul's headers, or its error text.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::{Api, no_leader, refused};
use crate::consul::state::State;
use crate::duration;
use crate::store::Wait;

/// Query parameters by name; one without a value is empty.
pub(crate) type Params = HashMap<String, String>;

/// Consul's `defaultQueryTime` and `maxQueryTime`.
const DEFAULT_WAIT: Duration = Duration::from_mins(5);
const MAX_WAIT: Duration = Duration::from_mins(10);

/// What a read answers.
pub(crate) struct Answer {
    status: StatusCode,
    content: &'static str,
    body: Bytes,
}

impl Answer {
    pub(crate) fn json(value: &Value) -> Self {
        Self { status: StatusCode::OK, content: "application/json", body: value.to_string().into() }
    }

    pub(crate) fn raw(body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, content: "application/octet-stream", body: body.into() }
    }

    /// 404 with an empty body, which carries the index all the same.
    pub(crate) fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, content: "text/plain", body: Bytes::new() }
    }
}

/// Up to a sixteenth more, so that watches that began together do not end together.
fn with_jitter(wait: Duration) -> Duration {
    wait + (wait / 16).mul_f64(fastrand::f64())
}

fn wait_of(params: &Params) -> Result<Option<Wait>, &'static str> {
    let index = match params.get("index").map(String::as_str) {
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| "Invalid index")?,
    };
    let limit = match params.get("wait").map(String::as_str) {
        None | Some("") => DEFAULT_WAIT,
        Some(text) => duration::parse(text).ok_or("Invalid wait time")?,
    };
    let limit = if limit.is_zero() { DEFAULT_WAIT } else { limit.min(MAX_WAIT) };
    Ok((index > 0).then(|| Wait { index, limit: with_jitter(limit) }))
}

impl Api {
    /// Answers a read, after a wait if the client asked for one.
    pub(crate) async fn read(
        &self,
        params: &Params,
        index: impl Fn(&State) -> u64,
        answer: impl Fn(&State) -> Answer,
    ) -> Response {
        let stale = params.contains_key("stale");
        if stale && params.contains_key("consistent") {
            let text = "Cannot specify ?stale with ?consistent, conflicting semantics.";
            return refused(StatusCode::BAD_REQUEST, text).into_response();
        }
        let wait = match wait_of(params) {
            Ok(wait) => wait,
            Err(text) => return refused(StatusCode::BAD_REQUEST, text).into_response(),
        };
        let lost = || self.faults.consul_no_leader.is_on();
        if lost() && !stale {
            return no_leader().into_response();
        }
        let (index, answer) = self.consul.state.blocking(wait, |state| index(state).max(1), answer).await;
        if lost() && !stale {
            return no_leader().into_response();
        }
        respond(index, answer, !lost())
    }

    /// True while the token may not read nodes and services.
    pub(crate) fn is_denied(&self) -> bool {
        self.faults.consul_acl.is_on()
    }
}

fn respond(index: u64, answer: Answer, leader: bool) -> Response {
    let mut response = (answer.status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content));
    headers.insert(HeaderName::from_static("x-consul-index"), index.into());
    let known = HeaderValue::from_static(if leader { "true" } else { "false" });
    headers.insert(HeaderName::from_static("x-consul-knownleader"), known);
    // Without a leader the copy ages; a minute is older than any `max_stale` in use.
    let contact = HeaderValue::from_static(if leader { "0" } else { "60000" });
    headers.insert(HeaderName::from_static("x-consul-lastcontact"), contact);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(index: &str, wait: &str) -> Result<Option<Wait>, &'static str> {
        let params = [("index", index), ("wait", wait)];
        wait_of(&params.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    #[test]
    fn the_wait_is_consuls() {
        assert!(wait("0", "10s").unwrap().is_none(), "index 0 does not wait");
        let limit = wait("7", "16s").unwrap().unwrap().limit;
        assert!((Duration::from_secs(16)..=Duration::from_secs(17)).contains(&limit), "{limit:?}");
        assert!(wait("7", "").unwrap().unwrap().limit >= DEFAULT_WAIT);
        assert!(wait("7", "9h").unwrap().unwrap().limit <= MAX_WAIT + MAX_WAIT / 16);
        assert_eq!(wait("x", "1s").unwrap_err(), "Invalid index");
        assert_eq!(wait("1", "1").unwrap_err(), "Invalid wait time");
    }
}
