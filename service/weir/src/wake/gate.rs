//! One backend's port: takes connections from HAProxy, a bounded number at once, and holds them.
//!
//! Fails to open where no port can be had. Once it is dropped nobody is taken any more; those that went on to an
//! instance go on.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::doors::Doors;
use super::hold::hold;
use super::tally::Tally;
use crate::pool_loop::Door;

/// What all gates have in common.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) address: IpAddr,
    /// How long a connection is held.
    pub(super) deadline: Duration,
    /// One for each connection, from its coming to its end.
    pub(super) places: Arc<Semaphore>,
}

/// A gate that is open.
#[derive(Debug)]
pub(super) struct Gate {
    address: SocketAddr,
    doors: Arc<Doors>,
    _open: DropGuard,
}

impl Gate {
    /// Opens one. `say` is called now and then, where connections are not held.
    pub(super) async fn open(
        bounds: &Bounds,
        tally: Arc<Tally>,
        say: impl Fn(String) + Send + Sync + 'static,
        cancel: CancellationToken,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((bounds.address, 0)).await?;
        let (address, doors) = (listener.local_addr()?, Arc::new(Doors::default()));
        let keep = Keep { bounds: bounds.clone(), doors: doors.clone(), tally, say: Arc::new(say) };
        let is_open = cancel.child_token();
        tokio::spawn(is_open.clone().run_until_cancelled_owned(keep.admit(listener, cancel)));
        Ok(Self { address, doors, _open: is_open.drop_guard() })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is held goes to these.
    pub(super) fn lead_to(&self, doors: Vec<Door>) {
        self.doors.set(doors);
    }
}

/// What keeps a gate.
#[derive(Clone)]
struct Keep {
    bounds: Bounds,
    doors: Arc<Doors>,
    tally: Arc<Tally>,
    say: Arc<dyn Fn(String) + Send + Sync>,
}

impl Keep {
    /// Takes whoever comes, for ever. Connections end with `cancel`.
    async fn admit(self, mut listener: TcpListener, cancel: CancellationToken) {
        loop {
            // axum's own: it outlives what accepting can fail with.
            let (stream, _) = Listener::accept(&mut listener).await;
            match self.bounds.places.clone().try_acquire_owned() {
                Ok(place) => {
                    let held = self.clone().keep(stream, place);
                    tokio::spawn(cancel.clone().run_until_cancelled_owned(held));
                }
                Err(_) if self.tally.refuse(std::time::Instant::now()) => {
                    (self.say)("more came than `max_connections`".to_owned());
                }
                Err(_) => {}
            }
        }
    }

    async fn keep(self, stream: tokio::net::TcpStream, place: OwnedSemaphorePermit) {
        let deadline = Instant::now() + self.bounds.deadline;
        let is_late = hold(stream, &self.doors, &self.tally, deadline).await;
        if is_late && self.tally.expire(std::time::Instant::now()) {
            (self.say)(format!("no instance served within the `deadline` of {:?}", self.bounds.deadline));
        }
        drop(place);
    }
}
