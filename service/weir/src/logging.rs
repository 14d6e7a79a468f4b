//! The structured log, to standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::Log;

/// Starts logging. `WEIR_LOG` (a filter such as `weir=debug`) wins over the configuration.
pub(crate) fn start(log: &Log) {
    let level = log.level.as_str().to_lowercase();
    // The libraries below say nothing that an administrator needs at info.
    let default = format!("warn,weir={level},weir_consul={level},weir_nomad={level},weir_haproxy={level}");
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_target(false)
        // What reads standard error may go away; the default then panics in whichever part happens to log.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // A second start (in a test) keeps the first log.
    let _ = if log.json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
}
