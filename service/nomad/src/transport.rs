//! The HTTP client underneath: TLS from files, the name a certificate must carry, the base URL.
//!
//! Reads certificates once, when the client is made; whatever is wrong with them is an [`OptionsError`].

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, ClientBuilder, Identity, Url};

use crate::options::{Options, OptionsError, Tls};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// The client, and the base URL without a slash at its end.
pub(crate) fn build(options: &Options) -> Result<(reqwest::Client, String), OptionsError> {
    // Fails only where a provider is installed already, which is then as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut url = parse(&options.address)?;
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .tcp_nodelay(true);
    if url.scheme() == "https" {
        builder = with_tls(builder, &options.tls)?;
        if let Some(name) = &options.tls.server_name {
            builder = under_name(builder, &mut url, name);
        }
    }
    let client = builder.build().map_err(|source| OptionsError::Setup { source })?;
    Ok((client, url.as_str().trim_end_matches('/').to_owned()))
}

fn parse(address: &str) -> Result<Url, OptionsError> {
    let text = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| OptionsError::Address { address: address.to_owned() })
}

fn with_tls(mut builder: ClientBuilder, tls: &Tls) -> Result<ClientBuilder, OptionsError> {
    builder = builder.tls_danger_accept_invalid_certs(tls.skip_verify);
    if let Some(path) = &tls.ca_cert {
        let certificates =
            Certificate::from_pem_bundle(&read(path)?).map_err(|source| pem(path.clone(), source))?;
        builder = builder.tls_certs_only(certificates);
    }
    match (&tls.client_cert, &tls.client_key) {
        (Some(cert), Some(key)) => Ok(builder.identity(identity(cert, key)?)),
        (None, None) => Ok(builder),
        _ => Err(OptionsError::HalfIdentity),
    }
}

fn identity(cert: &Path, key: &Path) -> Result<Identity, OptionsError> {
    let mut text = read(cert)?;
    text.push(b'\n');
    text.extend(read(key)?);
    Identity::from_pem(&text).map_err(|source| pem(cert.to_path_buf(), source))
}

fn read(path: &Path) -> Result<Vec<u8>, OptionsError> {
    fs::read(path).map_err(|source| OptionsError::Unreadable { path: path.to_path_buf(), source })
}

fn pem(path: PathBuf, source: reqwest::Error) -> OptionsError {
    OptionsError::Pem { path, source }
}

/// Asks for `name`, which is then what TLS verifies, but connects to the host that the URL named.
fn under_name(builder: ClientBuilder, url: &mut Url, name: &str) -> ClientBuilder {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if url.set_host(Some(name)).is_err() {
        return builder;
    }
    builder.dns_resolver(Arc::new(Behind { host }))
}

/// Resolves every name to the addresses of one host.
struct Behind {
    host: String,
}

impl Resolve for Behind {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Options {
        Options { address: address.to_owned(), ..Options::default() }
    }

    #[test]
    fn addresses_become_base_urls() {
        let base = |address: &str| build(&at(address)).map(|(_, base)| base);
        assert_eq!(base("127.0.0.1:4646").unwrap(), "http://127.0.0.1:4646");
        assert_eq!(base("http://nomad.example:4646/").unwrap(), "http://nomad.example:4646");
        assert!(matches!(base("ftp://x"), Err(OptionsError::Address { .. })));
        assert!(matches!(base("http://"), Err(OptionsError::Address { .. })));
    }

    #[test]
    fn tls_problems_name_the_file() {
        let tls = Tls { ca_cert: Some("/nowhere/ca.pem".into()), ..Tls::default() };
        let error = build(&Options { tls, ..at("https://n:1") }).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/ca.pem, needed for TLS towards Nomad");
        let tls = Tls { client_key: Some("/k".into()), ..Tls::default() };
        assert!(matches!(build(&Options { tls, ..at("https://n:1") }), Err(OptionsError::HalfIdentity)));
    }

    #[test]
    fn the_name_to_verify_replaces_the_host() {
        let tls = Tls { server_name: Some("server.global.nomad".to_owned()), ..Tls::default() };
        let (_, base) = build(&Options { tls, ..at("https://10.0.0.1:4646") }).unwrap();
        assert_eq!(base, "https://server.global.nomad:4646");
    }
}
