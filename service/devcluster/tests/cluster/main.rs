//! Tests of the cluster over HTTP, as a client sees it.

#[cfg(test)]
mod consul;
#[cfg(test)]
mod nomad;
#[cfg(test)]
mod real_consul;
#[cfg(test)]
mod support;
