//! The listener on which other weirs read what this node's HAProxys do.
//!
//! One path, `/v1/samples`. Who does not send the cluster's secret gets 401 and nothing else; without a
//! secret it listens on the loopback address only, which the configuration sees to.

use axum::Router;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Own};
use super::secret::{bearer, same};
use crate::config::Token;

/// What is told, and to whom.
#[derive(Debug, Clone)]
pub(crate) struct Telling {
    pub(crate) cluster: String,
    pub(crate) node: String,
    pub(crate) token: Token,
    pub(crate) own: Own,
}

/// Serves until cancelled.
pub(crate) async fn serve<L: Listener>(listener: L, telling: Telling, cancel: CancellationToken)
where
    L::Addr: std::fmt::Debug,
{
    let app = Router::new().route("/v1/samples", get(samples)).with_state(telling);
    let served = axum::serve(listener, app).with_graceful_shutdown(cancel.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!("the listener for peers ended: {error}");
    }
}

async fn samples(State(telling): State<Telling>, headers: HeaderMap) -> Response {
    match telling.admits(&headers).await {
        Ok(true) => Json(telling.answer()).into_response(),
        Ok(false) => (StatusCode::UNAUTHORIZED, "this is not the cluster's token\n").into_response(),
        // Which file it is, is nobody else's business.
        Err(error) => {
            tracing::warn!("block `peer`: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, "the token cannot be read here\n").into_response()
        }
    }
}

impl Telling {
    async fn admits(&self, headers: &HeaderMap) -> Result<bool, String> {
        let Some(secret) = self.token.secret().await? else { return Ok(true) };
        let sent = bearer(headers.get(AUTHORIZATION).map(HeaderValue::as_bytes));
        Ok(sent.is_some_and(|sent| same(sent, secret.as_bytes())))
    }

    fn answer(&self) -> Answer {
        let (cluster, node) = (self.cluster.clone(), self.node.clone());
        Answer { cluster, node, haproxies: self.own.balancers() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_admitted_without_the_whole_secret() {
        let telling = |token| Telling { cluster: "c".into(), node: "n".into(), token, own: Own::default() };
        let with = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        let closed = telling(Token::Value("geheim".into()));
        assert_eq!(closed.admits(&with("Bearer geheim")).await, Ok(true));
        for wrong in ["Bearer gehei", "Bearer geheimer", "Bearer ", "geheim", "Basic geheim"] {
            assert_eq!(closed.admits(&with(wrong)).await, Ok(false), "{wrong}");
        }
        assert_eq!(closed.admits(&HeaderMap::new()).await, Ok(false));
        assert_eq!(telling(Token::None).admits(&HeaderMap::new()).await, Ok(true));
        assert!(telling(Token::File("/nowhere".into())).admits(&with("Bearer ")).await.is_err());
    }
}
