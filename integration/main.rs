//! Weir against the real Consul, HAProxy and (where installed) Nomad.
//!
//! Every test has ports and a directory of its own and may run beside any other; all waiting is for a predicate,
//! with a deadline. What a test needs and the machine lacks makes it say `skipped: no …` on stderr and pass.
//! Environment: `WEIR_TEST_CONSUL`, `WEIR_TEST_HAPROXY`, `WEIR_TEST_NOMAD` name binaries, `WEIR_TEST_LONG=1` makes
//! outages and churn as long as in production.

#[cfg(test)]
mod rig;

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod check;
#[cfg(test)]
mod churn;
#[cfg(test)]
mod consul_restart;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod edit;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod guard_runtime;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod leaving;
#[cfg(test)]
mod lock;
#[cfg(test)]
mod maintenance;
#[cfg(test)]
mod nomad;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod pipes;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod reload_retry;
#[cfg(test)]
mod rig_itself;
#[cfg(test)]
mod runtime;
#[cfg(test)]
mod scaling;
#[cfg(test)]
mod shipped;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod slots;
#[cfg(test)]
mod surroundings;
#[cfg(test)]
mod wake;
