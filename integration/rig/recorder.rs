//! A unix socket between weir and HAProxy's stats socket that notes every command which passes.
//!
//! Each connection to it is one to HAProxy, with the same ends, so that weir sees what it would see without it. Commands
//! are told apart as HAProxy does it: by line and by `;`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::AbortOnDropHandle;

/// A recorder that runs; dropped, its socket refuses.
pub(crate) struct Recorder {
    commands: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Listens on `socket`; HAProxy is at `target`.
    pub(crate) fn start(socket: &Path, target: PathBuf) -> Self {
        let listener = UnixListener::bind(socket).expect("the recorder's socket is made");
        let commands = Arc::new(Mutex::default());
        let task = tokio::spawn(serve(listener, target, commands.clone()));
        Self { commands, task }
    }

    /// All commands so far.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those that change something. What only asks, and what belongs to the conversation, is left out.
    pub(crate) fn changes(&self) -> Vec<String> {
        const ASKS: [&str; 7] =
            ["show ", "help", "prompt", "quit", "wait ", "set severity-output ", "set timeout "];
        let asks = |command: &String| {
            ASKS.iter().any(|start| command.starts_with(start)) || command.ends_with(" help")
        };
        self.commands().into_iter().filter(|command| !asks(command)).collect()
    }

    /// Those that change something since there were `before` of them.
    pub(crate) fn changes_since(&self, before: usize) -> Vec<String> {
        self.changes().split_off(before)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: UnixListener, target: PathBuf, commands: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((weir, _)) = listener.accept().await {
        connections.spawn(pass(weir, target.clone(), commands.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(weir: UnixStream, target: PathBuf, commands: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let haproxy = UnixStream::connect(target).await?;
    let ((from_weir, mut to_weir), (mut from_haproxy, to_haproxy)) =
        (weir.into_split(), haproxy.into_split());
    // Weir may end its side long before HAProxy, which ends the conversation.
    let _there = AbortOnDropHandle::new(tokio::spawn(forward(from_weir, to_haproxy, commands)));
    tokio::io::copy(&mut from_haproxy, &mut to_weir).await?;
    to_weir.shutdown().await
}

async fn forward(
    mut weir: OwnedReadHalf,
    mut haproxy: OwnedWriteHalf,
    commands: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut line = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let read = weir.read(&mut buffer).await?;
        if read == 0 {
            return haproxy.shutdown().await;
        }
        // Noted before it is passed on, so that an effect that is seen was recorded.
        for byte in &buffer[..read] {
            if matches!(byte, b'\n' | b';') {
                note(&commands, &line);
                line.clear();
            } else {
                line.push(*byte);
            }
        }
        haproxy.write_all(&buffer[..read]).await?;
    }
}

fn note(commands: &Mutex<Vec<String>>, line: &[u8]) {
    let command = String::from_utf8_lossy(line).trim().to_owned();
    if !command.is_empty() {
        commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
    }
}
