//! The key table: every block and option that a configuration file may hold.
//!
//! One table serves the parser (unknown keys, kinds, required options) and the reference page, so that the two
//! cannot drift apart.

/// A kind of block, or the top level of a file.
#[derive(Debug)]
pub(crate) struct BlockSpec {
    /// Its name; empty for the top level.
    pub(crate) name: &'static str,
    /// What it is for, in one line.
    pub(crate) about: &'static str,
    /// Whether it takes a label.
    pub(crate) label: bool,
    /// Whether it may stand more than once.
    pub(crate) many: bool,
    pub(crate) options: &'static [OptionSpec],
    pub(crate) blocks: &'static [&'static BlockSpec],
}

/// One option of a block.
#[derive(Debug)]
pub(crate) struct OptionSpec {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The default as a person would write it; empty for none; `required` where one must be given.
    pub(crate) default: &'static str,
    pub(crate) about: &'static str,
}

/// What may be written as an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A list of texts; a single text stands for a list of one.
    Texts,
    /// `500ms`, `10s`, `5m`.
    Duration,
    Flag,
    Count,
    /// A file mode, octal as written: `0644` or `"0644"`.
    Perms,
}

impl Kind {
    /// How the kind is called in a message.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Texts => "a list of texts, such as [\"a\", \"b\"]",
            Self::Duration => "a duration in quotes, such as \"500ms\", \"10s\" or \"5m\", up to \"366d\"",
            Self::Flag => "true or false",
            Self::Count => "a whole number",
            Self::Perms => "an octal file mode, such as 0644",
        }
    }
}

const fn option(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> OptionSpec {
    OptionSpec { name, kind, default, about }
}

/// Where weir takes commands unless the configuration says otherwise.
pub(crate) const CONTROL_SOCKET: &str = "/var/run/weir.sock";
/// Where weir can be read unless the configuration says otherwise.
pub(crate) const HTTP_ADDRESS: &str = "127.0.0.1:8717";

pub(crate) const REQUIRED: &str = "required";

const SSL: BlockSpec = BlockSpec {
    name: "ssl",
    about: "TLS towards this server.",
    label: false,
    many: false,
    options: &[
        option("enabled", Kind::Flag, "true", "Use https."),
        option("verify", Kind::Flag, "true", "Check the server's certificate."),
        option("ca_cert", Kind::Text, "", "PEM file of the authority that signed the server's certificate."),
        option("cert", Kind::Text, "", "PEM file of the client certificate."),
        option("key", Kind::Text, "", "PEM file of the client certificate's key."),
    ],
    blocks: &[],
};

const AUTH: BlockSpec = BlockSpec {
    name: "auth",
    about: "HTTP basic authentication.",
    label: false,
    many: false,
    options: &[
        option("username", Kind::Text, REQUIRED, "User name."),
        option("password", Kind::Text, "", "Password."),
    ],
    blocks: &[],
};

const CONSUL: BlockSpec = BlockSpec {
    name: "consul",
    about: "The Consul agent to watch.",
    label: false,
    many: false,
    options: &[
        option("address", Kind::Text, "127.0.0.1:8500", "Address; also from CONSUL_HTTP_ADDR."),
        option("token", Kind::Text, "", "ACL token; also from CONSUL_HTTP_TOKEN."),
        option("token_file", Kind::Text, "", "File with the ACL token, read again when it changes."),
        option("datacenter", Kind::Text, "", "Datacenter to ask for; the agent's own by default."),
        option(
            "max_connections",
            Kind::Count,
            "150",
            "Connections held at once; Consul allows 200 per client by default (http_max_conns_per_client).",
        ),
    ],
    blocks: &[&SSL, &AUTH],
};

const NOMAD: BlockSpec = BlockSpec {
    name: "nomad",
    about: "The Nomad servers whose jobs are scaled. Without this block weir only keeps pools.",
    label: false,
    many: false,
    options: &[
        option("address", Kind::Text, "http://127.0.0.1:4646", "Address; also from NOMAD_ADDR."),
        option("token", Kind::Text, "", "ACL token; also from NOMAD_TOKEN."),
        option("token_file", Kind::Text, "", "File with the ACL token, read again when it changes."),
        option("namespace", Kind::Text, "*", "Namespace whose policies are followed."),
        option("region", Kind::Text, "", "Region to ask for."),
    ],
    blocks: &[&SSL],
};

const TEMPLATE: BlockSpec = BlockSpec {
    name: "template",
    about: "One template and the file it is rendered to. As often as wanted.",
    label: false,
    many: true,
    options: &[
        option("source", Kind::Text, "", "File of the template; watched, an edit takes effect at once."),
        option("contents", Kind::Text, "", "The template itself, instead of a source."),
        option("destination", Kind::Text, REQUIRED, "File to write."),
        option("perms", Kind::Perms, "", "Mode of the file; kept, or 0644, by default."),
        option("user", Kind::Text, "", "Owner of the file."),
        option("group", Kind::Text, "", "Group of the file."),
    ],
    blocks: &[],
};

const HAPROXY: BlockSpec = BlockSpec {
    name: "haproxy",
    about: "The HAProxy of this node. Without this block weir only renders files; a label names a second one.",
    label: true,
    many: true,
    options: &[
        option("config", Kind::Texts, REQUIRED, "What -f is given, in load order: files and directories."),
        option("stats_socket", Kind::Text, "", "`stats socket … level admin`; statistics and commands."),
        option("master_socket", Kind::Text, "", "The socket of haproxy -W -S; reloads go through it."),
        option(
            "reload_command",
            Kind::Text,
            "",
            "Command that reloads HAProxy, where there is no master socket.",
        ),
        option("reload_timeout", Kind::Duration, "10s", "How long a reload may take."),
        option("binary", Kind::Text, "haproxy", "The program that validates a configuration."),
        option("check_timeout", Kind::Duration, "30s", "How long a validation may take."),
        option(
            "working_directory",
            Kind::Text,
            "",
            "Directory that HAProxy is started in; found by default where the system shows it (Linux, `master_socket`).",
        ),
        option(
            "environment_file",
            Kind::Text,
            "",
            "File of variables `NAME=VALUE` that HAProxy is started with, before those that a running one tells.",
        ),
        option(
            "check_user",
            Kind::Text,
            "",
            "User that HAProxy is started as, for the validation; only root can be another one.",
        ),
        option("max_old_workers", Kind::Count, "8", "Reloads wait while more old workers than this live."),
        option("reload_wait", Kind::Duration, "10s", "How long they wait at most."),
        option(
            "drain_timeout",
            Kind::Duration,
            "5m",
            "How long a server that leaves keeps its sessions; then they are shut down.",
        ),
        option(
            "first_check_timeout",
            Kind::Duration,
            "30s",
            "How long a new server may take to its first good check before that is reported.",
        ),
        option(
            "verify_interval",
            Kind::Duration,
            "10s",
            "How often everything that HAProxy has is compared with what is wanted.",
        ),
        option(
            "panic_threshold",
            Kind::Count,
            "30",
            "A pool of which less than so many percent are healthy at once keeps those that were so last; 0: never.",
        ),
        option(
            "allow_empty",
            Kind::Texts,
            "",
            "Backends that may become empty; [\"*\"] for all. Others keep their last good servers.",
        ),
    ],
    blocks: &[],
};

const HTTP: BlockSpec = BlockSpec {
    name: "http",
    about: "Metrics, health and status, read-only.",
    label: false,
    many: false,
    options: &[option("address", Kind::Text, HTTP_ADDRESS, "Address to listen on.")],
    blocks: &[],
};

const PEER_SSL: BlockSpec = BlockSpec {
    name: "ssl",
    about: "TLS between the load balancers: each shows the certificate, and asks the others for theirs.",
    label: false,
    many: false,
    options: &[
        option(
            "cert",
            Kind::Text,
            REQUIRED,
            "PEM file of this node's certificate, for the host of `advertise`.",
        ),
        option("key", Kind::Text, REQUIRED, "PEM file of the certificate's key."),
        option("ca_cert", Kind::Text, REQUIRED, "PEM file of the authority that signed all of them."),
    ],
    blocks: &[],
};

const PEER: BlockSpec = BlockSpec {
    name: "peer",
    about: "Where other load balancers of the cluster read what this one does. Without it this is the only one.",
    label: false,
    many: false,
    options: &[
        option("address", Kind::Text, REQUIRED, "Address and port to listen on, such as 10.0.0.1:8718."),
        option("advertise", Kind::Text, "", "HOST:PORT where the others reach it; `address` by default."),
        option(
            "token",
            Kind::Text,
            "",
            "Secret that all of them share; needed unless `address` is loopback.",
        ),
        option("token_file", Kind::Text, "", "File with the secret, read again for each request."),
    ],
    blocks: &[&PEER_SSL],
};

const PROMETHEUS: BlockSpec = BlockSpec {
    name: "prometheus",
    about: "The server for checks whose source is `prometheus`.",
    label: false,
    many: false,
    options: &[
        option("address", Kind::Text, REQUIRED, "Its URL, such as http://127.0.0.1:9090."),
        option(
            "scrape_interval",
            Kind::Duration,
            "15s",
            "How often it reads what is asked for: a window is looked at in such steps.",
        ),
        option("timeout", Kind::Duration, "5s", "How long an answer may take."),
        option("token", Kind::Text, "", "Sent as `Authorization: Bearer`."),
        option("token_file", Kind::Text, "", "File with that token, read again for each request."),
        option("headers", Kind::Texts, "", "Further headers, such as [\"X-Scope-OrgID: shop\"]."),
    ],
    blocks: &[&SSL, &AUTH],
};

const WAKE: BlockSpec = BlockSpec {
    name: "wake",
    about: "Holds the first requests of groups at zero, by policies with `scale_to_zero`; none goes there else.",
    label: false,
    many: false,
    options: &[
        option(
            "address",
            Kind::Text,
            "127.0.0.1",
            "IP address where HAProxy reaches weir; each pool at zero gets a free port of it.",
        ),
        option("max_connections", Kind::Count, "1000", "Connections held at once; more are closed at once."),
        option(
            "deadline",
            Kind::Duration,
            "30s",
            "How long one is held at most; HAProxy's `timeout server` ends it earlier where that is shorter.",
        ),
    ],
    blocks: &[],
};

/// The top level of a configuration file.
pub(crate) const ROOT: BlockSpec = BlockSpec {
    name: "",
    about: "Top-level options.",
    label: false,
    many: false,
    options: &[
        option("cluster", Kind::Text, "default", "Keeps apart several shops on one Consul."),
        option(
            "state_dir",
            Kind::Text,
            "/var/db/weir",
            "What must outlive a restart; one directory per instance.",
        ),
        option("control", Kind::Text, CONTROL_SOCKET, "Unix socket for commands that change something."),
        option("control_perms", Kind::Perms, "0660", "Mode of the control socket: who may use it."),
        option("control_group", Kind::Text, "", "Group of the control socket."),
        option("log_level", Kind::Text, "info", "error, warn, info, debug or trace."),
        option("log_format", Kind::Text, "text", "text or json."),
        option(
            "max_stale",
            Kind::Duration,
            "2s",
            "How old a follower's answer may be; 0s reads from the leader.",
        ),
        option("block_query_wait", Kind::Duration, "60s", "How long a blocking query waits."),
    ],
    blocks: &[&CONSUL, &NOMAD, &TEMPLATE, &HAPROXY, &HTTP, &PEER, &PROMETHEUS, &WAKE],
};
