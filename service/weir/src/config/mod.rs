//! The configuration: HCL files to a checked [`Config`].
//!
//! In: files and directories named by `-c`, and the environment. Out: a [`Config`], or every problem at once, each
//! with file, line and what to do. `weir check` and `weir run` use the very same code.

mod build;
mod parse;
mod problem;
mod reference;
mod schema;
mod token;
mod unclosed;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sources::without_mark;
pub(crate) use parse::{Place, not_hcl};
pub(crate) use problem::{Problem, did_you_mean};
pub(crate) use reference::reference;
use reqwest::header::HeaderMap;
pub(crate) use schema::{CONTROL_SOCKET, HTTP_ADDRESS};
pub(crate) use token::Token;

/// The environment of the process, as a value.
pub(crate) type Environment = BTreeMap<String, String>;

/// Everything that a configuration says, with defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) cluster: String,
    pub(crate) state_dir: PathBuf,
    pub(crate) control: Control,
    pub(crate) log: Log,
    pub(crate) consul: Consul,
    pub(crate) nomad: Option<Nomad>,
    pub(crate) templates: Vec<Template>,
    pub(crate) haproxies: Vec<Haproxy>,
    pub(crate) http: SocketAddr,
    /// Absent where this is the only load balancer.
    pub(crate) peer: Option<Peer>,
    pub(crate) prometheus: Option<Prometheus>,
    /// Absent where no group goes to zero.
    pub(crate) wake: Option<Wake>,
}

/// The socket for commands that change something.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    pub(crate) path: PathBuf,
    pub(crate) perms: u32,
    pub(crate) group: Option<String>,
}

/// How weir logs.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) level: tracing::Level,
    pub(crate) json: bool,
}

/// The Consul agent.
#[derive(Debug, Clone)]
pub(crate) struct Consul {
    /// Empty where neither the file nor the environment says.
    pub(crate) address: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) datacenter: Option<String>,
    pub(crate) max_connections: usize,
    pub(crate) max_stale: Duration,
    pub(crate) wait: Duration,
    pub(crate) tls: Option<Tls>,
    pub(crate) auth: Option<(String, String)>,
}

/// TLS towards Consul or Nomad.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    pub(crate) enabled: bool,
    pub(crate) verify: bool,
    pub(crate) ca_cert: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// The Nomad servers.
#[derive(Debug, Clone)]
pub(crate) struct Nomad {
    pub(crate) address: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) namespace: String,
    pub(crate) region: Option<String>,
    pub(crate) tls: Option<Tls>,
}

impl Nomad {
    /// The one at this address; all else by its own variables.
    pub(crate) fn at(address: String) -> Self {
        let namespace = "*".to_owned();
        Self { address: Some(address), namespace, token: None, token_file: None, region: None, tls: None }
    }
}

/// What this weir tells the others of its cluster, and how it asks them.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// `HOST:PORT` by which the others reach it.
    pub(crate) advertise: String,
    pub(crate) token: Token,
    pub(crate) tls: Option<PeerTls>,
}

/// A certificate, its key, and the authority of all of them.
#[derive(Debug, Clone)]
pub(crate) struct PeerTls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ca_cert: PathBuf,
}

/// The Prometheus server that checks ask.
#[derive(Debug, Clone)]
pub(crate) struct Prometheus {
    pub(crate) address: reqwest::Url,
    pub(crate) scrape_interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) token: Token,
    pub(crate) headers: HeaderMap,
    /// User and password.
    pub(crate) auth: Option<(String, String)>,
    pub(crate) tls: Option<Tls>,
}

/// Where requests of groups at zero are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wake {
    /// HAProxy connects to it; the ports are free ones.
    pub(crate) address: IpAddr,
    /// Connections at once, of all pools.
    pub(crate) max_connections: usize,
    /// The longest that one waits.
    pub(crate) deadline: Duration,
}

/// One template and its output.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) source: Source,
    pub(crate) destination: PathBuf,
    pub(crate) perms: Option<u32>,
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) place: Place,
}

/// Where a template's text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    Inline(String),
}

impl Template {
    /// Whether it says where its output goes; that it does not is reported.
    pub(super) fn has_destination(&self) -> bool {
        !self.destination.as_os_str().is_empty()
    }

    /// How messages call the template: its file, or its place in the configuration.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Inline(_) => format!("contents at {}:{}", self.place.file.display(), self.place.line),
        }
    }

    /// A problem at a line of the source, and at a column of it where that is known.
    pub(crate) fn problem(&self, line: usize, column: Option<usize>, message: String) -> Problem {
        match (&self.source, column) {
            (Source::File(path), None) => Problem::new(path, line, message),
            (Source::File(path), Some(column)) => Problem::new(path, line, message).at_column(column),
            (Source::Inline(_), column) => {
                let column = column.map_or(String::new(), |column| format!(", column {column}"));
                let message = format!("`contents`, line {line}{column}: {message}");
                Problem::new(&self.place.file, self.place.line, message)
            }
        }
    }
}

/// One HAProxy of this node.
#[derive(Debug, Clone)]
pub(crate) struct Haproxy {
    /// Empty for the one without a label.
    pub(crate) name: String,
    pub(crate) config: Vec<PathBuf>,
    pub(crate) stats_socket: Option<PathBuf>,
    pub(crate) master_socket: Option<PathBuf>,
    pub(crate) reload_command: Option<String>,
    pub(crate) reload_timeout: Duration,
    pub(crate) binary: PathBuf,
    pub(crate) check_timeout: Duration,
    pub(crate) working_directory: Option<PathBuf>,
    pub(crate) environment_file: Option<PathBuf>,
    pub(crate) check_user: Option<String>,
    pub(crate) max_old_workers: usize,
    pub(crate) reload_wait: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) first_check_timeout: Duration,
    pub(crate) verify_interval: Duration,
    /// In percent, up to 100.
    pub(crate) panic_threshold: u8,
    pub(crate) allow_empty: Vec<String>,
}

impl Haproxy {
    /// Whether this HAProxy loads `path`: it is one of its files, or stands in one of its directories.
    pub(crate) fn loads(&self, path: &Path) -> bool {
        self.config.iter().any(|config| config == path || path.parent() == Some(config))
    }

    /// Whether `backend` may become empty.
    pub(crate) fn may_be_empty(&self, backend: &str) -> bool {
        self.allow_empty.iter().any(|name| name == "*" || name == backend)
    }
}

/// A configuration as far as it could be read, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What could be made of the files; wrong values have their defaults.
    pub(crate) config: Config,
    pub(crate) problems: Vec<Problem>,
}

/// Reads all files (directories: their `*.hcl`, in order of their names) into one configuration.
pub(crate) fn load(paths: &[PathBuf]) -> Loaded {
    let mut problems = Vec::new();
    let mut root = parse::Section::default();
    let mut whole = true;
    for path in paths.iter().flat_map(|path| files(path, &mut problems)).collect::<Vec<_>>() {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let section = parse::parse(&path, without_mark(&text), &schema::ROOT, &mut problems);
                whole &= section.is_some();
                root.merge(section.unwrap_or_default());
            }
            Err(error) => {
                whole = false;
                problems.push(Problem::new(&path, 0, format!("cannot be read: {error}")));
            }
        }
    }
    let first = paths.first().cloned().unwrap_or_default();
    let config = build::Builder { problems: &mut problems, first: &first, whole }.config(&root);
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Loaded { config, problems }
}

/// The files that one `-c` names.
fn files(path: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut files: Vec<PathBuf> = match std::fs::read_dir(path) {
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
        Err(error) => {
            problems.push(Problem::new(path, 0, format!("cannot be listed: {error}")));
            Vec::new()
        }
    };
    files.retain(|file| file.extension().is_some_and(|suffix| suffix == "hcl"));
    files.sort();
    if files.is_empty() {
        problems.push(Problem::new(path, 0, "this directory holds no *.hcl file"));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> (Config, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("weir.hcl");
        std::fs::write(&file, text.replace("DIR", &dir.path().display().to_string())).unwrap();
        let loaded = load(&[dir.path().to_owned()]);
        let prefix = format!("{}/", dir.path().display());
        let problems = loaded.problems.iter().map(|p| p.to_string().replace(&prefix, "")).collect();
        (loaded.config, problems)
    }

    #[test]
    fn the_smallest_configuration_of_the_design_has_every_default() {
        let (config, problems) = loaded(
            "consul {\n  address = \"127.0.0.1:8500\"\n}\nnomad {\n  address = \"http://127.0.0.1:4646\"\n}\n\
             template {\n  contents = \"x\"\n  destination = \"DIR/haproxy.conf\"\n}\n\
             haproxy {\n  config = [\"DIR/haproxy.conf\"]\n  stats_socket = \"/var/run/haproxy.sock\"\n\
             \n  master_socket = \"/var/run/haproxy-master.sock\"\n}\nhttp {\n  address = \"127.0.0.1:8717\"\n}\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(config.state_dir, Path::new("/var/db/weir"));
        assert_eq!(config.consul.max_connections, 150);
        assert_eq!(config.haproxies[0].max_old_workers, 8);
        assert_eq!(config.haproxies[0].panic_threshold, 30);
        assert!(config.haproxies[0].loads(&config.templates[0].destination));
    }

    #[test]
    fn a_percentage_is_at_most_100() {
        let haproxy = |threshold: &str| {
            loaded(&format!(
                "template {{\n  contents = \"x\"\n  destination = \"DIR/h.cfg\"\n}}\n\
                 haproxy {{\n  config = [\"DIR/h.cfg\"]\n  reload_command = \"true\"\n  panic_threshold = {threshold}\n}}\n"
            ))
        };
        let (config, problems) = haproxy("100");
        assert_eq!((config.haproxies[0].panic_threshold, problems), (100, vec![]));
        let (_, problems) = haproxy("101");
        assert!(
            matches!(&problems[..], [one] if one.contains("weir.hcl:8") && one.contains("0 to 100")),
            "{problems:?}"
        );
    }

    #[test]
    fn a_peer_that_anybody_could_read_or_nobody_could_reach_is_reported() {
        let peer = |options: &str| {
            loaded(&format!(
                "template {{\n  contents = \"x\"\n  destination = \"/a\"\n}}\npeer {{\n{options}\n}}\n"
            ))
        };
        let (config, problems) = peer("address = \"127.0.0.1:8718\"");
        assert_eq!((problems, config.peer.unwrap().advertise), (vec![], "127.0.0.1:8718".to_owned()));
        let (config, problems) =
            peer("address = \"0.0.0.0:8718\"\nadvertise = \"lb1:8718\"\ntoken_file = \"/t\"");
        let peered = config.peer.unwrap();
        assert_eq!(
            (problems, peered.advertise, peered.token),
            (vec![], "lb1:8718".into(), Token::File("/t".into()))
        );
        for (options, line, said) in [
            ("address = \"10.0.0.1:8718\"", 5, "without a secret"),
            ("token = \"t\"\naddress = \"0.0.0.0:8718\"", 7, "add `advertise`"),
            ("token = \"t\"\naddress = \"here\"", 7, "such as 10.0.0.1:8718"),
            ("address = \"127.0.0.1:1\"\nadvertise = \"lb1\"", 7, "it must be HOST:PORT"),
            ("address = \"127.0.0.1:1\"\ntoken = \"a\"\ntoken_file = \"b\"", 8, "keep one"),
        ] {
            let (_, problems) = peer(options);
            let fits = |problem: &String| {
                problem.starts_with(&format!("weir.hcl:{line}: ")) && problem.contains(said)
            };
            assert!(problems.len() == 1 && fits(&problems[0]), "{options}: {problems:?}");
        }
    }

    #[test]
    fn prometheus_is_named_by_a_url_and_headers_have_values() {
        let prometheus = |options: &str| {
            loaded(&format!(
                "template {{\n  contents = \"x\"\n  destination = \"/a\"\n}}\nprometheus {{\n{options}\n}}\n"
            ))
        };
        let (config, problems) =
            prometheus("address = \"http://p:9090/x\"\nheaders = \"X-Scope-OrgID: a\"\ntoken = \"t\"");
        let prometheus_block = config.prometheus.unwrap();
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(prometheus_block.headers["x-scope-orgid"], "a");
        assert_eq!(prometheus_block.scrape_interval, Duration::from_secs(15));
        let (_, problems) = prometheus("address = \"p:9090\"");
        assert!(problems.len() == 1 && problems[0].contains("it must be a URL"), "{problems:?}");
        let (_, problems) = prometheus("address = \"http://p\"\nheaders = [\"nothing\"]");
        assert!(problems.len() == 1 && problems[0].contains("\"Name: value\""), "{problems:?}");
    }

    #[test]
    fn what_holds_requests_is_an_address_without_a_port_and_has_bounds() {
        let wake = |options: &str| {
            loaded(&format!(
                "template {{\n  contents = \"x\"\n  destination = \"/a\"\n}}\nwake {{\n{options}\n}}\n"
            ))
        };
        let (config, problems) = wake("");
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let defaults = Wake { address, max_connections: 1000, deadline: Duration::from_secs(30) };
        assert_eq!((config.wake, problems), (Some(defaults), vec![]));
        let (config, problems) = wake("address = \"10.0.0.1\"\nmax_connections = 5\ndeadline = \"1m\"");
        assert_eq!((config.wake.map(|wake| wake.max_connections), problems), (Some(5), vec![]));
        for (options, said) in [
            ("address = \"127.0.0.1:8719\"", "without a port: each pool at zero gets a free one"),
            ("address = \"localhost\"", "it must be an IP address, such as 127.0.0.1"),
            ("address = \"0.0.0.0\"", "HAProxy has to connect to it"),
            ("max_connections = 0", "must be at least 1"),
            ("deadline = \"0s\"", "must be longer than nothing"),
            ("adress = \"127.0.0.1\"", "did you mean `address`?"),
        ] {
            let (_, problems) = wake(options);
            let fits = |problem: &String| problem.starts_with("weir.hcl:6: ") && problem.contains(said);
            assert!(problems.len() == 1 && fits(&problems[0]), "{options}: {problems:?}");
        }
    }

    #[test]
    fn an_empty_destination_is_one_problem_and_no_other_follows_from_it() {
        let two = "haproxy \"a\" {\n  config = [\"/a\"]\n  reload_command = \"true\"\n}\n\
                   haproxy \"b\" {\n  config = [\"/b\"]\n  reload_command = \"true\"\n}\n";
        let (_, problems) = loaded(&format!("template {{\n  contents = \"x\"\n}}\n{two}"));
        assert_eq!(problems, ["weir.hcl:1: block `template` needs `destination`: File to write."]);
        let template = "template {\n  contents = \"x\"\n  destination = \"\"\n}\n";
        let (_, problems) = loaded(&format!("{template}{template}{two}"));
        assert_eq!(
            problems,
            [3, 7].map(|line| format!("weir.hcl:{line}: `destination` is empty: name the file to write"))
        );
    }

    #[test]
    fn what_is_missing_from_a_file_that_is_not_hcl_is_not_reported_too() {
        let (_, problems) = loaded("template {\n");
        assert_eq!(problems.len(), 1, "{problems:?}");
        let gone = load(&["/nonexistent/weir.hcl".into()]);
        assert_eq!(gone.problems.len(), 1, "{:?}", gone.problems);
        let (_, problems) = loaded("\u{feff}cluster = \"a\"\n");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].ends_with("no `template` block: there is nothing to do"), "{problems:?}");
    }

    #[test]
    fn a_control_socket_that_cannot_be_bound_is_reported() {
        let template = "template {\n  contents = \"x\"\n  destination = \"/a\"\n}\n";
        let (_, problems) = loaded(&format!("control = \"DIR/weir.hcl\"\n{template}"));
        assert_eq!(
            problems.iter().map(|problem| problem.replace("DIR", "")).collect::<Vec<_>>(),
            ["weir.hcl:1: `control` is weir.hcl, which is there and is no socket; name another path"]
        );
        let (_, problems) = loaded(&format!("control = \"/{}\"\n{template}", "a".repeat(103)));
        assert_eq!(
            problems,
            ["weir.hcl:1: `control` is a path of 104 bytes; a socket's may have 103: name a shorter one"]
        );
    }

    #[test]
    fn contradictions_are_reported_where_they_stand() {
        let (_, problems) = loaded(
            "log_level = \"loud\"\nhttp {\n  address = \"localhost\"\n}\n\
             template {\n  source = \"/nonexistent.hbs\"\n  contents = \"x\"\n  destination = \"/a\"\n}\n\
             template {\n  contents = \"x\"\n  destination = \"/a\"\n}\n\
             haproxy {\n  config = [\"/a\"]\n}\nhaproxy {\n  config = [\"/b\"]\n  reload_command = \"true\"\n}\n",
        );
        assert_eq!(
            problems,
            [
                "weir.hcl:1: `log_level` is \"loud\"; it must be error, warn, info, debug or trace",
                "weir.hcl:3: `address` is \"localhost\"; it must be an address and a port, such as 127.0.0.1:8717",
                "weir.hcl:6: a template has either `source` or `contents`, not both",
                "weir.hcl:10: a second template for /a; the first is at line 5",
                "weir.hcl:14: block `haproxy` needs `master_socket` or `reload_command`: without one weir cannot \
                 make HAProxy read its configuration",
                "weir.hcl:17: a second block `haproxy` without a label; give it a name: haproxy \"edge\" { … }",
            ]
        );
    }
}
