//! The HTTP and TCP checks that the agent runs itself.
//!
//! Inputs: a target and how often. Outputs: the check's status in the state, from Consul's rules: an HTTP status
//! 2xx passes, 429 warns, everything else is critical. Ends by itself when its registration is gone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::ConsulStore;
use super::state::{Probe, Timing};

/// What to ask, and when.
pub(crate) struct Target {
    timing: Timing,
    address: String,
    /// The path of a GET; `None`: a connection is enough.
    path: Option<String>,
}

impl Target {
    /// `None` for a TTL check, which nobody asks.
    pub(crate) fn of(probe: Probe) -> Option<Self> {
        match probe {
            Probe::Ttl(_) => None,
            Probe::Tcp(timing, address) => Some(Self { timing, address, path: None }),
            Probe::Http(timing, url) => {
                let rest = url.strip_prefix("http://").unwrap_or(&url);
                let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
                Some(Self { timing, address: address.to_owned(), path: Some(format!("/{path}")) })
            }
        }
    }

    async fn ask(&self) -> (&'static str, String) {
        match timeout(self.timing.timeout, self.connect()).await {
            Ok(Ok(None)) => ("passing", format!("TCP connect {}: Success", self.address)),
            Ok(Ok(Some(code))) => (status_of(code), format!("HTTP GET http://{}: {code}", self.address)),
            Ok(Err(error)) => ("critical", format!("dial tcp {}: {error}", self.address)),
            Err(_) => ("critical", format!("{}: context deadline exceeded", self.address)),
        }
    }

    async fn connect(&self) -> io::Result<Option<u16>> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let Some(path) = &self.path else { return Ok(None) };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: Consul Health Check\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        let code = std::str::from_utf8(&head[9..]).ok().and_then(|code| code.parse().ok());
        code.map(Some).ok_or_else(|| io::Error::other("malformed HTTP response"))
    }
}

fn status_of(code: u16) -> &'static str {
    match code {
        200..300 => "passing",
        429 => "warning",
        _ => "critical",
    }
}

/// Asks until the registration is gone. The first time comes at random within the interval, as Consul staggers its checks.
pub(crate) async fn run(consul: Arc<ConsulStore>, id: String, run: u64, target: Target) {
    let first = target.timing.interval.mul_f64(fastrand::f64());
    let mut pause: Duration = first;
    loop {
        sleep(pause).await;
        let (status, output) = target.ask().await;
        if !consul.state.write_if(|state| state.report_probe(&id, run, status, &output)) {
            return;
        }
        pause = target.timing.interval;
    }
}
