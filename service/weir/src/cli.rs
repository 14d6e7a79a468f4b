//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::maintenance::Target;

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
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        http: Http,
        /// Print the status as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Reload HAProxy now, through the running weir.
    #[command(after_help = "Examples:\n  weir reload\n  weir reload edge")]
    Reload {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        control: Control,
        /// The HAProxy's label; none for the one without.
        #[arg(default_value = "")]
        haproxy: String,
    },
    /// Let a server finish what it does: no new sessions, on any load balancer of the cluster.
    #[command(
        after_help = "Waits until this load balancer's HAProxy shows it, and says so; exit code 1 if it does not. What is \
                      not said stays as you asked before.\n\nExamples:\n  weir drain web/10.0.0.1:8080\n  weir drain \
                      web/10.0.0.1:8080 --for 30m --reason 'kernel update'\n  weir servers web --watch"
    )]
    Drain(Wished),
    /// Take a server out at once, on every load balancer of the cluster: no sessions, no checks.
    #[command(
        after_help = "Waits until this load balancer's HAProxy shows it, and says so; exit code 1 if it does not. What is \
                      not said stays as you asked before.\n\nExamples:\n  weir maint web/10.0.0.1:8080 --reason 'disk \
                      broken'\n  weir maint web/10.0.0.1:8080 --for 2h"
    )]
    Maint(Wished),
    /// End a drain or maintenance of a server, whoever asked for it, and one that was set by hand here.
    #[command(after_help = "Example:\n  weir ready web/10.0.0.1:8080")]
    Ready {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        control: Control,
        /// The server: its backend, and its name or ADDRESS:PORT.
        #[arg(value_name = "BACKEND/SERVER", value_parser = target)]
        target: Target,
    },
    /// Show the servers of the pools, or confirm that a pool may become empty.
    #[command(
        after_help = "Examples:\n  weir servers\n  weir servers web --watch\n  weir servers --confirm-empty web"
    )]
    Servers {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        control: Control,
        #[command(flatten)]
        http: Http,
        /// Show this backend only.
        backend: Option<String>,
        /// Show it anew every second, until ^C.
        #[arg(long, conflicts_with = "confirm_empty")]
        watch: bool,
        /// Say that this backend may become empty, or may lose most of its servers: weir lets those go that it kept.
        #[arg(long, value_name = "BACKEND", conflicts_with = "backend")]
        confirm_empty: Option<String>,
    },
    /// Show what a scaling policy would do under a recorded or made load, beside what other autoscalers would do.
    #[command(
        after_help = "Examples:\n  weir simulate --policy jobs/web.nomad.hcl --trace requests.csv --against hpa,kpa,target-value \
                      --out report.html\n  weir simulate --policy web.nomad.hcl --trace /var/log/haproxy.log --service-time 80ms \
                      --start-time 30s --out report.html\n  weir simulate --shape flash-crowd --out report.html\n  weir simulate \
                      --suite --traces traces/ --out docs/simulation.md"
    )]
    Simulate(Box<crate::simulate::Options>),
    /// Look at scaling policies.
    #[command(subcommand)]
    Policy(Policy),
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

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Check the scaling blocks of job files; every mistake at once. Exit code 1 if there is any.
    ///
    /// With a Nomad, given or configured, it is asked to parse the files: it knows what variables and functions come to.
    /// Nothing is changed there. Without one, policies that hold such things are passed over, and named.
    #[command(after_help = "Examples:\n  weir policy check jobs/web.nomad.hcl\n  weir policy check --nomad \
                            http://127.0.0.1:4646 jobs/*.nomad.hcl")]
    Check {
        /// The job files.
        #[arg(value_name = "JOB", required = true)]
        jobs: Vec<PathBuf>,
        /// Nomad's address; its token and certificates come from Nomad's own variables (`NOMAD_TOKEN`, …).
        #[arg(long, value_name = "ADDRESS", conflicts_with = "configs")]
        nomad: Option<String>,
        /// A configuration whose block `nomad` names it.
        #[arg(short, long = "config", value_name = "PATH")]
        configs: Vec<PathBuf>,
    },
    /// Tell what was decided last for a group, from what, by which rules, and what came of it.
    #[command(after_help = "Examples:\n  weir policy explain web\n  weir policy explain web/app")]
    Explain {
        /// The job, and the group where it has several.
        #[arg(value_name = "JOB[/GROUP]")]
        target: String,
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        http: Http,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Configs {
    /// A configuration file, or a directory of *.hcl files. May be repeated; a later option wins.
    #[arg(short, long = "config", required = true, value_name = "PATH")]
    pub(crate) configs: Vec<PathBuf>,
}

/// What is wished of which server.
#[derive(Debug, Args)]
pub(crate) struct Wished {
    #[command(flatten)]
    pub(crate) whose: Whose,
    #[command(flatten)]
    pub(crate) control: Control,
    /// The server: its backend, and its name or ADDRESS:PORT.
    #[arg(value_name = "BACKEND/SERVER", value_parser = target)]
    pub(crate) target: Target,
    /// End it by itself after this time, such as 30m or 2h; it lasts until `weir ready` otherwise.
    #[arg(long = "for", value_name = "DURATION", value_parser = lasting)]
    pub(crate) lasting: Option<Duration>,
    /// Why, for those who look.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

/// Which running weir is spoken to, where it is not the one at the usual places.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// The running weir's configuration, which says where it listens.
    #[arg(short, long = "config", value_name = "PATH")]
    pub(crate) configs: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Control {
    /// The running weir's control socket [default: /var/run/weir.sock].
    #[arg(long, value_name = "PATH", conflicts_with = "configs")]
    pub(crate) control: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Http {
    /// Where the running weir is read [default: 127.0.0.1:8717].
    #[arg(long, conflicts_with = "configs")]
    pub(crate) address: Option<String>,
}

/// A duration as `parse_duration` takes it.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a duration such as 500ms, 10s or 5m, up to 366d".into();
    weir_scaling::parse_duration(text).ok_or_else(wrong)
}

fn lasting(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time.is_zero() { Err("that is over at once; leave --for out for no end".into()) } else { Ok(time) }
}

fn target(text: &str) -> Result<Target, String> {
    let parts = text.split_once('/').filter(|(backend, server)| !backend.is_empty() && !server.is_empty());
    let (backend, server) =
        parts.ok_or("write BACKEND/SERVER, such as web/10.0.0.1:8080; `weir servers` lists them")?;
    Ok(Target { backend: backend.to_owned(), server: server.to_owned() })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_the_usual_places() {
        let help = refused("weir servers --help");
        for place in [crate::config::CONTROL_SOCKET, crate::config::HTTP_ADDRESS] {
            assert!(help.contains(&format!("[default: {place}]")), "{help}");
        }
    }

    /// What is said of a command line that is wrong.
    fn refused(line: &str) -> String {
        Cli::try_parse_from(line.split(' ')).unwrap_err().to_string()
    }

    #[test]
    fn what_is_too_long_or_too_short_is_told_how_long_it_may_be() {
        for line in [
            "weir drain web/a --for 99999999h",
            "weir render --once -c a --wait 367d",
            "weir simulate --shape step --out a --start-time 367d",
        ] {
            assert!(refused(line).contains("up to 366d"), "{}", refused(line));
        }
        assert!(Cli::try_parse_from("weir drain web/a --for 366d".split(' ')).is_ok());
    }

    #[cfg(feature = "demo")]
    #[test]
    fn a_demo_lasts_from_20_seconds_to_a_day() {
        for line in
            ["weir demo --seconds 8", "weir demo --seconds 18446744073709551615", "weir demo --seconds x"]
        {
            assert!(
                refused(line).contains("a whole number of seconds from 20 to 86400"),
                "{}",
                refused(line)
            );
        }
        assert!(Cli::try_parse_from("weir demo --seconds 20".split(' ')).is_ok());
    }
}
