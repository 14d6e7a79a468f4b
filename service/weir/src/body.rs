//! The body of an answer, as far as it is of a size that can be meant: whoever answers at an address may be somebody else.

use crate::chain::chain;

/// More than a thousand load balancers' samples or a million points of a query.
const MOST: usize = 32 << 20;

/// Reads the whole body. The error says why that cannot be, without the address.
pub(crate) async fn read(response: reqwest::Response) -> Result<Vec<u8>, String> {
    read_at_most(response, MOST).await
}

async fn read_at_most(mut response: reqwest::Response, most: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error.without_url()))? {
        if body.len() + chunk.len() > most {
            return Err(format!("the answer is longer than {most} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use futures_util::stream;

    use super::*;

    /// A server whose answer to `/ends` is ten bytes, and whose other one never ends.
    async fn server() -> String {
        let endless = || stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024])));
        let app = Router::new()
            .route("/ends", get(|| async { "0123456789" }))
            .route("/goes-on", get(move || async move { Body::from_stream(endless()) }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up_and_another_is_read_whole() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = server().await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = async |path: &str, most| {
            read_at_most(client.get(format!("{server}{path}")).send().await.unwrap(), most).await
        };
        assert_eq!(answer("/ends", 10).await.unwrap(), b"0123456789");
        assert_eq!(answer("/ends", 9).await.unwrap_err(), "the answer is longer than 9 bytes");
        assert_eq!(answer("/goes-on", 5000).await.unwrap_err(), "the answer is longer than 5000 bytes");
    }
}
