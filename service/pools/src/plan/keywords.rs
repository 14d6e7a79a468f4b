//! The options that HAProxy knows on a `server` line, and from which version on `add server` takes each.
//!
//! Read from the keyword tables in HAProxy's sources at the tags 2.6.0, 2.8.0, 3.0.0, 3.2.0 and 3.4.0 (`init-state` came
//! with 3.1). A keyword that came between two of the tags counts from the later one. Tests of the `haproxy` crate try
//! every one of them on real HAProxys.

use super::options::Branch;

/// One option of a server.
#[derive(Debug, PartialEq, Eq)]
pub struct Keyword {
    /// The word.
    pub name: &'static str,
    /// How many words it takes after itself.
    pub arguments: usize,
    /// What it sets, where that is another word: `no-check` sets `check`. Empty: itself.
    pub sets: &'static str,
    /// It says what holds anyway, so that it only undoes an earlier one, as `enabled` does. It is never sent.
    pub is_default: bool,
    /// The first version (major, minor) whose `add server` takes it, and all later ones; `None`: there is none.
    ///
    /// A `ca-file`, `crl-file` or `crt` is taken only where the configuration that was loaded names the same file.
    pub dynamic_since: Option<Branch>,
}

impl Keyword {
    const fn new(
        name: &'static str,
        arguments: usize,
        sets: &'static str,
        is_default: bool,
        dynamic_since: Option<Branch>,
    ) -> Self {
        Self { name, arguments, sets, is_default, dynamic_since }
    }
}

/// What is known of `word`; `set-proxy-v2-tlv-fmt(0x20)` has its own argument in parentheses.
pub(super) fn keyword(word: &str) -> Option<&'static Keyword> {
    let name = word.split_once('(').map_or(word, |(name, _)| name);
    KEYWORDS.binary_search_by(|known| known.name.cmp(name)).ok().map(|index| &KEYWORDS[index])
}

/// The latest version (major, minor) that the table was read from.
pub const KEYWORDS_UP_TO: (u32, u32) = (3, 4);

/// All that are known.
pub fn keywords() -> impl Iterator<Item = &'static Keyword> {
    KEYWORDS.iter()
}

/// All options, sorted by name.
#[rustfmt::skip]
const KEYWORDS: [Keyword; 124] = [
    Keyword::new("addr", 1, "", false, Some((2, 6))),
    Keyword::new("agent-addr", 1, "", false, Some((2, 6))),
    Keyword::new("agent-check", 0, "", false, Some((2, 6))),
    Keyword::new("agent-inter", 1, "", false, Some((2, 6))),
    Keyword::new("agent-port", 1, "", false, Some((2, 6))),
    Keyword::new("agent-send", 1, "", false, Some((2, 6))),
    Keyword::new("allow-0rtt", 0, "", false, Some((2, 6))),
    Keyword::new("alpn", 1, "", false, Some((2, 6))),
    Keyword::new("backup", 0, "", false, Some((2, 6))),
    Keyword::new("ca-file", 1, "", false, Some((2, 6))),
    Keyword::new("cc", 1, "", false, None),
    Keyword::new("check", 0, "", false, Some((2, 6))),
    Keyword::new("check-alpn", 1, "", false, Some((2, 6))),
    Keyword::new("check-pool-conn-name", 1, "", false, Some((3, 2))),
    Keyword::new("check-proto", 1, "", false, Some((2, 6))),
    Keyword::new("check-reuse-pool", 0, "", false, Some((3, 2))),
    Keyword::new("check-send-proxy", 0, "", false, Some((2, 6))),
    Keyword::new("check-sni", 1, "", false, Some((2, 6))),
    Keyword::new("check-sni-auto", 0, "", true, None),
    Keyword::new("check-ssl", 0, "", false, Some((2, 6))),
    Keyword::new("check-via-socks4", 0, "", false, Some((2, 6))),
    Keyword::new("ciphers", 1, "", false, Some((2, 6))),
    Keyword::new("ciphersuites", 1, "", false, Some((2, 6))),
    Keyword::new("client-sigalgs", 1, "", false, Some((3, 0))),
    Keyword::new("cookie", 1, "", false, Some((3, 0))),
    Keyword::new("crl-file", 1, "", false, Some((2, 6))),
    Keyword::new("crt", 1, "", false, Some((2, 6))),
    Keyword::new("curves", 1, "", false, Some((3, 0))),
    Keyword::new("disabled", 0, "", false, Some((2, 6))),
    Keyword::new("downinter", 1, "", false, Some((2, 6))),
    Keyword::new("enabled", 0, "disabled", true, None),
    Keyword::new("error-limit", 1, "", false, Some((2, 6))),
    Keyword::new("fall", 1, "", false, Some((2, 6))),
    Keyword::new("fastinter", 1, "", false, Some((2, 6))),
    Keyword::new("force-sslv3", 0, "", false, Some((2, 6))),
    Keyword::new("force-tlsv10", 0, "", false, Some((2, 6))),
    Keyword::new("force-tlsv11", 0, "", false, Some((2, 6))),
    Keyword::new("force-tlsv12", 0, "", false, Some((2, 6))),
    Keyword::new("force-tlsv13", 0, "", false, Some((2, 6))),
    Keyword::new("guid", 1, "", false, Some((3, 0))),
    Keyword::new("hash-key", 1, "", false, Some((3, 0))),
    Keyword::new("healthcheck", 1, "", false, Some((3, 4))),
    Keyword::new("id", 1, "", false, Some((2, 6))),
    Keyword::new("idle-ping", 1, "", false, Some((3, 2))),
    Keyword::new("init-addr", 1, "", false, None),
    Keyword::new("init-state", 1, "", false, Some((3, 1))),
    Keyword::new("inter", 1, "", false, Some((2, 6))),
    Keyword::new("ktls", 1, "", false, Some((3, 4))),
    Keyword::new("log-bufsize", 1, "", false, None),
    Keyword::new("log-proto", 1, "", false, None),
    Keyword::new("max-reuse", 1, "", false, None),
    Keyword::new("maxconn", 1, "", false, Some((2, 6))),
    Keyword::new("maxqueue", 1, "", false, Some((2, 6))),
    Keyword::new("minconn", 1, "", false, Some((2, 6))),
    Keyword::new("namespace", 1, "", false, None),
    Keyword::new("no-agent-check", 0, "agent-check", true, None),
    Keyword::new("no-backup", 0, "backup", true, Some((2, 6))),
    Keyword::new("no-check", 0, "check", true, None),
    Keyword::new("no-check-reuse-pool", 0, "check-reuse-pool", true, None),
    Keyword::new("no-check-send-proxy", 0, "check-send-proxy", true, None),
    Keyword::new("no-check-sni-auto", 0, "check-sni-auto", false, Some((3, 4))),
    Keyword::new("no-check-ssl", 0, "check-ssl", true, None),
    Keyword::new("no-renegotiate", 0, "renegotiate", true, Some((3, 4))),
    Keyword::new("no-send-proxy", 0, "send-proxy", true, Some((2, 6))),
    Keyword::new("no-send-proxy-v2", 0, "send-proxy-v2", true, Some((2, 6))),
    Keyword::new("no-send-proxy-v2-ssl", 0, "send-proxy-v2-ssl", true, None),
    Keyword::new("no-send-proxy-v2-ssl-cn", 0, "send-proxy-v2-ssl-cn", true, None),
    Keyword::new("no-sni-auto", 0, "sni-auto", false, Some((3, 4))),
    Keyword::new("no-ssl", 0, "ssl", true, None),
    Keyword::new("no-ssl-reuse", 0, "ssl-reuse", false, Some((2, 6))),
    Keyword::new("no-sslv3", 0, "", false, Some((2, 6))),
    Keyword::new("no-tfo", 0, "tfo", true, Some((2, 6))),
    Keyword::new("no-tls-tickets", 0, "tls-tickets", false, Some((2, 6))),
    Keyword::new("no-tlsv10", 0, "", false, Some((2, 6))),
    Keyword::new("no-tlsv11", 0, "", false, Some((2, 6))),
    Keyword::new("no-tlsv12", 0, "", false, Some((2, 6))),
    Keyword::new("no-tlsv13", 0, "", false, Some((2, 6))),
    Keyword::new("non-stick", 0, "stick", false, None),
    Keyword::new("npn", 1, "", false, Some((2, 6))),
    Keyword::new("observe", 1, "", false, Some((2, 6))),
    Keyword::new("on-error", 1, "", false, Some((2, 6))),
    Keyword::new("on-marked-down", 1, "", false, Some((2, 6))),
    Keyword::new("on-marked-up", 1, "", false, Some((2, 6))),
    Keyword::new("pool-conn-name", 1, "", false, Some((3, 0))),
    Keyword::new("pool-low-conn", 1, "", false, Some((2, 6))),
    Keyword::new("pool-max-conn", 1, "", false, Some((2, 6))),
    Keyword::new("pool-purge-delay", 1, "", false, Some((2, 6))),
    Keyword::new("port", 1, "", false, Some((2, 6))),
    Keyword::new("proto", 1, "", false, Some((2, 6))),
    Keyword::new("proxy-v2-options", 1, "", false, Some((2, 6))),
    Keyword::new("redir", 1, "", false, None),
    Keyword::new("renegotiate", 0, "", false, Some((3, 4))),
    Keyword::new("resolve-net", 1, "", false, None),
    Keyword::new("resolve-opts", 1, "", false, None),
    Keyword::new("resolve-prefer", 1, "", false, None),
    Keyword::new("resolvers", 1, "", false, None),
    Keyword::new("rise", 1, "", false, Some((2, 6))),
    Keyword::new("send-proxy", 0, "", false, Some((2, 6))),
    Keyword::new("send-proxy-v2", 0, "", false, Some((2, 6))),
    Keyword::new("send-proxy-v2-ssl", 0, "", false, Some((2, 6))),
    Keyword::new("send-proxy-v2-ssl-cn", 0, "", false, Some((2, 6))),
    Keyword::new("set-proxy-v2-tlv-fmt", 1, "", false, Some((3, 0))),
    Keyword::new("shard", 1, "", false, Some((2, 8))),
    Keyword::new("sigalgs", 1, "", false, Some((3, 0))),
    Keyword::new("slowstart", 1, "", false, Some((2, 6))),
    Keyword::new("sni", 1, "", false, Some((2, 6))),
    Keyword::new("sni-auto", 0, "", true, None),
    Keyword::new("socks4", 1, "", false, None),
    Keyword::new("source", 1, "", false, Some((2, 6))),
    Keyword::new("ssl", 0, "", false, Some((2, 6))),
    Keyword::new("ssl-max-ver", 1, "", false, Some((2, 6))),
    Keyword::new("ssl-min-ver", 1, "", false, Some((2, 6))),
    Keyword::new("ssl-reuse", 0, "", true, None),
    Keyword::new("stick", 0, "stick", true, None),
    Keyword::new("strict-maxconn", 0, "", false, Some((3, 2))),
    Keyword::new("tcp-md5sig", 1, "", false, None),
    Keyword::new("tcp-ut", 1, "", false, None),
    Keyword::new("tfo", 0, "", false, Some((2, 6))),
    Keyword::new("tls-tickets", 0, "", true, Some((2, 6))),
    Keyword::new("track", 1, "", false, Some((2, 6))),
    Keyword::new("verify", 1, "", false, Some((2, 6))),
    Keyword::new("verifyhost", 1, "", false, Some((2, 6))),
    Keyword::new("weight", 1, "", false, Some((2, 6))),
    Keyword::new("ws", 1, "", false, Some((2, 6))),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_what_is_set_is_in_it() {
        assert!(KEYWORDS.is_sorted_by_key(|known| known.name));
        for known in &KEYWORDS {
            assert!(known.sets.is_empty() || known.sets == "stick" || keyword(known.sets).is_some());
        }
    }
}
