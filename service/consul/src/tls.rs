//! The HTTP client below: TLS with ring, own authorities, client certificate, expected name.
//!
//! In: [`Options`]. Out: a `reqwest::Client`. Fails where a file cannot be read or used. Files are read once, here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, Identity, Url};

use crate::client::CONNECT;
use crate::{Error, Options, Tls};

/// Finds dead peers behind firewalls that drop idle connections silently.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The client for Consul at `base`.
pub(crate) fn http_client(options: &Options, base: &Url) -> Result<reqwest::Client, Error> {
    // Fails where the process has a provider already, which is then the one to use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .tcp_keepalive(KEEPALIVE)
        .pool_max_idle_per_host(options.max_connections)
        // A proxy from the environment is for the world outside, not for the agent on this machine.
        .no_proxy()
        .redirect(Policy::none());
    if base.scheme() == "https" {
        builder = with_identity(with_authorities(builder, &options.tls)?, &options.tls)?;
    }
    if options.tls.server_name.is_some() {
        builder = builder.dns_resolver(Elsewhere::of(base));
    }
    builder.build().map_err(|source| Error::Tls { source })
}

/// The URL with the name that the certificate carries in place of the host; [`Elsewhere`] leads back to the host.
pub(crate) fn named(mut base: Url, tls: &Tls) -> Result<Url, Error> {
    if let Some(name) = &tls.server_name {
        base.set_host(Some(name))
            .map_err(|error| Error::Address { address: name.clone(), why: error.to_string() })?;
    }
    Ok(base)
}

fn with_authorities(builder: ClientBuilder, tls: &Tls) -> Result<ClientBuilder, Error> {
    let files = authority_files(tls)?;
    let mut certificates = Vec::new();
    for path in &files {
        let pem = read("ca_cert", path)?;
        certificates.extend(Certificate::from_pem_bundle(&pem).map_err(|source| Error::Tls { source })?);
    }
    let own = tls.ca_cert.as_ref().or(tls.ca_path.as_ref());
    let builder = match own {
        None => builder,
        // Without this the system's authorities would be trusted although others were asked for.
        Some(path) if certificates.is_empty() => return Err(Error::NoAuthority { path: path.clone() }),
        Some(_) => builder.tls_certs_only(certificates),
    };
    Ok(builder.tls_danger_accept_invalid_certs(!tls.verify))
}

fn authority_files(tls: &Tls) -> Result<Vec<PathBuf>, Error> {
    let mut files: Vec<PathBuf> = tls.ca_cert.iter().cloned().collect();
    if let Some(directory) = &tls.ca_path {
        let failed = |source| Error::TlsFile { option: "ca_path", path: directory.clone(), source };
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            files.push(entry.map_err(failed)?.path());
        }
    }
    files.sort();
    Ok(files)
}

fn with_identity(builder: ClientBuilder, tls: &Tls) -> Result<ClientBuilder, Error> {
    let (cert, key) = match (&tls.cert, &tls.key) {
        (None, None) => return Ok(builder),
        (Some(cert), Some(key)) => (read("cert", cert)?, read("key", key)?),
        _ => return Err(Error::TlsPair),
    };
    let identity =
        Identity::from_pem(&[cert, b"\n".to_vec(), key].concat()).map_err(|source| Error::Tls { source })?;
    Ok(builder.identity(identity))
}

fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::TlsFile { option, path: path.to_owned(), source })
}

/// Resolves every name to one host: the one of Consul's address.
struct Elsewhere {
    host: String,
    port: u16,
}

impl Elsewhere {
    fn of(base: &Url) -> Self {
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Self { host, port: base.port_or_known_default().unwrap_or(0) }
    }
}

impl Resolve for Elsewhere {
    fn resolve(&self, _: Name) -> Resolving {
        let target = (self.host.clone(), self.port);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host(target).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(tls: Tls) -> Error {
        let options = Options { address: "https://consul:8501".into(), tls, ..Options::default() };
        crate::Client::new(options).map(drop).unwrap_err()
    }

    #[test]
    fn files_that_are_no_certificates_are_errors_and_not_the_systems_authorities() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, "nothing").unwrap();
        let by_file = Tls { ca_cert: Some(file), ..Tls::default() };
        assert!(matches!(error(by_file), Error::NoAuthority { .. }));
        let by_path = Tls { ca_path: Some(directory.path().to_owned()), ..Tls::default() };
        assert!(matches!(error(by_path), Error::NoAuthority { .. }));
        let missing = Tls { ca_cert: Some("/nowhere/ca.pem".into()), ..Tls::default() };
        assert!(matches!(error(missing), Error::TlsFile { option: "ca_cert", .. }));
    }

    #[test]
    fn a_certificate_and_its_key_go_together() {
        let tls = Tls { cert: Some("/nowhere/cert.pem".into()), ..Tls::default() };
        assert!(matches!(error(tls), Error::TlsPair));
    }
}
