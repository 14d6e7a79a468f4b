//! Keeps HAProxy's pools equal to Consul and the number of instances equal to the traffic
