//! Nomad's HTTP API, as far as scaling needs it
