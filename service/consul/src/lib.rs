//! Consul's HTTP API: blocking queries, one catalogue, sessions and locks
