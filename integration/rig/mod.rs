//! The rig: real servers on free ports and in temporary directories, and weir beside them.
//!
//! Whatever is started here ends when its value is dropped, by its own process group; nothing outlives a test.
//! A process that a failing test started prints the end of its log.

pub(crate) mod balancer;
pub(crate) mod burst;
pub(crate) mod cluster;
pub(crate) mod consul;
pub(crate) mod haproxy;
pub(crate) mod http;
pub(crate) mod instance;
pub(crate) mod line;
pub(crate) mod load;
pub(crate) mod nomad;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod recorder;
pub(crate) mod said;
pub(crate) mod site;
pub(crate) mod tls;
pub(crate) mod wait;
pub(crate) mod weir;

pub(crate) use instance::Instance;
pub(crate) use load::Load;
pub(crate) use recorder::Recorder;
pub(crate) use wait::{SOON, wait_closely, wait_for};
