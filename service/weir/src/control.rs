//! The control socket: what changes something. Its mode and group are the permission.
//!
//! One request per connection: a line of JSON in, a line of JSON out. Requests are bounded in size and time; one that
//! cannot be read is answered with what is wrong.

use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use weir_pools::intents::Wish;

use crate::caller;
use crate::config;
use crate::intents::Asked;
use crate::maintenance::{Maintenance, Target};
use crate::pool_loop::Event;

/// How long a request may take, a reload with its retries of connecting included.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a client may take to say what it wants.
const READING: Duration = Duration::from_secs(5);
/// A socket that takes no connections (no file descriptor is left, say) is complained of no more often than this.
const QUIET: Duration = Duration::from_mins(1);
/// A request is a few words.
const LARGEST: u64 = 16 << 10;

/// What a person can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Reload HAProxy now.
    Reload {
        /// The label; empty for the one without.
        haproxy: String,
    },
    /// A pool may become empty.
    ConfirmEmpty { backend: String },
    /// Something is wished of a server.
    Intend {
        target: Target,
        wish: Wish,
        /// For how long; as before, or for ever, where it is not said.
        for_ms: Option<u64>,
        reason: Option<String>,
        /// For whom root asks.
        on_behalf_of: Option<String>,
    },
    /// Nothing is wished of a server any more, and it is ready.
    Ready { target: Target },
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Response {
    Ok(String),
    Error(String),
}

/// The loops that requests go to, by label.
#[derive(Debug, Clone)]
pub(crate) struct Loops(pub(crate) Vec<(String, mpsc::Sender<Event>)>);

/// Who answers requests.
#[derive(Debug, Clone)]
pub(crate) struct Answering {
    pub(crate) loops: Loops,
    pub(crate) maintenance: Maintenance,
}

/// The socket, bound; its file goes with the value.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Gone already, or nobody listens on it: the next weir takes it over.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Binds the socket. One that nobody listens on is taken over; one that is in use is an error.
pub(crate) fn bind(control: &config::Control) -> anyhow::Result<Socket> {
    let path = &control.path;
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!(
            "{}: another weir listens on this control socket; give this one its own `control`",
            path.display()
        );
    }
    remove_old(path)?;
    let listener = UnixListener::bind(path).with_context(|| {
        format!("{}: cannot be made; is its directory there and writable?", path.display())
    })?;
    let socket = Socket { listener, path: path.clone() };
    permit(control).with_context(|| format!("{}: its mode or group cannot be set", path.display()))?;
    Ok(socket)
}

/// Removes the socket that a weir left behind; anything else is somebody's file.
fn remove_old(path: &Path) -> anyhow::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            bail!("{}: is there and is no socket; set `control` to another path", path.display())
        }
        Ok(_) => std::fs::remove_file(path)
            .with_context(|| format!("{}: the old socket cannot be removed", path.display())),
        // What else is wrong with the path, binding tells.
        Err(_) => Ok(()),
    }
}

fn permit(control: &config::Control) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(name) = &control.group {
        let group =
            nix::unistd::Group::from_name(name)?.with_context(|| format!("there is no group {name}"))?;
        nix::unistd::chown(&control.path, None, Some(group.gid))?;
    }
    std::fs::set_permissions(&control.path, std::fs::Permissions::from_mode(control.perms))?;
    Ok(())
}

/// Serves requests until cancelled.
pub(crate) async fn serve(socket: Socket, answering: Answering, cancel: CancellationToken) {
    let mut warned: Option<Instant> = None;
    loop {
        let stream = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = socket.listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if warned.is_none_or(|at| at.elapsed() >= QUIET) {
                        warn!("control socket: no connection can be taken, tried again and again: {error}");
                        warned = Some(Instant::now());
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let answering = answering.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &answering).await {
                warn!("control socket: {error:#}");
            }
        });
    }
}

async fn converse(mut stream: UnixStream, answering: &Answering) -> anyhow::Result<()> {
    let uid = stream.peer_cred().context("who asks cannot be known")?.uid();
    let mut line = String::new();
    let mut reader = BufReader::new((&mut stream).take(LARGEST));
    let reading = tokio::time::timeout(READING, reader.read_line(&mut line)).await;
    let response = match reading.map(|read| read.map(|_| serde_json::from_str::<Request>(&line))) {
        Err(_) => Response::Error(format!("no request came within {READING:?}")),
        Ok(Err(error)) => Response::Error(format!("the request cannot be read: {error}")),
        Ok(Ok(Err(error))) => Response::Error(format!("not a request that this weir knows: {error}")),
        Ok(Ok(Ok(request))) => {
            tokio::time::timeout(PATIENCE, answering.ask(request, uid)).await.unwrap_or_else(|_| {
                Response::Error(format!("not done within {PATIENCE:?}; it goes on, see the log"))
            })
        }
    };
    let text = serde_json::to_string(&response)? + "\n";
    tokio::time::timeout(READING, stream.write_all(text.as_bytes())).await??;
    Ok(())
}

impl Answering {
    async fn ask(&self, request: Request, uid: u32) -> Response {
        match request {
            Request::Reload { haproxy } => self.loops.reload(&haproxy).await,
            Request::ConfirmEmpty { backend } => self.loops.confirm_empty(&backend).await,
            Request::Intend { target, wish, for_ms, reason, on_behalf_of } => {
                let owner = caller::name(uid, on_behalf_of.as_deref()).await;
                let asked = Asked { wish, owner, lasting: for_ms.map(Duration::from_millis), reason };
                response(self.maintenance.intend(&target, &asked).await)
            }
            Request::Ready { target } => response(self.maintenance.ready(&target).await),
        }
    }
}

fn response(done: anyhow::Result<String>) -> Response {
    match done {
        Ok(text) => Response::Ok(text),
        Err(error) => Response::Error(format!("{error:#}")),
    }
}

impl Loops {
    async fn reload(&self, haproxy: &str) -> Response {
        let Some((_, events)) = self.0.iter().find(|(name, _)| name == haproxy) else {
            let known: Vec<String> = self.0.iter().map(|(name, _)| labelled(name)).collect();
            let known = known.join(", ");
            return Response::Error(format!("there is no {}; there is {known}", labelled(haproxy)));
        };
        send(events, Event::Reload).await
    }

    /// Every loop is asked; one that knows the backend answers.
    async fn confirm_empty(&self, backend: &str) -> Response {
        let mut response = Response::Error("weir keeps no pools".into());
        for (_, events) in &self.0 {
            response = send(events, |reply| Event::ConfirmEmpty(backend.to_owned(), reply)).await;
            if matches!(response, Response::Ok(_)) {
                break;
            }
        }
        response
    }
}

/// An HAProxy as messages call it.
fn labelled(name: &str) -> String {
    if name.is_empty() { "haproxy without a label".into() } else { format!("haproxy \"{name}\"") }
}

async fn send(
    events: &mpsc::Sender<Event>,
    event: impl FnOnce(oneshot::Sender<Result<String, String>>) -> Event,
) -> Response {
    let (reply, answer) = oneshot::channel();
    if events.send(event(reply)).await.is_err() {
        return Response::Error("weir is ending".into());
    }
    match answer.await {
        Ok(Ok(text)) => Response::Ok(text),
        Ok(Err(text)) => Response::Error(text),
        Err(_) => Response::Error("weir is ending".into()),
    }
}

/// What it means that the control socket was not reached.
fn unreached(path: &Path, kind: ErrorKind) -> String {
    let path = path.display();
    if kind == ErrorKind::PermissionDenied {
        format!("{path}: you may not use this control socket; be root, or one of weir's `control_group`")
    } else {
        format!(
            "{path}: no weir listens on this control socket; name another with --control, or its configuration with -c"
        )
    }
}

/// Asks a running weir.
pub(crate) async fn ask(path: &Path, request: &Request) -> anyhow::Result<Response> {
    let connected = UnixStream::connect(path).await;
    let mut stream = connected.map_err(|error| {
        let what = unreached(path, error.kind());
        anyhow::Error::new(error).context(what)
    })?;
    stream.write_all((serde_json::to_string(request)? + "\n").as_bytes()).await?;
    let mut line = String::new();
    let mut stream = BufReader::new(stream.take(LARGEST * 4));
    tokio::time::timeout(PATIENCE + READING, stream.read_line(&mut line))
        .await
        .context("weir does not answer")??;
    serde_json::from_str(&line).context("weir's answer cannot be read; is it the same version?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(path: PathBuf, group: Option<&str>) -> config::Control {
        config::Control { path, perms: 0o600, group: group.map(str::to_owned) }
    }

    #[tokio::test]
    async fn an_old_socket_is_taken_over_and_a_file_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = bind(&control(path.clone(), None)).unwrap();
        assert!(bind(&control(path.clone(), None)).unwrap_err().to_string().contains("another weir"));
        drop(socket);
        assert!(!path.exists());

        std::fs::write(&path, "precious").unwrap();
        let refused = bind(&control(path.clone(), None)).unwrap_err().to_string();
        assert!(refused.contains("is no socket"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_bind_that_fails_leaves_no_socket_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.sock");
        bind(&control(path.clone(), Some("no-such-group"))).unwrap_err();
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_may_not_be_used_is_told_from_one_that_nobody_listens_on() {
        let said = |kind| unreached(Path::new("/run/weir.sock"), kind);
        assert!(said(ErrorKind::PermissionDenied).contains("control_group"));
        assert!(said(ErrorKind::NotFound).contains("--control"));
    }

    #[tokio::test]
    async fn an_unknown_label_is_answered_with_those_that_there_are() {
        let (events, _queue) = mpsc::channel(1);
        let loops = Loops(vec![(String::new(), events.clone()), ("edge".into(), events)]);
        let said = loops.reload("egde").await;
        let expected = "there is no haproxy \"egde\"; there is haproxy without a label, haproxy \"edge\"";
        assert_eq!(said, Response::Error(expected.into()));
    }
}
