//! Where Nomad is and how to speak to it: an address, a namespace, a token, TLS.
//!
//! [`Options::from_env`] reads the `NOMAD_*` variables that Nomad's own command reads; a configuration file may
//! overwrite any field afterwards. Nothing here opens a file or a connection.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// How to reach Nomad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The base URL, such as `https://nomad.example:4646`; without a scheme it is taken for `http://`.
    pub address: String,
    /// The region; `None` for that of the agent asked.
    pub region: Option<String>,
    /// The namespace whose policies are watched; `*` for all of them.
    pub namespace: String,
    /// The token that every request carries.
    pub token: Token,
    /// TLS, where the address is `https://`.
    pub tls: Tls,
    /// How long a blocking query blocks. Nomad adds up to a sixteenth and allows 10 minutes at most.
    pub wait: Duration,
    /// How long any other request may take, connecting included.
    pub timeout: Duration,
}

/// Where the ACL token comes from.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Token {
    /// Requests carry none.
    #[default]
    None,
    /// The token itself.
    Value(String),
    /// A file that holds it; read again for every request, so that a rotated token takes effect.
    File(PathBuf),
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Value(_) => f.write_str("Value(hidden)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// TLS towards Nomad; files are PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Certificates that are trusted instead of the system's.
    pub ca_cert: Option<PathBuf>,
    /// The client's certificate and those between it and its authority.
    pub client_cert: Option<PathBuf>,
    /// The key of the client's certificate.
    pub client_key: Option<PathBuf>,
    /// The name that the server's certificate must carry, where it is not the address's host,
    /// such as `server.global.nomad`.
    pub server_name: Option<String>,
    /// Whether any certificate is accepted.
    pub skip_verify: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: "http://127.0.0.1:4646".to_owned(),
            region: None,
            namespace: "default".to_owned(),
            token: Token::None,
            tls: Tls::default(),
            wait: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Why the options cannot be used.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// The address is no URL of a server.
    #[error("Nomad's address {address:?} is no URL: write it like https://nomad.example:4646")]
    Address {
        /// The address as given.
        address: String,
    },
    /// A variable of the environment holds something else than a truth value.
    #[error("{variable}={value:?} is neither true nor false")]
    NotABool {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// A client certificate without its key, or a key without its certificate.
    #[error("client_cert and client_key for Nomad belong together: give both or neither")]
    HalfIdentity,
    /// A file could not be read.
    #[error("cannot read {}, needed for TLS towards Nomad", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no usable certificate or key.
    #[error("{} holds no usable PEM certificate or key", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The HTTP client could not be made of all this.
    #[error("cannot set up TLS towards Nomad: check the CA, the certificate and the key")]
    Setup {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
}

impl Options {
    /// The defaults, overwritten by `NOMAD_ADDR`, `NOMAD_REGION`, `NOMAD_NAMESPACE`, `NOMAD_TOKEN`,
    /// `NOMAD_CACERT`, `NOMAD_CLIENT_CERT`, `NOMAD_CLIENT_KEY`, `NOMAD_TLS_SERVER_NAME` and `NOMAD_SKIP_VERIFY`.
    /// An empty variable counts as absent.
    pub fn from_env(env: &BTreeMap<String, String>) -> Result<Self, OptionsError> {
        let get = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
        let defaults = Self::default();
        Ok(Self {
            address: get("NOMAD_ADDR").unwrap_or(defaults.address),
            region: get("NOMAD_REGION"),
            namespace: get("NOMAD_NAMESPACE").unwrap_or(defaults.namespace),
            token: get("NOMAD_TOKEN").map_or(Token::None, Token::Value),
            tls: Tls {
                ca_cert: get("NOMAD_CACERT").map(PathBuf::from),
                client_cert: get("NOMAD_CLIENT_CERT").map(PathBuf::from),
                client_key: get("NOMAD_CLIENT_KEY").map(PathBuf::from),
                server_name: get("NOMAD_TLS_SERVER_NAME"),
                skip_verify: truth("NOMAD_SKIP_VERIFY", get("NOMAD_SKIP_VERIFY").as_deref())?,
            },
            wait: defaults.wait,
            timeout: defaults.timeout,
        })
    }
}

/// What Go's `strconv.ParseBool` takes, since Nomad's own command reads the variable with it.
fn truth(variable: &'static str, value: Option<&str>) -> Result<bool, OptionsError> {
    match value {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(OptionsError::NotABool { variable, value: other.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn an_empty_environment_gives_the_defaults() {
        assert_eq!(Options::from_env(&env(&[("NOMAD_ADDR", "")])).unwrap(), Options::default());
    }

    #[test]
    fn every_variable_has_its_field() {
        let options = Options::from_env(&env(&[
            ("NOMAD_ADDR", "https://n:1"),
            ("NOMAD_REGION", "eu"),
            ("NOMAD_NAMESPACE", "*"),
            ("NOMAD_TOKEN", "t"),
            ("NOMAD_CACERT", "/ca"),
            ("NOMAD_CLIENT_CERT", "/cert"),
            ("NOMAD_CLIENT_KEY", "/key"),
            ("NOMAD_TLS_SERVER_NAME", "server.global.nomad"),
            ("NOMAD_SKIP_VERIFY", "1"),
        ]))
        .unwrap();
        assert_eq!((options.address.as_str(), options.namespace.as_str()), ("https://n:1", "*"));
        assert_eq!((options.region.as_deref(), options.token), (Some("eu"), Token::Value("t".to_owned())));
        let tls = Tls {
            ca_cert: Some("/ca".into()),
            client_cert: Some("/cert".into()),
            client_key: Some("/key".into()),
            server_name: Some("server.global.nomad".to_owned()),
            skip_verify: true,
        };
        assert_eq!(options.tls, tls);
    }

    #[test]
    fn a_strange_truth_value_is_named() {
        let error = Options::from_env(&env(&[("NOMAD_SKIP_VERIFY", "yes")])).unwrap_err();
        assert_eq!(error.to_string(), "NOMAD_SKIP_VERIFY=\"yes\" is neither true nor false");
    }

    #[test]
    fn a_token_does_not_show_in_logs() {
        let options = Options { token: Token::Value("geheim".to_owned()), ..Options::default() };
        assert!(!format!("{options:?}").contains("geheim"));
    }
}
