//! What every request carries: the token, and a time-out that fits whether it blocks.

use std::time::Duration;

use progenitor_client::{ClientHooks, Error, OperationInfo};
use reqwest::Request;
use reqwest::header::HeaderValue;

use crate::generated::Client;
use crate::options::{Options, Token};

/// What the small question may take by which a Nomad that is away, or back, is noticed.
const BRIEF: Duration = Duration::from_secs(3);

/// The generated client's companion: how to authorise a request and how long to wait for its answer.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    token: Token,
    timeout: Duration,
    blocking: Duration,
}

impl Access {
    pub(crate) fn new(options: &Options) -> Self {
        Self { token: options.token.clone(), timeout: options.timeout, blocking: patience(options.wait) }
    }

    async fn token(&self) -> Result<Option<String>, String> {
        match &self.token {
            Token::None => Ok(None),
            Token::Value(token) => Ok(Some(token.clone())),
            Token::File(path) => match tokio::fs::read_to_string(path).await {
                Ok(text) => Ok(Some(text.trim().to_owned())),
                Err(error) => Err(format!("cannot read Nomad's token from {}: {error}", path.display())),
            },
        }
    }

    fn timeout(&self, request: &Request) -> Duration {
        let url = request.url();
        if url.query_pairs().any(|(name, _)| name == "index") {
            self.blocking
        } else if url.path().ends_with("/status/leader") {
            self.timeout.min(BRIEF)
        } else {
            self.timeout
        }
    }
}

/// Nomad answers a blocking query after its wait and up to a sixteenth more; 5 s are for the network.
fn patience(wait: Duration) -> Duration {
    wait + wait / 16 + Duration::from_secs(5)
}

impl ClientHooks<Access> for Client {
    async fn pre<E>(&self, request: &mut Request, _: &OperationInfo) -> Result<(), Error<E>> {
        *request.timeout_mut() = Some(self.inner.timeout(request));
        if let Some(token) = self.inner.token().await.map_err(Error::Custom)? {
            let mut value = HeaderValue::from_str(&token).map_err(|_| {
                Error::Custom("Nomad's token holds a character that no header can".to_owned())
            })?;
            value.set_sensitive(true);
            request.headers_mut().insert("x-nomad-token", value);
        }
        Ok(())
    }
}
