//! A real Consul server of a test's own: free ports, own data directory, ended by its process ID.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A running (or stopped) Consul.
pub(crate) struct Consul {
    binary: PathBuf,
    directory: tempfile::TempDir,
    ports: Vec<u16>,
    child: Option<Child>,
    /// May do everything; `None`: everybody may.
    token: Option<&'static str>,
    http: reqwest::Client,
}

/// The binary named in `WEIR_TEST_CONSUL`, on `PATH`, or fetched into `target/tools`.
fn binary() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("WEIR_TEST_CONSUL") {
        return Some(named.into());
    }
    let fetched = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain([fetched]);
    places.find_map(|place| Some(place.join("consul")).filter(|file| file.is_file()))
}

fn free_ports<const N: usize>() -> Vec<u16> {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

impl Consul {
    /// Starts one and waits for its leader; `None`, said on standard error, where there is no binary.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(None).await
    }

    /// The same, and it denies everything to who has no token; this value has one.
    pub(crate) async fn start_denying() -> Option<Self> {
        Self::start_with(Some("6f0f1b1c-2f6b-4f0e-9d3c-0d5f8e1f2a77")).await
    }

    async fn start_with(token: Option<&'static str>) -> Option<Self> {
        let Some(binary) = binary() else {
            eprintln!("skipped: no consul (integration/tools/fetch-consul.sh gets one)");
            return None;
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut consul = Self {
            binary,
            directory: tempfile::tempdir().unwrap(),
            ports: free_ports::<3>(),
            child: None,
            token,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        consul.launch();
        consul.has_leader().await;
        Some(consul)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Starts the process with what its data directory holds.
    pub(crate) fn launch(&mut self) {
        let mut config = json!({
            "node_name": "agent", "bind_addr": "127.0.0.1", "server": true, "bootstrap": true,
            "data_dir": self.directory.path().join("data"),
            "ports": {
                "http": self.ports[0], "server": self.ports[1], "serf_lan": self.ports[2],
                "dns": -1, "serf_wan": -1, "grpc": -1
            },
            "performance": { "raft_multiplier": 1 },
        });
        if let Some(token) = self.token {
            let tokens = json!({ "master": token, "agent": token });
            config["acl"] = json!({ "enabled": true, "default_policy": "deny", "tokens": tokens });
        }
        let file = self.directory.path().join("consul.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new(&self.binary);
        command.arg("agent").arg("-config-file").arg(&file);
        self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    pub(crate) async fn has_leader(&self) {
        let started = Instant::now();
        // The leader takes a moment to know its tokens.
        let question = if self.token.is_some() { "acl/token/self" } else { "status/leader" };
        while !self.get(question).await.is_some_and(|answer| answer != json!("")) {
            assert!(started.elapsed() < crate::rig::DEADLINE, "Consul has no leader");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Forgets everything that it knew.
    pub(crate) fn wipe(&self) {
        std::fs::remove_dir_all(self.directory.path().join("data")).unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let url = format!("http://{}/v1/{path}", self.address());
        let request = self.http.get(url).header("x-consul-token", self.token.unwrap_or_default());
        request.send().await.ok()?.json().await.ok()
    }

    pub(crate) async fn put(&self, path: &str, body: impl ToString) {
        let url = format!("http://{}/v1/{path}", self.address());
        let request = self.http.put(url).header("x-consul-token", self.token.unwrap_or_default());
        let response = request.body(body.to_string()).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.text().await.unwrap());
    }

    /// Registers an instance through the catalogue, with a check in `status` if one is given.
    pub(crate) async fn register(&self, node: &str, id: &str, name: &str, port: u16, status: Option<&str>) {
        let mut body = json!({
            "Node": node, "Address": "10.0.0.1", "SkipNodeUpdate": false,
            "Service": { "ID": id, "Service": name, "Port": port, "Tags": [format!("port-{port}")] },
        });
        if let Some(status) = status {
            body["Check"] =
                json!({ "CheckID": format!("c:{id}"), "ServiceID": id, "Name": "c", "Status": status });
        }
        self.put("catalog/register", body).await;
    }

    pub(crate) async fn deregister(&self, node: &str, id: &str) {
        self.put("catalog/deregister", json!({ "Node": node, "ServiceID": id })).await;
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.kill();
    }
}
