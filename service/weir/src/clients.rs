//! Clients of Consul and Nomad from the configuration and the environment.
//!
//! What the file says wins over the environment's usual variables, which win over the defaults.

use anyhow::Context;
use weir_consul::{Auth, Options, Secret, TokenSource};

use crate::config::{Consul, Environment, Nomad};

/// The options of Consul.
pub(crate) fn consul_options(config: &Consul, environment: &Environment) -> anyhow::Result<Options> {
    let mut options = Options::from_env(environment).context("Consul's variables in the environment")?;
    if let Some(address) = &config.address {
        options.address.clone_from(address);
    }
    if let Some(path) = &config.token_file {
        options.token = TokenSource::File(path.clone());
    }
    if let Some(token) = &config.token {
        options.token = TokenSource::Literal(Secret::new(token));
    }
    if let Some((user, password)) = &config.auth {
        let password = Some(password).filter(|password| !password.is_empty()).map(Secret::new);
        options.auth = Some(Auth { user: user.clone(), password });
    }
    if let Some(tls) = &config.tls {
        options.tls.enabled = tls.enabled;
        options.tls.verify = tls.verify;
        options.tls.ca_cert = tls.ca_cert.clone().or(options.tls.ca_cert);
        options.tls.cert = tls.cert.clone().or(options.tls.cert);
        options.tls.key = tls.key.clone().or(options.tls.key);
    }
    options.datacenter.clone_from(&config.datacenter);
    options.max_stale = config.max_stale;
    options.wait = config.wait;
    options.max_connections = config.max_connections;
    Ok(options)
}

/// A client of Consul.
pub(crate) fn consul(config: &Consul, environment: &Environment) -> anyhow::Result<weir_consul::Client> {
    let options = consul_options(config, environment)?;
    weir_consul::Client::new(options).context("the consul block")
}

/// A client of Nomad.
pub(crate) fn nomad(config: &Nomad, environment: &Environment) -> anyhow::Result<weir_nomad::Client> {
    let mut options =
        weir_nomad::Options::from_env(environment).context("Nomad's variables in the environment")?;
    if let Some(address) = &config.address {
        options.address.clone_from(address);
    }
    if let Some(path) = &config.token_file {
        options.token = weir_nomad::Token::File(path.clone());
    }
    if let Some(token) = &config.token {
        options.token = weir_nomad::Token::Value(token.clone());
    }
    if let Some(tls) = &config.tls {
        options.tls.skip_verify = !tls.verify;
        options.tls.ca_cert = tls.ca_cert.clone().or(options.tls.ca_cert);
        options.tls.client_cert = tls.cert.clone().or(options.tls.client_cert);
        options.tls.client_key = tls.key.clone().or(options.tls.client_key);
    }
    options.namespace.clone_from(&config.namespace);
    options.region = config.region.clone().or(options.region);
    weir_nomad::Client::new(options).context("the nomad block")
}
