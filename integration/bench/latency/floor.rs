//! The floor: the least that anybody could do. A blocking query on the probe's service, `set server … addr`, and
//! `show servers state` to see that it is so. No template, no file, no other service is looked at.

use std::io::BufReader;
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::thread::JoinHandle;

use serde_json::Value;

use crate::wire;

/// The loop, running. Dropped, it ends.
pub(crate) struct Floor {
    consul: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl Floor {
    /// Follows the service `web` on this Consul, as the server `web/probe` behind this stats socket.
    pub(crate) fn start(consul: u16, stats: PathBuf) -> Self {
        let stream = wire::connect(consul).expect("Consul answers");
        let consul = stream.try_clone().expect("the connection is cloned");
        let thread = std::thread::spawn(move || while_open(BufReader::new(stream), &stats));
        Self { consul, thread: Some(thread) }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // The query that waits ends with its connection, and the loop with it.
        let _ = self.consul.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn while_open(mut consul: BufReader<TcpStream>, stats: &std::path::Path) {
    let mut index = 0;
    loop {
        let query = format!("GET /v1/health/service/web?passing&wait=60s&index={index}");
        let Ok(answer) = wire::ask(&mut consul, &query, "") else { return };
        index = answer.index;
        let instances: Value = serde_json::from_slice(&answer.body).expect("Consul answers in JSON");
        let port = &instances[0]["Service"]["Port"];
        wire::command(stats, &format!("set server web/probe addr 127.0.0.1 port {port}"))
            .expect("HAProxy answers");
        let state = wire::command(stats, "show servers state web").expect("HAProxy answers");
        assert!(state.contains(&format!(" {port} ")), "{state}");
    }
}
