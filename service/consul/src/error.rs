//! What can go wrong with Consul, and whom it concerns.

use std::path::PathBuf;

use crate::Reach;

/// Why a request to Consul, or making a client, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be used.
    #[error(
        "Consul's address {address:?} cannot be used: {why}; write HOST:PORT, http://HOST:PORT or https://HOST:PORT"
    )]
    Address {
        /// As given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// An environment variable cannot be understood.
    #[error("environment variable {name} is {value:?}; it must be true or false")]
    Environment {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A certificate or key file cannot be read.
    #[error("{path} (option {option}) cannot be read")]
    TlsFile {
        /// The option that names it.
        option: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Certificates or keys are there but cannot be used.
    #[error(
        "TLS to Consul cannot be set up; check that ca_cert, cert and key are PEM files and that key belongs to cert"
    )]
    Tls {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A certificate without its key, or the other way round.
    #[error("TLS to Consul: cert and key go together; set both or neither")]
    TlsPair,
    /// The token file has never been readable.
    #[error("Consul's token file {path} cannot be read; it is looked at again every second")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No connection, or it broke.
    #[error("Consul at {address} cannot be reached")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// A file that should hold authorities holds no certificate.
    #[error(
        "{path} holds no PEM certificate; ca_cert in block ssl, or CONSUL_CACERT or CONSUL_CAPATH in the environment, \
         names the authorities that sign Consul's"
    )]
    NoAuthority {
        /// The file, or the directory.
        path: PathBuf,
    },
    /// What listens there does not speak TLS.
    #[error(
        "what listens at {address} does not speak TLS, but https is asked for; write http://{address} as Consul's address, \
         or name its HTTPS port (8501 is usual)"
    )]
    NoTls {
        /// Where.
        address: String,
        /// What came instead.
        #[source]
        source: reqwest::Error,
    },
    /// Nothing but TLS is spoken there.
    #[error(
        "what listens at {address} speaks TLS alone, but http is asked for; write https://{address} as Consul's address"
    )]
    TlsAlone {
        /// Where.
        address: String,
    },
    /// The answer bears no sign of Consul's.
    #[error("what answers at {address} is not Consul: {answer}; is this Consul's HTTP port (8500 is usual)?")]
    NotConsul {
        /// Where.
        address: String,
        /// What was asked, and what came.
        answer: String,
    },
    /// One side does not trust the other's certificate, or they have no TLS in common.
    #[error(
        "TLS with Consul at {address} failed; in block ssl, set ca_cert to the authority that signed Consul's certificate, \
         and cert and key where Consul asks for them (verify_incoming); where its certificate names another host, set \
         CONSUL_TLS_SERVER_NAME to that in the environment"
    )]
    Handshake {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The connection was taken and closed at once, without an answer.
    #[error(
        "Consul at {address} closed the connection without an answer; where it keeps doing so, its limits.http_max_conns_per_client (200 by default) is used up (raise it there, or lower max_connections here), or this is not its HTTP port (8500 is usual; 8300 is for its servers alone)"
    )]
    Closed {
        /// Where.
        address: String,
        /// How it ended.
        #[source]
        source: reqwest::Error,
    },
    /// No answer within the time that the server itself allows, and a little more.
    #[error("Consul at {address} did not answer in time")]
    TimedOut {
        /// Where.
        address: String,
        /// What was waited for.
        #[source]
        source: reqwest::Error,
    },
    /// The answer broke off.
    #[error("Consul's answer to {what} broke off")]
    BrokenOff {
        /// The request.
        what: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Consul's servers have no leader.
    #[error("Consul at {address} knows no leader: what it says may be out of date and is not used")]
    NoLeader {
        /// Where.
        address: String,
    },
    /// HTTP 429.
    #[error(
        "Consul at {address} answered 429 (too many requests): {body}; raise limits.http_max_conns_per_client (200 by default) there, or lower max_connections here"
    )]
    TooManyRequests {
        /// Where.
        address: String,
        /// Consul's words.
        body: String,
    },
    /// HTTP 401 or 403.
    #[error(
        "Consul refused {what}: {body}; give weir's token the permission (service:read, node:read, key:read, and for what weir itself writes below weir/ key:write and session:write)"
    )]
    Denied {
        /// The request.
        what: String,
        /// Consul's words.
        body: String,
    },
    /// HTTP 5xx.
    #[error("Consul answered {status} to {what}: {body}")]
    Server {
        /// The request.
        what: String,
        /// The status.
        status: u16,
        /// Consul's words.
        body: String,
    },
    /// Any other status that says no.
    #[error("Consul refused {what} with {status}: {body}")]
    Rejected {
        /// The request.
        what: String,
        /// The status.
        status: u16,
        /// Consul's words.
        body: String,
    },
    /// The answer is not what Consul's API promises.
    #[error("Consul's answer to {what} is not understood; is something else at this address?")]
    Unexpected {
        /// The request.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// What the error says about Consul as a whole; `None` where it concerns the one request alone.
    pub fn reach(&self) -> Option<Reach> {
        match self {
            Self::Unreachable { .. }
            | Self::NoTls { .. }
            | Self::TlsAlone { .. }
            | Self::Handshake { .. }
            | Self::TimedOut { .. }
            | Self::BrokenOff { .. } => Some(Reach::Unreachable),
            Self::Closed { .. } | Self::TooManyRequests { .. } => Some(Reach::Refused),
            Self::NotConsul { .. } => Some(Reach::NotConsul),
            Self::NoLeader { .. } => Some(Reach::NoLeader),
            Self::Server { .. } => Some(Reach::Failing),
            Self::TokenFile { .. } => Some(Reach::Denied),
            _ => None,
        }
    }

    /// The message and those of its causes, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
