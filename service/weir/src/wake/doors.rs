//! Who takes what was held, and how many at once.
//!
//! An instance gets no more held connections at a time than its server's `maxconn`: HAProxy, which sees to that
//! otherwise, does not know where they go. The one with the fewest comes first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::pool_loop::Door;

/// What connecting may take; an instance is in the same network.
const CONNECT: Duration = Duration::from_secs(1);
/// How soon it is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// The instances of one backend that serve now.
#[derive(Debug, Default)]
pub(super) struct Doors {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    doors: Vec<Door>,
    busy: BTreeMap<SocketAddr, u32>,
}

impl State {
    fn busy(&self, door: &Door) -> u32 {
        self.busy.get(&door.at).copied().unwrap_or(0)
    }

    /// The door with the most room; one that `failed` only where there is no other.
    fn best(&self, failed: &BTreeSet<SocketAddr>) -> Option<SocketAddr> {
        let has_room = |door: &&Door| door.most == 0 || self.busy(door) < door.most;
        let rank = |door: &&Door| (failed.contains(&door.at), self.busy(door), door.at);
        self.doors.iter().filter(has_room).min_by_key(rank).map(|door| door.at)
    }
}

/// A place at an instance, as long as it lives.
#[derive(Debug)]
pub(super) struct Seat {
    doors: Arc<Doors>,
    at: SocketAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.doors.lock();
        if let Some(busy) = state.busy.get_mut(&self.at) {
            *busy = busy.saturating_sub(1);
        }
        state.busy.retain(|_, busy| *busy > 0);
        drop(state);
        self.doors.news.notify_waiters();
    }
}

impl Doors {
    /// These serve from now on, and no others.
    pub(super) fn set(&self, doors: Vec<Door>) {
        let mut state = self.lock();
        if state.doors != doors {
            state.doors = doors;
            drop(state);
            self.news.notify_waiters();
        }
    }

    /// A connection to an instance, once one serves and has room. Never fails: it is tried until it is dropped.
    pub(super) async fn connect(self: &Arc<Self>) -> (TcpStream, Seat) {
        let mut failed = BTreeSet::new();
        loop {
            let seat = self.seat(&failed).await;
            match tokio::time::timeout(CONNECT, TcpStream::connect(seat.at)).await {
                Ok(Ok(stream)) => return (stream, seat),
                Ok(Err(error)) => tracing::debug!("{}: {error}", seat.at),
                Err(_) => tracing::debug!("{}: no answer within {CONNECT:?}", seat.at),
            }
            failed.insert(seat.at);
            drop(seat);
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn seat(self: &Arc<Self>, failed: &BTreeSet<SocketAddr>) -> Seat {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if let Some(seat) = self.take(failed) {
                return seat;
            }
            news.await;
        }
    }

    fn take(self: &Arc<Self>, failed: &BTreeSet<SocketAddr>) -> Option<Seat> {
        let mut state = self.lock();
        let at = state.best(failed)?;
        *state.busy.entry(at).or_default() += 1;
        Some(Seat { doors: self.clone(), at })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(port: u16, most: u32) -> Door {
        Door { at: ([127, 0, 0, 1], port).into(), most }
    }

    #[test]
    fn no_instance_gets_more_than_it_can_do_at_once() {
        let doors = Arc::new(Doors::default());
        let take = || doors.take(&BTreeSet::new());
        assert!(take().is_none());
        doors.set(vec![door(1, 2), door(2, 1)]);
        let seats: Vec<Seat> = std::iter::from_fn(take).collect();
        let ports: Vec<u16> = seats.iter().map(|seat| seat.at.port()).collect();
        assert_eq!(ports, [1, 2, 1]);
        drop(seats);
        doors.set(vec![door(3, 0)]);
        let many: Vec<Seat> = (0..50).filter_map(|_| take()).collect();
        assert_eq!(many.len(), 50, "no limit is none");
        drop(many);
        assert!(doors.lock().busy.is_empty());
    }
}
