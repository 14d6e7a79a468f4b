//! From checked blocks to a [`Config`]: defaults, and what only shows when options are seen together.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::parse::{Place, Section};
use super::problem::Problem;
use super::{
    Config, Consul, Control, Haproxy, Log, Nomad, Peer, PeerTls, Prometheus, Source, Template, Tls, Token,
    Wake,
};

/// The longest path of a socket in bytes: `sun_path` has 104 on FreeBSD (108 on Linux), its terminating zero included.
const LONGEST_SOCKET: usize = 103;

pub(super) struct Builder<'a> {
    pub(super) problems: &'a mut Vec<Problem>,
    /// The first file that was named: where problems of the whole are reported.
    pub(super) first: &'a Path,
    /// Whether every file could be read.
    pub(super) whole: bool,
}

impl Builder<'_> {
    pub(super) fn config(&mut self, root: &Section) -> Config {
        let none = Section::default();
        let config = Config {
            cluster: root.text("cluster").unwrap_or_else(|| "default".into()),
            state_dir: root.text("state_dir").unwrap_or_else(|| "/var/db/weir".into()).into(),
            control: control(root),
            log: self.log(root),
            consul: self.consul(root, root.block("consul").unwrap_or(&none)),
            nomad: root.block("nomad").map(|nomad| self.nomad(nomad)),
            http: self.http(root),
            peer: root.block("peer").and_then(|peer| self.peer(peer)),
            prometheus: root.block("prometheus").and_then(|prometheus| self.prometheus(prometheus)),
            wake: root.block("wake").map(|wake| self.wake(wake)),
            templates: root.blocks("template").map(|template| self.template(template)).collect(),
            haproxies: root.blocks("haproxy").map(|haproxy| self.haproxy(haproxy)).collect(),
        };
        self.whole(root, &config);
        config
    }

    fn log(&mut self, root: &Section) -> Log {
        let level = root.text("log_level").unwrap_or_else(|| "info".into());
        let format = root.text("log_format").unwrap_or_else(|| "text".into());
        if !["text", "json"].contains(&format.as_str()) {
            let message = format!("`log_format` is \"{format}\"; it must be text or json");
            self.report(&root.place("log_format"), message);
        }
        let parsed = level.parse().unwrap_or_else(|_| {
            let message = format!("`log_level` is \"{level}\"; it must be error, warn, info, debug or trace");
            self.report(&root.place("log_level"), message);
            tracing::Level::INFO
        });
        Log { level: parsed, json: format == "json" }
    }

    fn consul(&mut self, root: &Section, consul: &Section) -> Consul {
        self.one_token(consul);
        let most = consul.number("max_connections").unwrap_or(150);
        if most < 4 {
            self.report(&consul.place("max_connections"), "`max_connections` must be at least 4".into());
        }
        Consul {
            address: consul.text("address"),
            token: consul.text("token"),
            token_file: consul.text("token_file").map(Into::into),
            datacenter: consul.text("datacenter"),
            max_connections: usize::try_from(most).unwrap_or(usize::MAX).max(4),
            max_stale: root.duration("max_stale").unwrap_or(Duration::from_secs(2)),
            wait: root.duration("block_query_wait").unwrap_or(Duration::from_mins(1)),
            tls: consul.block("ssl").map(tls),
            auth: consul.block("auth").map(credentials),
        }
    }

    fn nomad(&mut self, nomad: &Section) -> Nomad {
        self.one_token(nomad);
        Nomad {
            address: nomad.text("address"),
            token: nomad.text("token"),
            token_file: nomad.text("token_file").map(Into::into),
            namespace: nomad.text("namespace").unwrap_or_else(|| "*".into()),
            region: nomad.text("region"),
            tls: nomad.block("ssl").map(tls),
        }
    }

    /// Nothing where it has no usable address, which is reported.
    fn peer(&mut self, peer: &Section) -> Option<Peer> {
        self.one_token(peer);
        let text = peer.text("address")?;
        let Ok(address) = text.parse::<SocketAddr>() else {
            let message =
                format!("`address` is \"{text}\"; it must be an address and a port, such as 10.0.0.1:8718");
            self.report(&peer.place("address"), message);
            return None;
        };
        let token = Token::of(peer);
        if token == Token::None && !address.ip().is_loopback() {
            let message = format!(
                "block `peer` listens on {address} without a secret: give all load balancers the same `token` or \
                 `token_file`"
            );
            self.report(&peer.place(""), message);
        }
        let advertise = self.advertise(peer, address);
        let file = |ssl: &Section, name: &str| ssl.text(name).map(PathBuf::from);
        let tls = peer.block("ssl").and_then(|ssl| {
            Some(PeerTls { cert: file(ssl, "cert")?, key: file(ssl, "key")?, ca_cert: file(ssl, "ca_cert")? })
        });
        Some(Peer { address, advertise, token, tls })
    }

    fn advertise(&mut self, peer: &Section, address: SocketAddr) -> String {
        let written = peer.text("advertise");
        let port = |text: &str| text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if written.is_none() && address.ip().is_unspecified() {
            let message = format!("`address` is {address}, which others cannot connect to: add `advertise`");
            self.report(&peer.place("address"), message);
        }
        if let Some(text) = written.as_ref().filter(|text| port(text).is_none()) {
            let message =
                format!("`advertise` is \"{text}\"; it must be HOST:PORT, such as lb1.example.com:8718");
            self.report(&peer.place("advertise"), message);
        }
        written.unwrap_or_else(|| address.to_string())
    }

    /// Nothing where it has no usable address, which is reported.
    fn prometheus(&mut self, section: &Section) -> Option<Prometheus> {
        self.one_token(section);
        let text = section.text("address")?;
        let address =
            text.parse().ok().filter(|url: &reqwest::Url| ["http", "https"].contains(&url.scheme()));
        if address.is_none() {
            let message = format!("`address` is \"{text}\"; it must be a URL, such as http://127.0.0.1:9090");
            self.report(&section.place("address"), message);
        }
        let auth = section.block("auth");
        if auth.is_some() && Token::of(section) != Token::None {
            let message = "both a token and a block `auth` are given; keep one".into();
            self.report(&section.place("token"), message);
        }
        Some(Prometheus {
            address: address?,
            scrape_interval: section
                .duration("scrape_interval")
                .filter(|interval| !interval.is_zero())
                .unwrap_or(Duration::from_secs(15)),
            timeout: section.duration("timeout").unwrap_or(Duration::from_secs(5)),
            token: Token::of(section),
            headers: self.headers(section),
            auth: auth.map(credentials),
            tls: section.block("ssl").map(tls),
        })
    }

    fn headers(&mut self, section: &Section) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for text in section.texts("headers").unwrap_or_default() {
            let parsed = text.split_once(':').and_then(|(name, value)| {
                Some((name.trim().parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
            });
            if let Some((name, value)) = parsed {
                headers.append(name, value);
            } else {
                let message = format!("`headers` holds \"{text}\"; write \"Name: value\"");
                self.report(&section.place("headers"), message);
            }
        }
        headers
    }

    /// What holds the requests of groups at zero.
    fn wake(&mut self, wake: &Section) -> Wake {
        let most = wake.number("max_connections").unwrap_or(1000);
        if most == 0 {
            self.report(&wake.place("max_connections"), "`max_connections` must be at least 1".into());
        }
        let deadline = wake.duration("deadline").unwrap_or(Duration::from_secs(30));
        if deadline.is_zero() {
            self.report(&wake.place("deadline"), "`deadline` must be longer than nothing".into());
        }
        let max_connections = usize::try_from(most).unwrap_or(usize::MAX).max(1);
        Wake { address: self.wake_address(wake), max_connections, deadline }
    }

    fn wake_address(&mut self, wake: &Section) -> IpAddr {
        let fallback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let Some(text) = wake.text("address") else { return fallback };
        let what = match text.parse::<IpAddr>() {
            Ok(address) if !address.is_unspecified() => return address,
            Ok(_) => "HAProxy has to connect to it: name one of this node, such as 127.0.0.1",
            Err(_) if text.parse::<SocketAddr>().is_ok() => {
                "write it without a port: each pool at zero gets a free one"
            }
            Err(_) => "it must be an IP address, such as 127.0.0.1",
        };
        self.report(&wake.place("address"), format!("`address` is \"{text}\"; {what}"));
        fallback
    }

    fn one_token(&mut self, section: &Section) {
        if section.text("token").is_some() && section.text("token_file").is_some() {
            let message = "both `token` and `token_file` are given; keep one".into();
            self.report(&section.place("token_file"), message);
        }
    }

    fn http(&mut self, root: &Section) -> SocketAddr {
        let fallback = SocketAddr::from(([127, 0, 0, 1], 8717));
        let Some(http) = root.block("http") else { return fallback };
        let Some(address) = http.text("address") else { return fallback };
        address.parse().unwrap_or_else(|_| {
            let message = format!(
                "`address` is \"{address}\"; it must be an address and a port, such as 127.0.0.1:8717"
            );
            self.report(&http.place("address"), message);
            fallback
        })
    }

    fn template(&mut self, section: &Section) -> Template {
        let source = match (section.text("source"), section.text("contents")) {
            (Some(path), None) => Source::File(path.into()),
            (None, Some(text)) => Source::Inline(text),
            (source, _) => {
                let both = if source.is_some() { "not both" } else { "and this one has neither" };
                let message = format!("a template has either `source` or `contents`, {both}");
                self.report(&section.place("source"), message);
                Source::Inline(String::new())
            }
        };
        if section.text("destination").is_some_and(|path| path.is_empty()) {
            let message = "`destination` is empty: name the file to write";
            self.report(&section.place("destination"), message.into());
        }
        Template {
            source,
            destination: section.text("destination").unwrap_or_default().into(),
            perms: section.number("perms").and_then(|perms| perms.try_into().ok()),
            user: section.text("user"),
            group: section.text("group"),
            place: Place { file: section.file.clone(), line: section.line },
        }
    }

    fn haproxy(&mut self, section: &Section) -> Haproxy {
        let path = |name: &str| section.text(name).map(PathBuf::from);
        let haproxy = Haproxy {
            name: section.label.clone().unwrap_or_default(),
            config: section.texts("config").unwrap_or_default().into_iter().map(Into::into).collect(),
            stats_socket: path("stats_socket"),
            master_socket: path("master_socket"),
            reload_command: section.text("reload_command"),
            reload_timeout: section.duration("reload_timeout").unwrap_or(Duration::from_secs(10)),
            binary: path("binary").unwrap_or_else(|| "haproxy".into()),
            check_timeout: section.duration("check_timeout").unwrap_or(Duration::from_secs(30)),
            working_directory: path("working_directory"),
            environment_file: path("environment_file"),
            check_user: section.text("check_user"),
            max_old_workers: section.number("max_old_workers").and_then(|n| n.try_into().ok()).unwrap_or(8),
            reload_wait: section.duration("reload_wait").unwrap_or(Duration::from_secs(10)),
            drain_timeout: section.duration("drain_timeout").unwrap_or(Duration::from_mins(5)),
            first_check_timeout: section.duration("first_check_timeout").unwrap_or(Duration::from_secs(30)),
            verify_interval: section.duration("verify_interval").unwrap_or(Duration::from_secs(10)),
            panic_threshold: self.percentage(section, "panic_threshold").unwrap_or(30),
            allow_empty: section.texts("allow_empty").unwrap_or_default(),
        };
        if haproxy.master_socket.is_none() && haproxy.reload_command.is_none() {
            let message = "block `haproxy` needs `master_socket` or `reload_command`: without one weir cannot \
                           make HAProxy read its configuration";
            self.report(&section.place(""), message.into());
        }
        haproxy
    }

    fn percentage(&mut self, section: &Section, name: &str) -> Option<u8> {
        let number = section.number(name)?;
        let percentage = u8::try_from(number).ok().filter(|percentage| *percentage <= 100);
        if percentage.is_none() {
            let message = format!("`{name}` is {number}; it is a percentage, from 0 to 100");
            self.report(&section.place(name), message);
        }
        percentage
    }

    /// What only shows when everything is seen together.
    fn whole(&mut self, root: &Section, config: &Config) {
        if config.templates.is_empty() && self.whole {
            let message = "no `template` block: there is nothing to do";
            self.problems.push(Problem::new(self.first, 0, message));
        }
        self.control(root, &config.control.path);
        self.destinations(&config.templates);
        self.labels(root);
        self.outside(config);
    }

    /// What would make binding fail, or would destroy somebody's file.
    fn control(&mut self, root: &Section, path: &Path) {
        let length = path.as_os_str().len();
        let other = std::fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket());
        let message = if length > LONGEST_SOCKET {
            format!("is a path of {length} bytes; a socket's may have {LONGEST_SOCKET}: name a shorter one")
        } else if other {
            format!("is {}, which is there and is no socket; name another path", path.display())
        } else {
            return;
        };
        let Place { file, line } = root.place("control");
        let file = if file.as_os_str().is_empty() { self.first } else { &file };
        self.problems.push(Problem::new(file, line, format!("`control` {message}")));
    }

    fn destinations(&mut self, templates: &[Template]) {
        let mut seen: BTreeMap<&Path, &Place> = BTreeMap::new();
        for template in templates.iter().filter(|template| template.has_destination()) {
            if let Some(first) = seen.get(template.destination.as_path()) {
                let destination = template.destination.display();
                let message =
                    format!("a second template for {destination}; the first is at line {}", first.line);
                self.report(&template.place, message);
            } else {
                seen.insert(&template.destination, &template.place);
            }
        }
    }

    fn labels(&mut self, root: &Section) {
        let mut seen = std::collections::BTreeSet::new();
        for section in root.blocks("haproxy") {
            let label = section.label.clone().unwrap_or_default();
            if !seen.insert(label.clone()) {
                let message = match label.as_str() {
                    "" => "a second block `haproxy` without a label; give it a name: haproxy \"edge\" { … }"
                        .into(),
                    label => format!("a second block `haproxy \"{label}\"`; give it another name"),
                };
                self.report(&section.place(""), message);
            }
        }
    }

    /// With several HAProxys it must be plain which one loads a template's output.
    fn outside(&mut self, config: &Config) {
        if config.haproxies.len() < 2 {
            return;
        }
        for template in config.templates.iter().filter(|template| template.has_destination()) {
            if !config.haproxies.iter().any(|haproxy| haproxy.loads(&template.destination)) {
                let message = format!(
                    "no `haproxy` block has {} in its `config`, so it is not clear which one to reload for it",
                    template.destination.display()
                );
                self.report(&template.place, message);
            }
        }
    }

    fn report(&mut self, place: &Place, message: String) {
        self.problems.push(Problem::new(&place.file, place.line, message));
    }
}

fn control(root: &Section) -> Control {
    Control {
        path: root.text("control").unwrap_or_else(|| "/var/run/weir.sock".into()).into(),
        perms: root.number("control_perms").and_then(|perms| perms.try_into().ok()).unwrap_or(0o660),
        group: root.text("control_group"),
    }
}

fn credentials(auth: &Section) -> (String, String) {
    (auth.text("username").unwrap_or_default(), auth.text("password").unwrap_or_default())
}

fn tls(section: &Section) -> Tls {
    let path = |name: &str| section.text(name).map(PathBuf::from);
    Tls {
        enabled: section.flag("enabled").unwrap_or(true),
        verify: section.flag("verify").unwrap_or(true),
        ca_cert: path("ca_cert"),
        cert: path("cert"),
        key: path("key"),
    }
}
