//! TLS between the load balancers: each shows its certificate, and takes only who shows one of the same
//! authority.
//!
//! In: three PEM files, read once at the start. Out: a listener for `axum`, and the client's half. Fails
//! where a file cannot be read or used, and says which.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::serve::Listener;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::PeerTls;

/// What a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// How many go on at once: a handful of load balancers connect, and stay.
const AT_ONCE: usize = 32;

/// Takes connections and gives them on once their handshake is done.
pub(crate) struct Secured {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl Secured {
    /// Wraps a listener; handshakes are made in the background until it is dropped.
    pub(crate) fn new(listener: TcpListener, config: ServerConfig) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(AT_ONCE);
        tokio::spawn(shake_hands(listener, TlsAcceptor::from(Arc::new(config)), sender));
        Ok(Self { ready, address })
    }
}

impl Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The sender lives as long as the receiver.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}

async fn shake_hands(
    mut listener: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (stream, from) = tokio::select! {
            () = ready.closed() => return,
            // axum's own: it outlives what accepting can fail with.
            accepted = Listener::accept(&mut listener) => accepted,
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                // Gone only when nobody serves any more.
                Ok(Ok(stream)) => drop(ready.send((stream, from)).await),
                Ok(Err(error)) => tracing::warn!("peer {from}: no TLS with it: {error}"),
                Err(_) => tracing::warn!("peer {from}: no TLS with it within {HANDSHAKE:?}"),
            }
            drop(place);
        });
    }
}

/// The listening half.
pub(crate) fn server(tls: &PeerTls) -> anyhow::Result<ServerConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca_cert", &tls.ca_cert)? {
        roots.add(certificate).with_context(|| format!("ca_cert {}", tls.ca_cert.display()))?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
    let verifier = verifier.with_context(|| format!("ca_cert {}", tls.ca_cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key);
    let key = key.with_context(|| format!("key {} cannot be read as PEM", tls.key.display()))?;
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates("cert", &tls.cert)?, key)
        .with_context(|| format!("cert {} and key {}", tls.cert.display(), tls.key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(option: &str, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let failed = || format!("{option} {} cannot be read as PEM", path.display());
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).with_context(failed)?.collect();
    let certificates = read.with_context(failed)?;
    ensure!(!certificates.is_empty(), "{option} {} holds no certificate", path.display());
    Ok(certificates)
}

/// The asking half.
pub(crate) fn client(
    builder: reqwest::ClientBuilder,
    tls: &PeerTls,
) -> anyhow::Result<reqwest::ClientBuilder> {
    let read = |option: &str, path: &Path| {
        std::fs::read(path).with_context(|| format!("{option} {} cannot be read", path.display()))
    };
    let authorities = reqwest::Certificate::from_pem_bundle(&read("ca_cert", &tls.ca_cert)?)?;
    let identity = [read("cert", &tls.cert)?, b"\n".to_vec(), read("key", &tls.key)?].concat();
    let identity = reqwest::Identity::from_pem(&identity);
    let identity =
        identity.with_context(|| format!("cert {} and key {}", tls.cert.display(), tls.key.display()))?;
    Ok(builder.tls_certs_only(authorities).identity(identity))
}
