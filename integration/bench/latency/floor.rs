//! The floor: the least that anybody could do. A blocking query on the probe's service, `set server … addr`, and
//! `show servers state` to see that it is so. No template, no file, no other service is looked at.

use std::io::BufReader;
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use serde_json::Value;

use crate::usage::Cpu;
use crate::wire;

/// The loop, running. Dropped, it ends.
pub(crate) struct Floor {
    consul: TcpStream,
    thread: Option<JoinHandle<()>>,
    /// What `/proc` has of its thread.
    shown_in: Option<PathBuf>,
}

impl Floor {
    /// Follows the service `web` on this Consul, as the server `web/probe` behind this stats socket.
    pub(crate) fn start(consul: u16, stats: PathBuf) -> Self {
        let stream = wire::connect(consul).expect("Consul answers");
        let consul = stream.try_clone().expect("the connection is cloned");
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _ = tell.send(own_thread());
            while_open(BufReader::new(stream), &stats);
        });
        Self { consul, thread: Some(thread), shown_in: told.recv().ok().flatten() }
    }

    /// Its CPU time, where that is known.
    pub(crate) fn cpu(&self) -> Option<Cpu> {
        Cpu::shown_in(self.shown_in.as_deref()?)
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

/// What `/proc` has of the thread that asks.
fn own_thread() -> Option<PathBuf> {
    Some(Path::new("/proc").join(std::fs::read_link("/proc/thread-self").ok()?))
}

fn while_open(mut consul: BufReader<TcpStream>, stats: &Path) {
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
