//! Whether an HAProxy that was not read is stopped, or only cannot be asked: the first has no sessions, the
//! second may.
//!
//! In: where HAProxy is. Out: an [`Absence`], from connecting to every socket that is configured; nothing is
//! sent.

use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::config::Haproxy;
use crate::exchange::SocketError;

/// A local socket takes a connection at once, or its listener hangs.
const PATIENCE: Duration = Duration::from_millis(300);

/// What the sockets say about an HAProxy that was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// Nobody listens on any socket, and one of them is left over: it ran and does not run.
    Stopped,
    /// There is no such socket: it never ran since the machine started, or other paths are configured than it
    /// has.
    NoSocket,
    /// Somebody listens, or keeps us out.
    CannotBeAsked,
}

/// Tries every socket that is configured.
pub async fn absence(haproxy: &Haproxy) -> Absence {
    let mut left_over = false;
    let sockets = [&haproxy.stats_socket, &haproxy.master_socket];
    for path in sockets.into_iter().flatten() {
        match tried(path).await {
            Some(SocketError::Missing { .. }) => {}
            Some(SocketError::Refused { .. }) => left_over = true,
            _ => return Absence::CannotBeAsked,
        }
    }
    if left_over { Absence::Stopped } else { Absence::NoSocket }
}

async fn tried(path: &Path) -> Option<SocketError> {
    let connected = timeout(PATIENCE, UnixStream::connect(path)).await.ok()?;
    connected.err().map(|error| SocketError::failed(path, error))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_left_over_says_stopped_and_a_listener_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (stats, master) = (dir.path().join("stats"), dir.path().join("master"));
        let haproxy = Haproxy {
            stats_socket: Some(stats.clone()),
            master_socket: Some(master.clone()),
            ..Haproxy::default()
        };
        assert_eq!(absence(&haproxy).await, Absence::NoSocket);
        // What a process leaves behind: the file outlives the listener.
        drop(UnixListener::bind(&stats).unwrap());
        assert_eq!(absence(&haproxy).await, Absence::Stopped);
        let _listens = UnixListener::bind(&master).unwrap();
        assert_eq!(absence(&haproxy).await, Absence::CannotBeAsked);
    }
}
