//! A real Consul server of one node, with its own ports and directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::process::{Process, find, skipped};
use super::{http, ports, wait_for};

/// A running (or killed) Consul.
pub(crate) struct Consul {
    pub(crate) port: u16,
    /// Sent with every request of the rig; empty for none.
    pub(crate) token: String,
    binary: PathBuf,
    dir: PathBuf,
    process: Option<Process>,
}

/// Operations that Consul takes in one transaction.
const TRANSACTION: usize = 64;

const LEADER: Duration = Duration::from_secs(40);

impl Consul {
    /// Starts one below `dir` and waits for its leader; `None`, said on stderr, where there is no Consul.
    pub(crate) async fn start(dir: &Path) -> Option<Self> {
        Self::start_with(dir, "", json!({})).await
    }

    /// The same with further configuration; `token` is what the rig itself sends.
    pub(crate) async fn start_with(dir: &Path, token: &str, more: Value) -> Option<Self> {
        let Some(binary) = binary() else {
            skipped("consul (put one on PATH, or `make tools`)");
            return None;
        };
        let dir = dir.join("consul");
        std::fs::create_dir_all(&dir).expect("Consul's directory is made");
        let port = ports::free();
        std::fs::write(dir.join("consul.json"), config(port, &dir, more).to_string()).expect("written");
        let mut consul = Self { port, token: token.to_owned(), binary, dir, process: None };
        consul.restart().await;
        Some(consul)
    }

    /// Somebody else's Consul API on this port of 127.0.0.1: it can be asked, not killed.
    pub(crate) fn elsewhere(port: u16) -> Self {
        Self { port, token: String::new(), binary: PathBuf::new(), dir: PathBuf::new(), process: None }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(Signal::SIGKILL, Duration::from_secs(10)).await;
        }
    }

    /// Forgets everything it knew. Only while it is not running.
    pub(crate) fn wipe(&self) {
        assert!(self.process.is_none(), "Consul is still running");
        std::fs::remove_dir_all(self.dir.join("data")).expect("Consul's state is removed");
    }

    /// Starts the process and waits until it has a leader.
    pub(crate) async fn restart(&mut self) {
        self.launch();
        self.wait_leader().await;
    }

    /// Starts the process.
    pub(crate) fn launch(&mut self) {
        let mut command = Command::new(&self.binary);
        command.arg("agent").arg("-config-file").arg(self.dir.join("consul.json"));
        self.process = Some(Process::start("consul", command, &self.dir.join("log")));
    }

    /// Waits until it has a leader that answers from the catalogue.
    pub(crate) async fn wait_leader(&self) {
        wait_for("Consul has a leader", LEADER, async || {
            let nodes = self.request("GET", "/v1/catalog/nodes?consistent", "").await.ok()?;
            (nodes.status == 200).then_some(())
        })
        .await;
        // The agent's own node comes a moment after the leader; before that, what is registered waits.
        wait_for("Consul's own node is registered", LEADER, async || {
            let nodes = self.request("GET", "/v1/health/node/rig", "").await.ok()?;
            (self.token.is_empty() && nodes.body.contains("serfHealth") || !self.token.is_empty())
                .then_some(())
        })
        .await;
    }

    /// One request.
    pub(crate) async fn request(&self, method: &str, path: &str, body: &str) -> std::io::Result<http::Reply> {
        let token = match self.token.as_str() {
            "" => String::new(),
            token => format!("X-Consul-Token: {token}\r\n"),
        };
        http::send(self.port, method, path, &token, body).await
    }

    /// PUT of JSON that must be accepted; the answer.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Value {
        let reply = self.request("PUT", path, &body.to_string()).await.expect("Consul answers");
        assert_eq!(reply.status, 200, "PUT {path} {body}: {}", reply.body);
        serde_json::from_str(&reply.body).unwrap_or_default()
    }

    /// GET of JSON.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let reply = self.request("GET", path, "").await.expect("Consul answers");
        serde_json::from_str(&reply.body).unwrap_or_default()
    }

    /// Registers an instance without a check at the agent.
    pub(crate) async fn register(&self, service: &str, id: &str, port: u16) {
        let body = json!({"Name": service, "ID": id, "Address": "127.0.0.1", "Port": port});
        self.put("/v1/agent/service/register", &body).await;
    }

    /// The same with metadata.
    pub(crate) async fn register_with_meta(&self, service: &str, id: &str, port: u16, meta: Value) {
        let body = json!({"Name": service, "ID": id, "Address": "127.0.0.1", "Port": port, "Meta": meta});
        self.put("/v1/agent/service/register", &body).await;
    }

    /// Registers an instance with a check that [`Consul::check`] sets; passing at first.
    pub(crate) async fn register_checked(&self, service: &str, id: &str, port: u16) {
        let check = json!({"TTL": "600s", "Status": "passing"});
        let body = json!({"Name": service, "ID": id, "Address": "127.0.0.1", "Port": port, "Check": check});
        self.put("/v1/agent/service/register", &body).await;
    }

    /// Sets an instance's check: `pass`, `warn` or `fail`.
    pub(crate) async fn check(&self, id: &str, verdict: &str) {
        self.put(&format!("/v1/agent/check/{verdict}/service:{id}"), &json!({})).await;
    }

    /// Deregisters an instance at the agent.
    pub(crate) async fn deregister(&self, id: &str) {
        self.put(&format!("/v1/agent/service/deregister/{id}"), &json!({})).await;
    }

    /// Puts an instance into Consul's maintenance mode, or takes it out.
    pub(crate) async fn maintenance(&self, id: &str, is_on: bool) {
        let path = format!("/v1/agent/service/maintenance/{id}?enable={is_on}&reason=test");
        self.put(&path, &json!({})).await;
    }

    /// Sets a key.
    pub(crate) async fn set_key(&self, path: &str, value: &str) {
        let reply = self.request("PUT", &format!("/v1/kv/{path}"), value).await.expect("Consul answers");
        assert_eq!((reply.status, reply.body.trim()), (200, "true"), "PUT {path}");
    }

    /// `ADDRESS:PORT` of the passing instances, in order.
    pub(crate) async fn passing(&self, service: &str) -> Vec<String> {
        let entries = self.get(&format!("/v1/health/service/{service}?passing")).await;
        let server = |entry: &Value| {
            let service = &entry["Service"];
            format!("{}:{}", service["Address"].as_str().unwrap_or_default(), service["Port"])
        };
        let mut servers: Vec<String> =
            entries.as_array().expect("a list of instances").iter().map(server).collect();
        servers.sort();
        servers
    }

    /// Its process ID; `None` for one elsewhere, or while it is killed.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Registers an instance in the catalogue, as the agent of another `node` would: `service` has the fields of
    /// `/v1/catalog/register`'s `Service`.
    pub(crate) async fn register_elsewhere(&self, node: &str, service: Value) {
        let body = json!({"Node": node, "Address": "127.0.0.1", "Service": service});
        self.put("/v1/catalog/register", &body).await;
    }

    /// Registers many instances of another `node`, in few requests.
    pub(crate) async fn fill(&self, node: &str, services: Vec<Value>) {
        self.put("/v1/catalog/register", &json!({"Node": node, "Address": "127.0.0.1"})).await;
        let operation =
            |service: &Value| json!({"Service": {"Verb": "set", "Node": node, "Service": service}});
        for part in services.chunks(TRANSACTION) {
            let operations: Vec<Value> = part.iter().map(operation).collect();
            self.put("/v1/txn", &Value::Array(operations)).await;
        }
    }
}

/// Where the Consul to test with is.
pub(crate) fn binary() -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin/consul");
    find("WEIR_TEST_CONSUL", "consul", &[tools])
}

fn config(port: u16, dir: &Path, more: Value) -> Value {
    let mut config = json!({
        "server": true, "bootstrap_expect": 1, "node_name": "rig", "bind_addr": "127.0.0.1",
        "data_dir": dir.join("data"), "performance": {"raft_multiplier": 1}, "disable_update_check": true,
        "leave_on_terminate": false, "log_level": "warn",
        "ports": {"http": port, "server": ports::free(), "serf_lan": ports::free(), "serf_wan": -1,
                  "dns": -1, "grpc": -1, "https": -1},
    });
    if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
        config.extend(more);
    }
    config
}
