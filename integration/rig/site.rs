//! A load balancer in a temporary directory: Consul, a template, weir's configuration, HAProxy in front.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::consul::Consul;
use super::haproxy::{self, Haproxy};
use super::recorder::Recorder;
use super::weir::{self, Weir};
use super::{SOON, http, ports, wait_for};

/// How weir makes HAProxy read its configuration.
#[derive(Debug, Clone)]
pub(crate) enum Reload {
    /// Through HAProxy's master socket.
    Master,
    /// By this command.
    Command(String),
}

/// The machine under test. Its processes end before its directory goes.
pub(crate) struct Site {
    pub(crate) consul: Consul,
    pub(crate) front: u16,
    /// Lines added to weir.hcl's block `haproxy`.
    pub(crate) haproxy_options: String,
    /// Lines added to weir.hcl's top level.
    pub(crate) options: String,
    /// Lines added to weir.hcl's block `consul`.
    pub(crate) consul_options: String,
    pub(crate) reload: Reload,
    /// How the pool `web` balances. With `static-rr` every change of its servers needs a reload.
    pub(crate) balance: &'static str,
    /// How long a server may take to answer.
    pub(crate) server_timeout: &'static str,
    /// How long a request may wait for a server.
    pub(crate) queue_timeout: &'static str,
    pub(crate) log_level: &'static str,
    /// The stats socket that weir is told of, in the site's directory.
    stats: &'static str,
    /// The port of weir's HTTP.
    pub(crate) http: u16,
    dir: TempDir,
}

/// The servers of the pool `web` as a normal template prints them.
pub(crate) const SERVERS: &str =
    "{{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} id {{ServerId}}
{{/each}}";

/// The same with HAProxy's own checks of `/health`.
pub(crate) const CHECKED: &str = "    option httpchk GET /health
{{#each (service \"web\")}}    server {{Server}} {{Address}}:{{Port}} id {{ServerId}} check inter 200ms rise 2 fall 2
{{/each}}";

impl Site {
    /// A Consul and an empty directory; `None`, said on stderr, where Consul or HAProxy is missing.
    pub(crate) async fn new() -> Option<Self> {
        Self::with_consul("", json!({})).await
    }

    /// The same with further configuration of Consul, and the token that the rig sends.
    pub(crate) async fn with_consul(token: &str, more: Value) -> Option<Self> {
        haproxy::binary()?;
        let dir = directory();
        let consul = Consul::start_with(dir.path(), token, more).await?;
        Some(Self::in_directory(dir, consul))
    }

    /// A machine beside a Consul that runs already.
    pub(crate) fn beside(consul: Consul) -> Self {
        Self::in_directory(directory(), consul)
    }

    fn in_directory(dir: TempDir, consul: Consul) -> Self {
        let none = String::new;
        Self {
            consul,
            front: ports::free(),
            haproxy_options: none(),
            options: none(),
            consul_options: none(),
            reload: Reload::Master,
            balance: "roundrobin",
            server_timeout: "20s",
            queue_timeout: "5s",
            log_level: "debug",
            stats: "stats.sock",
            http: ports::free(),
            dir,
        }
    }

    /// A path in the site's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A whole haproxy.cfg template whose pool `web` holds `servers`.
    pub(crate) fn template(&self, servers: &str) -> String {
        format!(
            "global
    stats socket {stats} mode 600 level admin expose-fd listeners
    hard-stop-after 20s
defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server {server}
    timeout queue {queue}
    timeout tunnel 1h
    retries 3
    option redispatch 1
frontend front
    bind 127.0.0.1:{front}
    default_backend web
backend web
    balance {balance}
{servers}",
            stats = self.path("stats.sock").display(),
            front = self.front,
            balance = self.balance,
            server = self.server_timeout,
            queue = self.queue_timeout,
        )
    }

    /// Writes the template's file as an editor does: a new file renamed over the old.
    pub(crate) fn write_template(&self, text: &str) {
        let fresh = self.path("haproxy.cfg.hbs.new");
        std::fs::write(&fresh, text).expect("written");
        std::fs::rename(fresh, self.path("haproxy.cfg.hbs")).expect("renamed");
    }

    /// What weir has rendered; empty before.
    pub(crate) fn rendered(&self) -> String {
        std::fs::read_to_string(self.path("haproxy.cfg")).unwrap_or_default()
    }

    /// The names of the servers that it has rendered, in order.
    pub(crate) fn rendered_servers(&self) -> Vec<String> {
        let file = self.rendered();
        let name = |line: &str| line.trim().strip_prefix("server ")?.split(' ').next().map(str::to_owned);
        let mut servers: Vec<String> = file.lines().filter_map(name).collect();
        servers.sort();
        servers
    }

    /// weir.hcl for this site, written.
    pub(crate) fn write_config(&self) -> PathBuf {
        let file = self.path("weir.hcl");
        std::fs::write(&file, self.config()).expect("written");
        file
    }

    fn config(&self) -> String {
        let reload = match &self.reload {
            Reload::Master => format!("master_socket = \"{}\"", self.path("master.sock").display()),
            Reload::Command(command) => format!("reload_command = {}", json!(command)),
        };
        format!(
            "state_dir = \"{dir}/state\"\ncontrol = \"{dir}/weir.sock\"\nlog_level = \"{log_level}\"\n{options}\n\
             consul {{\n  address = \"{consul}\"\n  {consul_options}\n}}\n\
             template {{\n  source = \"{dir}/haproxy.cfg.hbs\"\n  destination = \"{dir}/haproxy.cfg\"\n}}\n\
             haproxy {{\n  config = [\"{dir}/haproxy.cfg\"]\n  stats_socket = \"{dir}/{stats}\"\n  {reload}\n  \
             binary = \"{binary}\"\n  {haproxy_options}\n}}\nhttp {{\n  address = \"127.0.0.1:{http}\"\n}}\n",
            dir = self.dir.path().display(),
            stats = self.stats,
            log_level = self.log_level,
            options = self.options,
            consul = self.consul.address(),
            consul_options = self.consul_options,
            binary = haproxy::binary().expect("found before").display(),
            haproxy_options = self.haproxy_options,
            http = self.http,
        )
    }

    /// Writes the configuration and starts weir.
    pub(crate) fn weir(&self) -> Weir {
        Weir::start(&self.write_config(), self.http, &self.path("logs/weir.log"))
    }

    /// Waits for weir's first output and starts HAProxy on it.
    pub(crate) async fn haproxy(&self) -> Haproxy {
        wait_for("weir has rendered", SOON, async || (!self.rendered().is_empty()).then_some(())).await;
        Haproxy::start(self.dir()).await
    }

    /// The usual start: the template with the pool `web`, weir, HAProxy, and both ready.
    pub(crate) async fn up(&self) -> (Weir, Haproxy) {
        self.up_with(&self.template(SERVERS)).await
    }

    /// The same with this template.
    pub(crate) async fn up_with(&self, template: &str) -> (Weir, Haproxy) {
        self.write_template(template);
        let mut weir = self.weir();
        let haproxy = self.haproxy().await;
        weir.wait_ready().await;
        (weir, haproxy)
    }

    /// The same with a recorder of weir's commands between the two.
    pub(crate) async fn up_recorded(&mut self, template: &str) -> (Weir, Haproxy, Recorder) {
        self.stats = "recorded.sock";
        self.write_template(template);
        let mut weir = self.weir();
        let haproxy = self.haproxy().await;
        let recorder = Recorder::start(&self.path(self.stats), self.path("stats.sock"));
        weir.wait_ready().await;
        (weir, haproxy, recorder)
    }

    /// `weir servers --confirm-empty BACKEND`.
    pub(crate) async fn confirm_empty(&self, backend: &str) -> Output {
        self.ask(&["servers", "--confirm-empty", backend]).await
    }

    /// A command of weir that asks the running one on its control socket.
    pub(crate) async fn ask(&self, args: &[&str]) -> Output {
        let control = [PathBuf::from("--control"), self.path("weir.sock")];
        weir::run(args.iter().map(PathBuf::from).chain(control).collect()).await
    }

    /// `weir servers`.
    pub(crate) async fn servers(&self, args: &[&str]) -> Output {
        let args: Vec<&str> = ["servers"].into_iter().chain(args.iter().copied()).collect();
        self.http_command(&args).await
    }

    /// A command of weir that reads from the running one's HTTP interface.
    pub(crate) async fn http_command(&self, args: &[&str]) -> Output {
        let address = format!("127.0.0.1:{}", self.http);
        let args = args.iter().copied().chain(["--address", &address]);
        weir::run(args.map(PathBuf::from).collect()).await
    }

    /// Which instances answer through the front now: a few dozen requests.
    pub(crate) async fn answering(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for _ in 0..24 {
            let reply = http::get(self.front, "/").await;
            names.extend(reply.ok().filter(|reply| reply.status == 200).map(|reply| reply.body));
        }
        names
    }

    /// Waits until exactly these instances answer through the front.
    pub(crate) async fn wait_answering(&self, names: &[&str], deadline: Duration) {
        let wanted: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let what = format!("the front is answered by {wanted:?}");
        wait_for(&what, deadline, async || (self.answering().await == wanted).then_some(())).await;
    }
}

/// Short, since a socket's path may have a hundred characters.
fn directory() -> TempDir {
    tempfile::Builder::new().prefix("weir-it-").tempdir_in("/tmp").expect("a directory is made")
}

/// Instances with these names.
pub(crate) async fn instances<const N: usize>(names: [&str; N]) -> Vec<super::Instance> {
    let mut started = Vec::with_capacity(N);
    for name in names {
        started.push(super::Instance::start(name).await);
    }
    started
}
