//! A small HTTP/1.1 server: the instance of a service that an allocation runs.
//!
//! Inputs: HTTP requests, and the wish to stop. Outputs: `/health` is answered at once; `/slow/3000` after 3 s; every other
//! path after a random service time, with so many at once as the instance has slots, and as the job has for all of its
//! instances together; who asks for an upgrade gets a tunnel, and ends it. Requests and tunnels cut by the stop are counted.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::duration;

/// Longer heads are refused.
const MAX_HEAD: usize = 64 << 10;
/// The kernel's own limit (`somaxconn`) cuts this down where it is lower.
const BACKLOG: u32 = 1024;

/// What an instance does with requests that it is working on when it is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Finishes them, for at most so long.
    Finish(Duration),
    /// Cuts them.
    Cut,
}

/// How an instance behaves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Behaviour {
    pub(crate) start_time: Duration,
    pub(crate) service_time: Duration,
    pub(crate) slots: usize,
    /// What all instances of the job have together.
    pub(crate) shared_slots: Option<usize>,
    pub(crate) stop: StopMode,
}

impl Behaviour {
    /// The `Config` of a task with the driver `devcluster`.
    pub(crate) fn to_config(&self) -> Value {
        let stop = match self.stop {
            StopMode::Finish(limit) => duration::text(limit),
            StopMode::Cut => "cut".to_owned(),
        };
        json!({
            "start_time": duration::text(self.start_time), "service_time": duration::text(self.service_time),
            "slots": self.slots, "shared_slots": self.shared_slots, "stop": stop,
        })
    }

    /// Reads [`Behaviour::to_config`] back; what is absent or wrong has a default.
    pub(crate) fn from_config(config: &Value) -> Self {
        let length = |name: &str| duration::from_json(&config[name]);
        let slots = |name: &str| {
            let slots = usize::try_from(config[name].as_u64()?).ok()?;
            Some(slots.clamp(1, Semaphore::MAX_PERMITS))
        };
        let stop = if config["stop"] == "cut" {
            StopMode::Cut
        } else {
            StopMode::Finish(length("stop").unwrap_or(Duration::from_secs(5)))
        };
        Self {
            start_time: length("start_time").unwrap_or_default(),
            service_time: length("service_time").unwrap_or_default(),
            slots: slots("slots").unwrap_or(10),
            shared_slots: slots("shared_slots"),
            stop,
        }
    }
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// Its port refuses connections.
    Starting,
    /// It answers.
    Serving,
    /// It accepts nothing new and finishes what it has.
    Stopping,
    /// It is gone.
    Ended,
}

const STATES: [InstanceState; 4] =
    [InstanceState::Starting, InstanceState::Serving, InstanceState::Stopping, InstanceState::Ended];

/// An instance, seen from outside.
#[derive(Debug, Clone)]
pub struct InstanceView {
    /// The ID of its allocation.
    pub alloc: String,
    /// The name of its allocation, `job.group[i]`.
    pub name: String,
    /// Where it listens, or will.
    pub addr: SocketAddr,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Requests answered, health checks apart.
    pub served: u64,
    /// Requests that it had begun and did not finish when it was stopped.
    pub cut: u64,
    /// Requests it is working on, or that wait for a slot.
    pub in_progress: u64,
}

/// A running instance.
#[derive(Debug)]
pub(crate) struct Instance {
    alloc: String,
    name: String,
    addr: SocketAddr,
    behaviour: Behaviour,
    slots: Semaphore,
    /// Those that it shares with all instances of its job.
    shared: Option<Arc<Semaphore>>,
    state: AtomicU8,
    served: AtomicU64,
    cut: AtomicU64,
    in_progress: AtomicU64,
}

impl Instance {
    /// Takes a free port. Until [`Instance::serve`] listens on it, it refuses connections.
    pub(crate) fn reserve(
        alloc: String,
        name: String,
        behaviour: Behaviour,
        shared: Option<Arc<Semaphore>>,
    ) -> io::Result<(Arc<Self>, TcpSocket)> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let instance = Self {
            alloc,
            name,
            addr: socket.local_addr()?,
            slots: Semaphore::new(behaviour.slots),
            shared,
            behaviour,
            state: AtomicU8::new(0),
            served: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            in_progress: AtomicU64::new(0),
        };
        Ok((Arc::new(instance), socket))
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn view(&self) -> InstanceView {
        let state = STATES[usize::from(self.state.load(Ordering::Relaxed)).min(3)];
        InstanceView {
            alloc: self.alloc.clone(),
            name: self.name.clone(),
            addr: self.addr,
            state,
            served: self.served.load(Ordering::Relaxed),
            cut: self.cut.load(Ordering::Relaxed),
            in_progress: self.in_progress.load(Ordering::Relaxed),
        }
    }

    fn enter(&self, state: InstanceState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Runs the whole life: start-up, service until `stop`, the end. `kill` ends it at once, whatever its stop mode.
    pub(crate) async fn serve(
        self: Arc<Self>,
        socket: TcpSocket,
        stop: CancellationToken,
        kill: CancellationToken,
    ) {
        let mut connections = JoinSet::new();
        let ends = kill.run_until_cancelled(self.live(socket, stop, &mut connections)).await;
        if ends.is_none() || self.behaviour.stop == StopMode::Cut {
            connections.abort_all();
        }
        connections.shutdown().await;
        self.cut.fetch_add(self.in_progress.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        self.enter(InstanceState::Ended);
    }

    async fn live(
        self: &Arc<Self>,
        socket: TcpSocket,
        stop: CancellationToken,
        connections: &mut JoinSet<()>,
    ) {
        if stop.run_until_cancelled(sleep(self.behaviour.start_time)).await.is_none() {
            return;
        }
        let Ok(listener) = socket.listen(BACKLOG) else { return };
        self.enter(InstanceState::Serving);
        self.accept(&listener, &stop, connections).await;
        self.enter(InstanceState::Stopping);
        // What the kernel has accepted already would be reset by closing the listener.
        while let Ok(Ok((stream, _))) = timeout(Duration::ZERO, listener.accept()).await {
            connections.spawn(Arc::clone(self).converse(stream, stop.clone()));
        }
        drop(listener);
        if let StopMode::Finish(limit) = self.behaviour.stop {
            let _ = timeout(limit, async { while connections.join_next().await.is_some() {} }).await;
        }
    }

    async fn accept(
        self: &Arc<Self>,
        listener: &TcpListener,
        stop: &CancellationToken,
        connections: &mut JoinSet<()>,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(Arc::clone(self).converse(stream, stop.clone()));
                    }
                    Err(_) => sleep(Duration::from_millis(20)).await,
                },
            }
        }
    }

    /// Answers the requests of one connection. An idle connection ends with the instance.
    async fn converse(self: Arc<Self>, mut stream: TcpStream, stop: CancellationToken) {
        let _ = stream.set_nodelay(true);
        let mut buffer = Vec::new();
        loop {
            let next = read_request(&mut stream, &mut buffer);
            let request = tokio::select! {
                biased;
                request = next => request,
                // What has arrived is still answered; who has sent nothing by then is idle.
                () = stopped(&stop) => return,
            };
            let Ok(Some(request)) = request else { return };
            if let Some(protocol) = &request.upgrade {
                let _ = self.tunnel(&mut stream, protocol).await;
                return;
            }
            let close = request.close || stop.is_cancelled();
            if self.answer(&mut stream, &request, close).await.is_err() || close {
                return;
            }
        }
    }

    /// Lets the connection be a tunnel, until the client ends it.
    async fn tunnel(&self, stream: &mut TcpStream, protocol: &str) -> io::Result<()> {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        let head =
            format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        let written = stream.write_all(head.as_bytes()).await;
        let ended = tokio::io::copy(stream, &mut tokio::io::sink()).await;
        self.in_progress.fetch_sub(1, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
        written.and(ended).map(drop)
    }

    async fn answer(&self, stream: &mut TcpStream, request: &Request, close: bool) -> io::Result<()> {
        let work = request.path != "/health";
        if work {
            self.in_progress.fetch_add(1, Ordering::Relaxed);
            self.work(&request.path).await;
        }
        let body = format!("{} {}\n", self.name, self.addr);
        let connection = if close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{connection}\r\n",
            body.len()
        );
        let body = if request.head_only { "" } else { &body };
        let written = stream.write_all(format!("{head}{body}").as_bytes()).await;
        if work {
            self.in_progress.fetch_sub(1, Ordering::Relaxed);
            self.served.fetch_add(u64::from(written.is_ok()), Ordering::Relaxed);
        }
        written
    }

    async fn work(&self, path: &str) {
        // A semaphore is never closed; its queue is first come, first served.
        let _slot = self.slots.acquire().await;
        let _shared = match &self.shared {
            Some(shared) => shared.acquire().await.ok(),
            None => None,
        };
        sleep(slow(path).unwrap_or_else(|| exponential(self.behaviour.service_time))).await;
    }
}

/// The time that a path asks for, in milliseconds.
fn slow(path: &str) -> Option<Duration> {
    path.strip_prefix("/slow/")?.parse().ok().map(Duration::from_millis)
}

/// Waits for the stop, and a moment longer for requests that are on their way.
async fn stopped(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(Duration::from_millis(20)).await;
}

/// A random time with this mean; 1 - u lies in (0, 1], so its logarithm is finite.
fn exponential(mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - fastrand::f64()).ln())
}

struct Request {
    path: String,
    head_only: bool,
    close: bool,
    /// The protocol that the client wants to go on with.
    upgrade: Option<String>,
}

/// Reads one request with its body; `None` when the client has closed.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if buffer.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let mut rest = end + content_length(&head);
    while rest > buffer.len() {
        rest -= buffer.len();
        buffer.clear();
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    buffer.drain(..rest);
    Ok(parse_head(&head))
}

/// The value of a header, whatever its case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let named = |line: &'a str| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name));
    head.lines().skip(1).find_map(named).map(|(_, value)| value.trim())
}

fn content_length(head: &str) -> usize {
    header(head, "Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0)
}

fn parse_head(head: &str) -> Option<Request> {
    let mut words = head.lines().next()?.split(' ');
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    let connection = header(head, "Connection").unwrap_or_default().to_ascii_lowercase();
    let close = connection == "close" || (version == "HTTP/1.0" && connection != "keep-alive");
    let upgrade = header(head, "Upgrade").map(str::to_owned);
    Some(Request { path: path.to_owned(), head_only: method == "HEAD", close, upgrade })
}
