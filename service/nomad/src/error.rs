//! What can go wrong between Weir and Nomad, told apart by what to do about it.
//!
//! Nomad answers errors in plain text whose status says little: a lost race is a 500, a running deployment a 400.
//! [`classify`] reads the texts; they are Nomad's own, from `nomad/job_endpoint.go` and `nomad/structs/errors.go`.

use futures_util::StreamExt as _;
use progenitor_client::ByteStream;
use thiserror::Error;

/// Why Nomad did not do or tell what was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// No answer: nobody listens, the connection broke, or the time-out passed.
    #[error(
        "Nomad does not answer at {address}: check the address and that the agent runs; a connection that is \
         closed at once can mean the agent's limit http_max_conns_per_client"
    )]
    Unreachable {
        /// The base URL.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nomad answers, but its servers have no leader.
    #[error("Nomad has no leader now: wait for the election, or look at `nomad server members`")]
    NoLeader,
    /// 429: too many connections of this client.
    #[error(
        "Nomad turns connections of this host away (429): raise http_max_conns_per_client in its limits block"
    )]
    TooManyConnections,
    /// 403: the token may not do this.
    #[error(
        "Nomad denies {what}: {body}. Give the token the policy \"scale\" in the namespace, and check that it is set \
         and not expired"
    )]
    Denied {
        /// What was asked.
        what: String,
        /// Nomad's words.
        body: String,
    },
    /// 404: there is no such job, policy or allocation.
    #[error("Nomad knows no {what}: {body}")]
    NotFound {
        /// What was asked.
        what: String,
        /// Nomad's words.
        body: String,
    },
    /// A deployment of the job runs; Nomad refuses to scale until it is over. A normal state.
    #[error(
        "Nomad does not scale {what} while a deployment of the job runs: the decision is made again afterwards"
    )]
    DeploymentActive {
        /// What was asked.
        what: String,
    },
    /// The job is not the one that the decision was made from.
    #[error(
        "{what} was changed by somebody else: decided at index {expected}, found {found}. It is read and decided again"
    )]
    IndexConflict {
        /// What was asked.
        what: String,
        /// The index that the request carried.
        expected: u64,
        /// The job's index.
        found: u64,
    },
    /// The count is outside of what the scaling block or the server's `job_max_count` allows.
    #[error(
        "Nomad refuses the count for {what}: {body}. The scaling block may have changed; it is read again"
    )]
    OutOfBounds {
        /// What was asked.
        what: String,
        /// Nomad's words.
        body: String,
    },
    /// The request could not be made, for instance because the token file cannot be read.
    #[error("{reason}")]
    NotSent {
        /// Why.
        reason: String,
    },
    /// The answer is not what the API's description promises.
    #[error("Nomad's answer about {what} cannot be understood: is something else listening at {address}?")]
    NotUnderstood {
        /// What was asked.
        what: String,
        /// The base URL.
        address: String,
        /// Why, where the body could be read.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// Any other refusal.
    #[error("Nomad answered {what} with status {status}: {body}")]
    Other {
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Nomad's words.
        body: String,
    },
}

impl Error {
    /// Whether Nomad itself could not be spoken to, rather than that it refused this one request.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::NoLeader | Self::TooManyConnections | Self::NotUnderstood { .. }
        )
    }
}

/// As much of an error's text as is worth a line in a log, in bytes.
const LONGEST_BODY: usize = 2048;

/// Turns a failure of the generated client into ours; `what` names the thing asked for, such as `job "web"`.
pub(crate) async fn from_generated(
    error: progenitor_client::Error<ByteStream>,
    address: &str,
    what: impl Into<String>,
) -> Error {
    use progenitor_client::Error as E;
    let (what, address) = (what.into(), address.to_owned());
    match error {
        E::ErrorResponse(response) => {
            let status = response.status().as_u16();
            classify(status, &text(response.into_inner()).await, what)
        }
        E::UnexpectedResponse(response) => classify(response.status().as_u16(), "", what),
        E::InvalidResponsePayload(_, source) => Error::NotUnderstood { what, address, source: Some(source) },
        E::CommunicationError(e) | E::ResponseBodyError(e) | E::InvalidUpgrade(e) => {
            Error::Unreachable { address, source: Box::new(e.without_url()) }
        }
        E::InvalidRequest(reason) | E::Custom(reason) => Error::NotSent { reason },
    }
}

async fn text(mut stream: ByteStream) -> String {
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = stream.next().await {
        body.extend_from_slice(&chunk);
        if body.len() >= LONGEST_BODY {
            body.truncate(LONGEST_BODY);
            break;
        }
    }
    String::from_utf8_lossy(&body).trim().to_owned()
}

/// What a status and a text mean.
fn classify(status: u16, body: &str, what: String) -> Error {
    if let Some((expected, found)) = conflict(body) {
        return Error::IndexConflict { what, expected, found };
    }
    let body = body.to_owned();
    match status {
        _ if body.contains("job scaling blocked due to active deployment") => {
            Error::DeploymentActive { what }
        }
        _ if body.contains("No cluster leader") || body.contains("No path to region") => Error::NoLeader,
        _ if body.contains("scaling policy minimum") || body.contains("scaling policy maximum") => {
            Error::OutOfBounds { what, body }
        }
        _ if body.contains("configured job_max_count") => Error::OutOfBounds { what, body },
        403 => Error::Denied { what, body },
        500 if body.contains("Permission denied") => Error::Denied { what, body },
        404 => Error::NotFound { what, body },
        429 => Error::TooManyConnections,
        _ => Error::Other { what, status, body },
    }
}

/// The two numbers of `Enforcing job modify index 1: job exists with conflicting job modify index: 2`.
fn conflict(body: &str) -> Option<(u64, u64)> {
    let (_, rest) = body.split_once("Enforcing job modify index ")?;
    let (expected, rest) = rest.split_once(':')?;
    let (_, found) = rest.split_once("conflicting job modify index: ")?;
    let digits: String = found.chars().take_while(char::is_ascii_digit).collect();
    Some((expected.trim().parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nomads_own_texts_are_told_apart() {
        let of = |status, body| format!("{:?}", classify(status, body, "x".to_owned()));
        assert!(of(400, "job scaling blocked due to active deployment").starts_with("DeploymentActive"));
        assert!(
            of(400, "group count was less than scaling policy minimum: 0 < 1").starts_with("OutOfBounds")
        );
        assert!(
            of(400, "group count was greater than scaling policy maximum: 11 > 10")
                .starts_with("OutOfBounds")
        );
        assert!(
            of(500, "total count was greater than configured job_max_count: 11 > 10").starts_with("OutOfB")
        );
        assert!(of(404, "job \"x\" not found").starts_with("NotFound"));
        assert!(of(403, "Permission denied").starts_with("Denied"));
        assert!(of(500, "rpc error: Permission denied").starts_with("Denied"));
        assert!(of(500, "No cluster leader").starts_with("NoLeader"));
        assert!(of(429, "").starts_with("TooMany"));
        assert!(of(400, "scaling action count can't be negative").starts_with("Other"));
    }

    #[test]
    fn a_lost_race_tells_both_indexes() {
        let text = "Enforcing job modify index 53: job exists with conflicting job modify index: 54\n";
        let error = classify(500, text, "job \"web\"".to_owned());
        assert!(matches!(error, Error::IndexConflict { expected: 53, found: 54, .. }), "{error:?}");
        assert_eq!(conflict("Enforcing job modify index 1: job does not exist"), None);
    }
}
