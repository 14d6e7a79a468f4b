//! Ports that nobody else listens on.
//!
//! A counter over a range below Linux's ephemeral ports, begun at a place that depends on the process, with a bind
//! to check: two tests never get the same one, and a port is not given to an outgoing connection meanwhile.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 11_000;
const COUNT: u32 = 20_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port of 127.0.0.1 that is free now and that this process gives out once.
pub(crate) fn free() -> u16 {
    (0..COUNT).find_map(|_| candidate()).expect("no free port")
}

fn candidate() -> Option<u16> {
    let start = std::process::id().wrapping_mul(251);
    let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
    let port = u16::try_from(FIRST + offset).expect("the range ends below 65536");
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
}
