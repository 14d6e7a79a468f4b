//! The line between weir and a server, that can be cut and can fall silent while the server lives on.
//!
//! A cut line refuses connections, as where no process listens. A silent one takes them, as where packets are lost on
//! the way: what the server sends arrives when the line is well again, what it is sent never does, and neither does
//! anything else on that connection.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::{SOON, ports, wait_for};

/// What can be wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody listens.
    Cut,
    /// Nobody answers.
    Silent,
}

/// A line; dropped, it refuses.
pub(crate) struct Line {
    pub(crate) port: u16,
    target: SocketAddr,
    silent: watch::Sender<bool>,
    task: Option<AbortOnDropHandle<()>>,
}

impl Line {
    /// A line to `target`, which is well.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let mut line = Self { port: ports::free(), target, silent: watch::Sender::new(false), task: None };
        line.listen().await;
        line
    }

    /// From now on this is wrong with it.
    pub(crate) fn fail(&mut self, fault: Fault) {
        match fault {
            // The listener and all connections are the task's.
            Fault::Cut => self.task = None,
            Fault::Silent => drop(self.silent.send_replace(true)),
        }
    }

    /// New connections reach the server again.
    pub(crate) async fn mend(&mut self) {
        self.silent.send_replace(false);
        if self.task.is_none() {
            self.listen().await;
        }
    }

    async fn listen(&mut self) {
        let here = (Ipv4Addr::LOCALHOST, self.port);
        let listener =
            wait_for("the line's port is free", SOON, async || TcpListener::bind(here).await.ok()).await;
        let serving = serve(listener, self.target, self.silent.subscribe());
        self.task = Some(AbortOnDropHandle::new(tokio::spawn(serving)));
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, silent: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass(client, target, silent.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(client: TcpStream, target: SocketAddr, silent: watch::Receiver<bool>) -> std::io::Result<()> {
    let server = TcpStream::connect(target).await?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // Either end that closes ends both.
    tokio::select! {
        done = forward(from_client, to_server, silent.clone(), Meanwhile::Lost) => done,
        done = forward(from_server, to_client, silent, Meanwhile::Late) => done,
    }
}

/// What becomes of that which is sent while the line is silent.
enum Meanwhile {
    Lost,
    Late,
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut silent: watch::Receiver<bool>,
    meanwhile: Meanwhile,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if matches!(meanwhile, Meanwhile::Lost) && *silent.borrow() {
            return std::future::pending().await;
        }
        let _ = silent.wait_for(|silent| !silent).await;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
