//! The crate from outside: against a real Consul where there is one, and against a server that misbehaves on purpose.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod intents;
#[cfg(test)]
mod real;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod server;
