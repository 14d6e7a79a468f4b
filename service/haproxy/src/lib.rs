//! HAProxy as it runs: stats socket, master socket, statistics, validation, reload.
//!
//! This crate does; what to do is decided elsewhere. From the outside in: [`Haproxy`] says where an HAProxy is,
//! [`observe`], [`sample`] and [`capabilities()`] read it, [`Candidate`] and [`validate`] prepare a new configuration,
//! [`reload`] brings it into force and sees the new worker answer. What HAProxy prints is parsed in pure functions.

mod absence;
mod candidate;
mod capabilities;
mod child;
mod config;
mod environment;
mod exchange;
mod file_change;
mod installed;
mod load_order;
mod loaded_files;
mod master_socket;
mod messages;
mod observe;
mod owner;
mod pacing;
mod process_info;
mod processes;
mod reload;
#[cfg(test)]
mod scripted;
mod servers_state;
mod session;
mod startup_log;
mod statistics;
mod stats_socket;
mod surroundings;
mod table;
mod validate;
mod version;
mod worker;

pub use absence::{Absence, absence};
pub use candidate::{Candidate, WriteError, clean_up};
pub use capabilities::{Capabilities, Level, capabilities};
pub use config::Haproxy;
pub use exchange::{Limits, SocketError};
pub use file_change::FileError;
pub use installed::installed_version;
pub use load_order::{Listing, ListingError, LoadOrder, Loaded, Substitution, list, load_order};
pub use loaded_files::{LoadedFiles, ShownCertificate, fingerprint};
pub use master_socket::MasterSocket;
pub use messages::{Message, Severity};
pub use observe::{Observed, observe};
pub use owner::Attributes;
pub use process_info::ProcessInfo;
pub use processes::{Processes, Worker};
pub use reload::{ReloadError, ReloadMethod, Reloaded, reload, reload_and_tell};
pub use servers_state::{AdminState, Check, ObservedServer, OperationalState};
pub use statistics::{Completeness, Reading, sample, statistics};
pub use stats_socket::StatsSocket;
pub use surroundings::SurroundingsError;
pub use validate::{ValidateError, Verdict, validate};
pub use version::Version;
pub use worker::{Line, Look, Reached, Told};
