//! The floor: the least that anybody could do. A blocking query on the probe's service, `set server … addr`, and
//! `show servers state` to see that it is so. No template, no file, no other service is looked at.
//!
//! And the bare loop: what must be said and kept where a new address is a new server, in as few exchanges as can be. It keeps
//! what it begins, adds the new server and drains the old one, reads both back, deletes the one before, reads back.

use std::fs::File;
use std::io::{BufReader, Write as _};
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
    /// Follows the service `web` on this Consul, behind this stats socket, each time as `change` does it.
    pub(crate) fn start(consul: u16, change: impl FnMut(&Value) + Send + 'static) -> Self {
        let stream = wire::connect(consul).expect("Consul answers");
        let consul = stream.try_clone().expect("the connection is cloned");
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _ = tell.send(own_thread());
            while_open(BufReader::new(stream), change);
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

fn while_open(mut consul: BufReader<TcpStream>, mut change: impl FnMut(&Value)) {
    let mut index = 0;
    loop {
        let query = format!("GET /v1/health/service/web?passing&wait=60s&index={index}");
        let Ok(answer) = wire::ask(&mut consul, &query, "") else { return };
        index = answer.index;
        let instances: Value = serde_json::from_slice(&answer.body).expect("Consul answers in JSON");
        change(&instances[0]["Service"]["Port"]);
    }
}

/// The server `web/probe` gets another address.
pub(crate) fn another_address(stats: PathBuf) -> impl FnMut(&Value) {
    move |port| {
        wire::command(&stats, &format!("set server web/probe addr 127.0.0.1 port {port}"))
            .expect("HAProxy answers");
        read_back(&stats, "show servers state web", port);
    }
}

/// Another server takes the place of the one before, which was `web/probe` at first. Those before are deleted at the change that
/// follows, or the one after: HAProxy keeps a server as long as a connection of it is kept.
pub(crate) fn another_server(stats: PathBuf, journal: &Path) -> impl FnMut(&Value) + use<> {
    let mut journal = File::create(journal).expect("the file is new");
    let (mut serving, mut drained) = ("web/probe".to_owned(), Vec::<String>::new());
    move |port| {
        let server = format!("web/127.0.0.1:{port}");
        if server == serving {
            return;
        }
        writeln!(journal, "{server} joins, {serving} leaves").expect("it is kept");
        let join = format!(
            "add server {server} 127.0.0.1:{port};set server {server} state ready;\
             set server {serving} state drain;show servers state web"
        );
        read_back(&stats, &join, port);
        let leave = |gone: &String| format!("set server {gone} state maint;del server {gone};");
        let leaving: String = drained.iter().map(leave).collect();
        let answers = read_back(&stats, &format!("{leaving}show servers state web"), port);
        drained.retain(|gone| answers.contains(&format!(" {} ", gone.trim_start_matches("web/"))));
        assert!(drained.len() < 10, "{answers}");
        drained.push(std::mem::replace(&mut serving, server));
    }
}

fn read_back(stats: &Path, commands: &str, port: &Value) -> String {
    let answers = wire::command(stats, commands).expect("HAProxy answers");
    assert!(answers.contains(&format!(" {port} ")), "{answers}");
    answers
}
