//! Consul- and Nomad-compatible servers in one process, with faults on demand
