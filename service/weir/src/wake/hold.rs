//! One connection: held unread until an instance takes it, then both are one.
//!
//! Out: how it ended. What HAProxy sends while it waits stays in the kernel's buffers, so that it costs no memory here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::doors::{Doors, Seat};
use super::tally::Tally;

/// How often it is looked whether the other side is still there: what it has sent hides its end from a read.
const LOOK: Duration = Duration::from_millis(250);

/// How the wait ended.
enum Ended {
    /// An instance takes it.
    Taken(TcpStream, Seat),
    /// The time is over.
    Late,
    /// HAProxy closed it, as its client or its own timeout ended.
    Left,
}

/// Holds a connection, then carries its bytes. Out: whether its time was over before an instance came.
pub(super) async fn hold(
    mut stream: TcpStream,
    doors: &Arc<Doors>,
    tally: &Tally,
    deadline: Instant,
) -> bool {
    let held = tally.hold(std::time::Instant::now());
    let ended = tokio::select! {
        biased;
        (instance, seat) = doors.connect() => Ended::Taken(instance, seat),
        () = tokio::time::sleep_until(deadline) => Ended::Late,
        () = left(&stream) => Ended::Left,
    };
    drop(held);
    match ended {
        Ended::Taken(mut instance, seat) => {
            tally.pass();
            carry(&mut stream, &mut instance).await;
            drop(seat);
            false
        }
        Ended::Late => true,
        Ended::Left => false,
    }
}

/// Both ways, until both have ended.
async fn carry(stream: &mut TcpStream, instance: &mut TcpStream) {
    // Small answers are not to wait for more; without it they only come later.
    let _ = (stream.set_nodelay(true), instance.set_nodelay(true));
    if let Err(error) = tokio::io::copy_bidirectional(stream, instance).await {
        tracing::debug!("a connection that was held ended: {error}");
    }
}

/// Waits until the other side closes.
async fn left(stream: &TcpStream) {
    loop {
        let ready = stream.ready(Interest::READABLE).now_or_never();
        let is_over = match ready {
            Some(Ok(ready)) => ready.is_read_closed(),
            Some(Err(_)) => true,
            None => false,
        };
        if is_over {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}
