//! Asks a Prometheus server.
//!
//! A window is asked for as a range that ends now (or `query_window_offset` ago), in steps of the scrape
//! interval: shorter steps would only repeat each point, and a strategy that counts points would count them
//! many times. With `"instant"`, or a window shorter than one step, it is the one value of that moment.

mod reply;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Identity, StatusCode, Url};
use weir_scaling::Window;

use super::{Answer, Unanswered};
use crate::body;
use crate::chain::chain;
use crate::config::{self, Token};

/// Prometheus refuses ranges of more than 11,000 points.
const MOST_POINTS: u32 = 10_000;

/// A client of one Prometheus server.
#[derive(Debug, Clone)]
pub(crate) struct Prometheus {
    client: reqwest::Client,
    address: Url,
    step: Duration,
    timeout: Duration,
    token: Token,
    auth: Option<(String, String)>,
}

/// When values are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: SystemTime,
    end: SystemTime,
    step: Duration,
}

impl Range {
    /// The points of a window that ends at `end`, one of them there; one alone for less than a step.
    fn of(window: Window, end: SystemTime, step: Duration) -> Option<Self> {
        let span = window.span();
        let step = step.max(span / MOST_POINTS);
        let steps = u32::try_from(span.as_nanos() / step.as_nanos().max(1)).unwrap_or(MOST_POINTS);
        (steps > 0).then(|| Self { start: end.checked_sub(step * steps).unwrap_or(UNIX_EPOCH), end, step })
    }
}

impl Prometheus {
    /// A client for the block `prometheus`. Certificates are read; nothing is sent.
    pub(crate) fn new(config: &config::Prometheus) -> anyhow::Result<Self> {
        Ok(Self {
            client: client(config)?,
            address: config.address.clone(),
            step: config.scrape_interval,
            timeout: config.timeout,
            token: config.token.clone(),
            auth: config.auth.clone(),
        })
    }

    /// The values of the query in the window that ends `offset` before `now`.
    pub(super) async fn ask(&self, query: &str, window: Window, offset: Duration, now: SystemTime) -> Answer {
        let end = now.checked_sub(offset).unwrap_or(now);
        let range = Range::of(window, end, self.step);
        let mut parameters = vec![("query", query.to_owned())];
        let path = if let Some(Range { start, end, step }) = range {
            parameters.extend([("start", unix(start)), ("end", unix(end)), ("step", seconds(step))]);
            "query_range"
        } else {
            // Now is Prometheus' own, by its clock.
            parameters.extend((!offset.is_zero()).then(|| ("time", unix(end))));
            "query"
        };
        let body = self.get(path, &parameters).await?;
        match range {
            Some(range) => reply::range(&body, unix_seconds(range.end), range.step.as_secs_f64()),
            None => reply::instant(&body),
        }
    }

    async fn get(&self, path: &str, parameters: &[(&str, String)]) -> Result<Vec<u8>, Unanswered> {
        let mut url = self.address.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1", path]);
        }
        let mut request = self.client.get(url).timeout(self.timeout).query(parameters);
        if let Some((user, password)) = &self.auth {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(secret) = self.token.secret().await.map_err(Unanswered::Away)? {
            request = request.bearer_auth(secret);
        }
        let away = |error: String| {
            Unanswered::Away(format!("Prometheus at {} does not answer: {error}", self.address))
        };
        let response = request.send().await.map_err(|error| away(chain(&error.without_url())))?;
        let status = response.status();
        let body = body::read(response).await.map_err(away)?;
        // 400 and 422 say what is wrong with the query, in the body.
        match status {
            StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Ok(body),
            status => Err(Unanswered::Away(format!("Prometheus at {} answers {status}", self.address))),
        }
    }
}

fn client(config: &config::Prometheus) -> anyhow::Result<reqwest::Client> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).with_context(|| format!("block `prometheus`: {} cannot be read", path.display()))
    };
    let mut headers: HeaderMap = config.headers.clone();
    headers.values_mut().for_each(|value| value.set_sensitive(true));
    let mut builder =
        reqwest::Client::builder().no_proxy().default_headers(headers).connect_timeout(config.timeout);
    if let Some(tls) = &config.tls {
        builder = builder.tls_danger_accept_invalid_certs(!tls.verify);
        if let Some(path) = &tls.ca_cert {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&read(path)?)?);
        }
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            let identity = [read(cert)?, b"\n".to_vec(), read(key)?].concat();
            builder = builder.identity(Identity::from_pem(&identity)?);
        }
    }
    builder.build().context("block `prometheus`")
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// As Prometheus takes it: seconds, to the millisecond.
fn unix(time: SystemTime) -> String {
    format!("{:.3}", unix_seconds(time))
}

fn seconds(span: Duration) -> String {
    format!("{:.3}", span.as_secs_f64())
}

#[cfg(test)]
mod tests;
