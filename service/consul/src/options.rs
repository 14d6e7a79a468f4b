//! Where Consul is and who asks.
//!
//! In: values from the configuration, or Consul's usual environment variables. Out: [`Options`]. Fails where a
//! variable's value cannot be understood.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// A value that is not shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Where the ACL token comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TokenSource {
    /// No token: Consul's anonymous one.
    #[default]
    None,
    /// The token itself.
    Literal(Secret),
    /// A file that holds the token; read again when it changes.
    File(PathBuf),
}

/// User and password for HTTP basic authentication, which a proxy before Consul may want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// User.
    pub user: String,
    /// Password.
    pub password: Option<Secret>,
}

/// How to talk TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whether an address without a scheme means `https`.
    pub enabled: bool,
    /// A PEM file with the certificate authorities to trust *instead of* the system's.
    pub ca_cert: Option<PathBuf>,
    /// A directory of such files.
    pub ca_path: Option<PathBuf>,
    /// A PEM file with the client's certificate, and its chain.
    pub cert: Option<PathBuf>,
    /// A PEM file with the key of `cert`.
    pub key: Option<PathBuf>,
    /// Whether Consul's certificate is checked.
    pub verify: bool,
    /// The name to expect in Consul's certificate, where it is not the address's.
    pub server_name: Option<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            enabled: false,
            ca_cert: None,
            ca_path: None,
            cert: None,
            key: None,
            verify: true,
            server_name: None,
        }
    }
}

/// Everything that a [`Client`](crate::Client) is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `HOST:PORT`, or `http://…` or `https://…`, with a path where a proxy wants one.
    pub address: String,
    /// The ACL token.
    pub token: TokenSource,
    /// TLS.
    pub tls: Tls,
    /// Basic authentication.
    pub auth: Option<Auth>,
    /// The datacenter of queries that name none; `None` for the agent's own.
    pub datacenter: Option<String>,
    /// How far a server may be behind the leader for its answer to be used; 0 asks the leader every time.
    /// 2 s, as in Consul Template.
    pub max_stale: Duration,
    /// How long the server holds a blocking query. 60 s, as in Consul Template.
    pub wait: Duration,
    /// The most connections at any time. 150: Consul's `limits.http_max_conns_per_client` is 200, and other
    /// programs on this machine count there too.
    pub max_connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8500".into(),
            token: TokenSource::None,
            tls: Tls::default(),
            auth: None,
            datacenter: None,
            max_stale: Duration::from_secs(2),
            wait: Duration::from_mins(1),
            max_connections: 150,
        }
    }
}

impl Options {
    /// The defaults, changed by Consul's usual environment variables. Empty ones count as not set.
    pub fn from_env(env: &BTreeMap<String, String>) -> Result<Self, Error> {
        let get = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
        let default = Self::default();
        Ok(Self {
            address: get("CONSUL_HTTP_ADDR").unwrap_or_else(|| default.address.clone()),
            token: token_from(&get),
            tls: tls_from(&get)?,
            auth: get("CONSUL_HTTP_AUTH").map(|text| auth_from(&text)),
            ..default
        })
    }
}

fn token_from(get: &impl Fn(&str) -> Option<String>) -> TokenSource {
    let file = get("CONSUL_HTTP_TOKEN_FILE").or_else(|| get("CONSUL_TOKEN_FILE"));
    let literal = get("CONSUL_HTTP_TOKEN").or_else(|| get("CONSUL_TOKEN"));
    match (literal, file) {
        (Some(token), _) => TokenSource::Literal(Secret(token)),
        (None, Some(path)) => TokenSource::File(path.into()),
        (None, None) => TokenSource::None,
    }
}

fn tls_from(get: &impl Fn(&str) -> Option<String>) -> Result<Tls, Error> {
    Ok(Tls {
        enabled: truth(get, "CONSUL_HTTP_SSL")?.unwrap_or(false),
        ca_cert: get("CONSUL_CACERT").map(Into::into),
        ca_path: get("CONSUL_CAPATH").map(Into::into),
        cert: get("CONSUL_CLIENT_CERT").map(Into::into),
        key: get("CONSUL_CLIENT_KEY").map(Into::into),
        verify: truth(get, "CONSUL_HTTP_SSL_VERIFY")?.unwrap_or(true),
        server_name: get("CONSUL_TLS_SERVER_NAME"),
    })
}

/// The spellings that Consul's own programs take (Go's `strconv.ParseBool`).
fn truth(get: &impl Fn(&str) -> Option<String>, name: &'static str) -> Result<Option<bool>, Error> {
    match get(name).as_deref() {
        None => Ok(None),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
        Some(value) => Err(Error::Environment { name, value: value.to_owned() }),
    }
}

fn auth_from(text: &str) -> Auth {
    match text.split_once(':') {
        Some((user, password)) => Auth { user: user.into(), password: Some(Secret(password.into())) },
        None => Auth { user: text.into(), password: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_empty_environment_gives_the_defaults() {
        assert_eq!(Options::from_env(&env(&[("CONSUL_HTTP_ADDR", "")])).unwrap(), Options::default());
    }

    #[test]
    fn consuls_variables_are_understood() {
        let options = Options::from_env(&env(&[
            ("CONSUL_HTTP_ADDR", "https://consul.example:8501"),
            ("CONSUL_TOKEN_FILE", "/etc/token"),
            ("CONSUL_HTTP_SSL", "true"),
            ("CONSUL_HTTP_SSL_VERIFY", "0"),
            ("CONSUL_CACERT", "/etc/ca.pem"),
            ("CONSUL_CLIENT_CERT", "/etc/cert.pem"),
            ("CONSUL_CLIENT_KEY", "/etc/key.pem"),
            ("CONSUL_TLS_SERVER_NAME", "server.dc1.consul"),
            ("CONSUL_HTTP_AUTH", "me:a:b"),
        ]))
        .unwrap();
        assert_eq!(options.address, "https://consul.example:8501");
        assert_eq!(options.token, TokenSource::File("/etc/token".into()));
        assert!(options.tls.enabled && !options.tls.verify);
        assert_eq!(options.tls.key, Some("/etc/key.pem".into()));
        assert_eq!(options.tls.server_name.as_deref(), Some("server.dc1.consul"));
        assert_eq!(options.auth, Some(Auth { user: "me".into(), password: Some(Secret::new("a:b")) }));
    }

    #[test]
    fn a_token_is_preferred_to_a_file_and_never_shown() {
        let options =
            Options::from_env(&env(&[("CONSUL_HTTP_TOKEN", "s3cret"), ("CONSUL_HTTP_TOKEN_FILE", "/f")]))
                .unwrap();
        assert_eq!(options.token, TokenSource::Literal(Secret::new("s3cret")));
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn a_truth_value_that_is_none_is_named() {
        let error = Options::from_env(&env(&[("CONSUL_HTTP_SSL", "maybe")])).unwrap_err().to_string();
        assert!(error.contains("CONSUL_HTTP_SSL") && error.contains("maybe"), "{error}");
    }
}
