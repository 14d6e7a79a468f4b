//! A small HTTP server that answers with its own name: one instance of a service.
//!
//! `/health` answers 200, or 503 while the instance is ill; `/slow` answers after 200 ms, `/slow/3000` after 3 s,
//! `/mean/50` after 50 ms on average (exponentially distributed); everything else at once. Connections are kept, as applications keep them. As a child of Nomad it is this very test
//! binary, told by its environment to serve ([`as_a_task`]).

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use super::ports;

/// A running instance; dropped, its port and its connections are closed.
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) port: u16,
    inside: Arc<Inside>,
    task: JoinHandle<()>,
}

/// What an instance knows of itself.
#[derive(Default)]
struct Inside {
    name: String,
    is_ill: AtomicBool,
    asked: AtomicU64,
    checked: AtomicU64,
    busy: AtomicU64,
    stop: Notify,
}

impl Instance {
    /// Listens on a free port.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_at(name, ports::free()).await
    }

    /// Listens on `port`.
    pub(crate) async fn start_at(name: &str, port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port is free");
        let inside = Arc::new(Inside { name: name.to_owned(), ..Inside::default() });
        let task = tokio::spawn(serve(listener, inside.clone()));
        Self { name: name.to_owned(), port, inside, task }
    }

    /// The name that `{{Server}}` gives it.
    pub(crate) fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Refuses new connections from now on, and goes on with those that are there: as an application that ends gracefully.
    pub(crate) fn stop_listening(&self) {
        self.inside.stop.notify_one();
    }

    /// From now on `/health` answers 503, or 200 again.
    pub(crate) fn set_ill(&self, is_ill: bool) {
        self.inside.is_ill.store(is_ill, Ordering::Relaxed);
    }

    /// Requests so far, without those for `/health`.
    pub(crate) fn asked(&self) -> u64 {
        self.inside.asked.load(Ordering::Relaxed)
    }

    /// Requests for `/health` so far.
    pub(crate) fn checked(&self) -> u64 {
        self.inside.checked.load(Ordering::Relaxed)
    }

    /// Requests that are not answered yet.
    pub(crate) fn busy(&self) -> u64 {
        self.inside.busy.load(Ordering::Relaxed)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The connections end with it.
async fn serve(listener: TcpListener, inside: Arc<Inside>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = inside.stop.notified() => break,
        };
        let Ok((stream, _)) = accepted else { break };
        connections.spawn(answer(stream, inside.clone()));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn answer(stream: TcpStream, inside: Arc<Inside>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    loop {
        head.clear();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let reply = inside.reply(&head).await;
        stream.write_all(reply.as_bytes()).await?;
        if closes(&head) {
            return stream.shutdown().await;
        }
    }
}

fn closes(head: &str) -> bool {
    head.starts_with("GET /health") || head.to_ascii_lowercase().contains("connection: close")
}

/// How long the answer to this path takes, where it does not come at once.
fn takes(path: &str) -> Option<Duration> {
    if let Some(mean) = path.strip_prefix("/mean/") {
        let mean = Duration::from_millis(mean.parse().ok()?);
        // 1 - u lies in (0, 1], so its logarithm is finite.
        return Some(mean.mul_f64(-(1.0 - fastrand::f64()).ln()));
    }
    let time = path.strip_prefix("/slow")?;
    Some(Duration::from_millis(time.trim_start_matches('/').parse().unwrap_or(200)))
}

impl Inside {
    async fn reply(&self, head: &str) -> String {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let is_check = path == "/health";
        let counter = if is_check { &self.checked } else { &self.asked };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(takes) = takes(path) {
            self.busy.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(takes).await;
            self.busy.fetch_sub(1, Ordering::Relaxed);
        }
        let is_ill = is_check && self.is_ill.load(Ordering::Relaxed);
        let status = if is_ill { "503 Service Unavailable" } else { "200 OK" };
        let close = if closes(head) { "Connection: close\r\n" } else { "" };
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{close}\r\n{}", self.name.len(), self.name)
    }
}

/// What a Nomad task runs: does nothing in a normal test run.
#[cfg(test)]
#[tokio::test]
async fn as_a_task() {
    serve_as_a_task().await;
}

/// Serves on `WEIR_INSTANCE_PORT`, after `WEIR_INSTANCE_START` ms, until it is killed; returns where there is no port.
pub(crate) async fn serve_as_a_task() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let Some(port) = number(PORT).and_then(|port| u16::try_from(port).ok()) else { return };
    tokio::time::sleep(Duration::from_millis(number(START).unwrap_or(0))).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port is Nomad's");
    let inside = Inside { name: format!("task-{port}"), ..Inside::default() };
    serve(listener, Arc::new(inside)).await;
}

/// The port that a task serves on.
pub(crate) const PORT: &str = "WEIR_INSTANCE_PORT";
/// How long a task takes until it listens, in milliseconds.
pub(crate) const START: &str = "WEIR_INSTANCE_START";
