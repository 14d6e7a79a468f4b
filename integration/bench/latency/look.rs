//! What requests notice of HAProxy being read: their times on kept connections, by who reads.

use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::DEFAULT_LIMIT;
use crate::ground::{Ground, SETTLED};
use crate::programs::Running;
use crate::settings::Settings;
use crate::times::{Times, millis};
use crate::wire;

/// HAProxy has two threads or more, and each has some of the connections.
const CLIENTS: usize = 4;
/// Between one request and the next on a connection.
const APART: Duration = Duration::from_millis(1);
/// As often as weir looks where there are many servers.
const PERIOD: Duration = Duration::from_secs(1);
/// So many looks are met.
const LOOKS: usize = 20;

/// Prints the times of requests while nobody reads, while the statistics are read at once, and while weir reads.
pub(crate) async fn look(settings: &Settings) {
    println!(
        "\n| services × instances | HAProxy is read | median | p99.9 | longest |\n|---|---|---|---|---|"
    );
    for size in &settings.sizes {
        let mut ground = Ground::new(*size, DEFAULT_LIMIT).await;
        let running = Running::floor(&ground).await;
        measure(&mut ground, "never", None).await;
        let socket = ground.site.path("stats.sock");
        measure(&mut ground, "each second, at once", Some(socket)).await;
        drop(running);
        let _running = Running::weir(&ground).await;
        measure(&mut ground, "by weir", None).await;
    }
}

/// `read`: the stats socket, where it is read here.
async fn measure(ground: &mut Ground, by: &str, read: Option<PathBuf>) {
    tokio::time::sleep(SETTLED).await;
    let (is_over, front) = (Arc::new(AtomicBool::new(false)), ground.site.front);
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(front, is_over.clone())).collect();
    let reading = tokio::task::spawn_blocking(move || {
        for _ in 0..LOOKS {
            let begin = Instant::now();
            if let Some(socket) = &read {
                wire::command(socket, "show stat -1 6 -1").expect("HAProxy answers");
            }
            std::thread::park_timeout(PERIOD.saturating_sub(begin.elapsed()));
        }
    });
    reading.await.expect("the reading ends");
    is_over.store(true, Ordering::Relaxed);
    let times =
        Times::new(clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect());
    let (services, instances) = ground.size;
    let [median, most, longest] = [500, 999, 1000].map(|permille| millis(times.within(permille)));
    println!("| {services} × {instances} | {by} | {median} | {most} | {longest} |");
}

/// Requests on one connection until it is over; their times.
fn client(front: u16, is_over: Arc<AtomicBool>) -> JoinHandle<Vec<Duration>> {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(wire::connect(front).expect("HAProxy listens"));
        let mut times = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let begin = Instant::now();
            wire::ask(&mut stream, "GET /", "").expect("the front answers");
            times.push(begin.elapsed());
            std::thread::park_timeout(APART);
        }
        times
    })
}
