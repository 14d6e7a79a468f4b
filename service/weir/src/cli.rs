//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Keeps HAProxy's pools equal to Consul, and the number of instances equal to the traffic.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon.
    #[command(after_help = "Example:\n  weir run -c /usr/local/etc/weir/weir.hcl")]
    Run(Configs),
    /// Check configuration, templates and policies; every mistake at once. Exit code 1 if there is any.
    ///
    /// Warnings are advice about HAProxy's configuration: what makes reloads noticeable, and what keeps servers from changing
    /// without one, each with the measured reason. They do not change the exit code.
    #[command(after_help = "Example:\n  weir check -c /usr/local/etc/weir jobs/web.nomad.hcl")]
    Check {
        #[command(flatten)]
        configs: Configs,
        /// Nomad job files whose scaling policies are checked too.
        #[arg(value_name = "JOB")]
        jobs: Vec<PathBuf>,
    },
    /// Render every template once, write the files, and end. HAProxy is not reloaded.
    #[command(
        after_help = "Examples:\n  weir render --once --wait 30s -c weir.hcl && service haproxy start\n  \
                            weir render --once --dry -c weir.hcl"
    )]
    Render {
        #[command(flatten)]
        configs: Configs,
        /// Render once and end.
        #[arg(long, required = true)]
        once: bool,
        /// Print what would be written instead of writing it.
        #[arg(long)]
        dry: bool,
        /// How long to wait for Consul.
        #[arg(long, default_value = "30s", value_parser = duration)]
        wait: Duration,
    },
    /// Show what a running weir does and why.
    #[command(after_help = "Examples:\n  weir status\n  weir status --json | jq .haproxy")]
    Status {
        /// Where the running weir listens.
        #[arg(long, default_value = "127.0.0.1:8717")]
        address: String,
        /// Print the status as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Reload HAProxy now, through the running weir.
    #[command(after_help = "Examples:\n  weir reload\n  weir reload edge")]
    Reload {
        #[command(flatten)]
        control: Control,
        /// The HAProxy's label; none for the one without.
        #[arg(default_value = "")]
        haproxy: String,
    },
    /// Show the servers of the pools, or confirm that a pool may become empty.
    #[command(
        after_help = "Examples:\n  weir servers\n  weir servers web\n  weir servers --confirm-empty web"
    )]
    Servers {
        #[command(flatten)]
        control: Control,
        /// Where the running weir listens.
        #[arg(long, default_value = "127.0.0.1:8717")]
        address: String,
        /// Show this backend only.
        backend: Option<String>,
        /// Say that this backend may become empty: weir lets its kept servers go.
        #[arg(long, value_name = "BACKEND", conflicts_with = "backend")]
        confirm_empty: Option<String>,
    },
    /// Run a whole cluster in this process, with a real HAProxy and a load that rises and falls.
    #[cfg(feature = "demo")]
    #[command(after_help = "Example:\n  weir demo --seconds 60")]
    Demo(crate::demo::Options),
    /// Print every option of the configuration, with its default.
    #[command(after_help = "Example:\n  weir options")]
    Options,
    /// Print shell completions.
    #[command(after_help = "Example:\n  weir completions bash > /etc/bash_completion.d/weir")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(after_help = "Example:\n  weir man > /usr/local/share/man/man1/weir.1")]
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct Configs {
    /// A configuration file, or a directory of *.hcl files. May be repeated; a later option wins.
    #[arg(short, long = "config", required = true, value_name = "PATH")]
    pub(crate) configs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Control {
    /// The running weir's control socket.
    #[arg(long, default_value = "/var/run/weir.sock")]
    pub(crate) control: PathBuf,
}

fn duration(text: &str) -> Result<Duration, String> {
    weir_scaling::parse_duration(text).ok_or_else(|| "write a duration such as 500ms, 10s or 5m".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
