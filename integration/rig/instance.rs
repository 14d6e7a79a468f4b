//! A small HTTP server that answers with its own name: one instance of a service.
//!
//! `/health` answers 200, `/slow` after 200 ms, everything else at once. As a child of Nomad it is this very test
//! binary, told by its environment to serve ([`as_a_task`]).

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::ports;

/// A running instance; dropped, its port is closed.
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Instance {
    /// Listens on a free port.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_at(name, ports::free()).await
    }

    /// Listens on `port`.
    pub(crate) async fn start_at(name: &str, port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port is free");
        let task = tokio::spawn(serve(listener, name.to_owned()));
        Self { name: name.to_owned(), port, task }
    }

    /// The name that `{{Server}}` gives it.
    pub(crate) fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, name: String) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, name.clone()));
    }
}

async fn answer(mut stream: TcpStream, name: String) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if head.starts_with(b"GET /slow") {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let length = name.len();
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{name}");
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// What a Nomad task runs: serves on `WEIR_INSTANCE_PORT` until it is killed. Does nothing in a normal test run.
#[cfg(test)]
#[tokio::test]
async fn as_a_task() {
    let port = std::env::var("WEIR_INSTANCE_PORT").ok().and_then(|port| port.parse().ok());
    if let Some(port) = port {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        serve(listener, format!("task-{port}")).await;
    }
}
