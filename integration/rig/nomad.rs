//! A real Nomad agent in development mode, with `raw_exec` and the rig's Consul.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::consul::Consul;
use super::process::{Process, find, skipped};
use super::{http, ports, wait_for};

/// A running Nomad.
pub(crate) struct Nomad {
    pub(crate) port: u16,
    binary: PathBuf,
    /// The jobs that were run and not stopped: an agent that ends leaves their tasks behind.
    jobs: Mutex<Vec<String>>,
    _process: Process,
}

const START: Duration = Duration::from_mins(1);

impl Nomad {
    /// Starts one below `dir`; `None`, said on stderr, where there is no Nomad.
    pub(crate) async fn start(dir: &Path, consul: &Consul) -> Option<Self> {
        let Some(binary) = binary() else {
            skipped("nomad (put one on PATH, or name it in WEIR_TEST_NOMAD)");
            return None;
        };
        let dir = dir.join("nomad");
        std::fs::create_dir_all(&dir).expect("Nomad's directory is made");
        let port = ports::free();
        std::fs::write(dir.join("nomad.json"), config(port, &dir, consul).to_string()).expect("written");
        let mut command = Command::new(&binary);
        command.args(["agent", "-dev", "-config"]).arg(dir.join("nomad.json"));
        let process = Process::start("nomad", command, &dir.join("log"))
            .ending_by(Signal::SIGINT, Duration::from_secs(20));
        let nomad = Self { port, binary, jobs: Mutex::default(), _process: process };
        nomad.wait_ready().await;
        Some(nomad)
    }

    async fn wait_ready(&self) {
        wait_for("Nomad has a ready node", START, async || {
            let nodes = self.get("/v1/nodes").await?;
            (nodes[0]["Status"] == "ready").then_some(())
        })
        .await;
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// GET of JSON; `None` where Nomad does not answer or says no.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let reply = http::get(self.port, path).await.ok()?;
        serde_json::from_str(&reply.body).ok().filter(|_| reply.status == 200)
    }

    /// Runs a job given as HCL.
    pub(crate) async fn run(&self, job: &str) {
        let parsed = self.post("/v1/jobs/parse", &json!({"JobHCL": job, "Canonicalize": true})).await;
        self.post("/v1/jobs", &json!({"Job": parsed})).await;
        self.running().push(parsed["ID"].as_str().expect("a job has an ID").to_owned());
    }

    /// Stops a job and forgets it, as `nomad job stop -purge` does.
    pub(crate) async fn purge(&self, job: &str) {
        let path = format!("/v1/job/{job}?purge=true");
        let reply = http::send(self.port, "DELETE", &path, "", "").await.expect("Nomad answers");
        assert_eq!(reply.status, 200, "DELETE {path}: {}", reply.body);
    }

    /// Stops a job and waits until none of its allocations runs.
    pub(crate) async fn stop(&self, job: &str) {
        let path = format!("/v1/job/{job}");
        let reply = http::send(self.port, "DELETE", &path, "", "").await.expect("Nomad answers");
        assert_eq!(reply.status, 200, "DELETE {path}: {}", reply.body);
        wait_for("the job's allocations end", START, async || {
            let allocations = self.get(&format!("/v1/job/{job}/allocations")).await?;
            let ended = |one: &Value| one["ClientStatus"] == "complete" || one["ClientStatus"] == "failed";
            allocations.as_array()?.iter().all(ended).then_some(())
        })
        .await;
        self.running().retain(|running| running != job);
    }

    fn running(&self) -> MutexGuard<'_, Vec<String>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wanted count of a job's group.
    pub(crate) async fn count(&self, job: &str, group: &str) -> Option<u64> {
        self.get(&format!("/v1/job/{job}/scale")).await?["TaskGroups"][group]["Desired"].as_u64()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let reply = http::send(self.port, "POST", path, "", &body.to_string()).await.expect("Nomad answers");
        assert_eq!(reply.status, 200, "POST {path}: {}", reply.body);
        serde_json::from_str(&reply.body).expect("JSON")
    }
}

impl Drop for Nomad {
    /// For a test that has failed: its tasks must not outlive it.
    fn drop(&mut self) {
        let jobs = std::mem::take(&mut *self.running());
        for job in &jobs {
            let _ =
                Command::new(&self.binary).args(["job", "stop", "-address", &self.address(), job]).output();
        }
        if !jobs.is_empty() {
            std::thread::park_timeout(Duration::from_secs(4));
        }
    }
}

/// Where the Nomad to test with is.
pub(crate) fn binary() -> Option<PathBuf> {
    find("WEIR_TEST_NOMAD", "nomad", &[])
}

fn config(port: u16, dir: &Path, consul: &Consul) -> Value {
    json!({
        "bind_addr": "127.0.0.1", "data_dir": dir.join("data"), "disable_update_check": true, "log_level": "WARN",
        "ports": {"http": port, "rpc": ports::free(), "serf": ports::free()},
        "consul": {"address": consul.address()},
        "plugin": {"raw_exec": {"config": {"enabled": true}}},
        "client": {"enabled": true, "network_interface": "lo",
                   "options": {"fingerprint.denylist": "env_aws,env_gce,env_azure,env_digitalocean"}},
    })
}
