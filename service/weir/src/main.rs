//! The `weir` command.

mod advice;
mod body;
mod caller;
mod certificates;
mod chain;
mod check;
mod cli;
mod clients;
mod config;
mod control;
#[cfg(feature = "demo")]
mod demo;
mod explain;
mod http;
mod intents;
mod interest;
mod job_check;
mod journal;
mod listening;
mod logging;
mod maintenance;
mod metric_sources;
mod metrics;
mod nomad_version;
mod parts;
mod peers;
mod pool_loop;
mod publish;
mod render;
mod run;
mod sampler;
mod scale_loop;
mod server_table;
mod short;
mod show;
mod simulate;
mod sources;
mod state_file;
mod state_lock;
mod state_log;
mod status;
mod units;
mod views;
mod wake;
mod zero;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use jiff::Timestamp;

use cli::{Cli, Command, Policy, Whose, Wished};
use config::{Config, Environment};
use control::{Request, Response};
use weir_pools::intents::Wish;

/// How long a file that cannot be read to its end may hold up the end of the process.
const LINGER: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    // One TLS provider for the whole process. Only a second call could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Cli::parse().command;
    let ended = runtime(&arguments).and_then(|runtime| {
        let ended = runtime.block_on(command(arguments));
        runtime.shutdown_timeout(LINGER);
        ended
    });
    ended.unwrap_or_else(|error| {
        say(&mut std::io::stderr(), &format!("weir: {error:#}"));
        ExitCode::FAILURE
    })
}

/// The daemon works in one thread: between HAProxy and Consul it mostly waits, and two threads wake one another at every
/// step. What takes long is done aside.
fn runtime(command: &Command) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut runtime = match command {
        Command::Run(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime.enable_all().build().context("threads cannot be started")
}

async fn command(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(configs) => match configured(&configs.configs) {
            // As a task: what the runtime itself waits for is woken through the kernel each time, a task is not.
            Some(config) => tokio::spawn(run::run(config, environment())).await??,
            None => return Ok(ExitCode::FAILURE),
        },
        Command::Check { configs, jobs } => return Ok(check(&configs.configs, &jobs).await),
        Command::Render { configs, once: _, dry, wait } => {
            let Some(config) = configured(&configs.configs) else { return Ok(ExitCode::FAILURE) };
            if dry {
                render::dry(&config, environment(), wait).await?;
            } else {
                logging::start(&config.log);
                render::once(&config, environment(), wait).await?;
            }
        }
        Command::Status { whose, http, json: true } => {
            let status: serde_json::Value = show::fetch(&listening::http(&whose, http)?).await?;
            print(&serde_json::to_string_pretty(&status)?);
        }
        Command::Status { whose, http, json: false } => {
            print(show::page(&show::fetch(&listening::http(&whose, http)?).await?).trim_end());
        }
        Command::Reload { whose, control, haproxy } => {
            return ask(&whose, control, &Request::Reload { haproxy }).await;
        }
        Command::Servers { whose, control, confirm_empty: Some(backend), .. } => {
            return ask(&whose, control, &Request::ConfirmEmpty { backend }).await;
        }
        Command::Drain(wished) => return wish(Wish::Drain, wished).await,
        Command::Maint(wished) => return wish(Wish::Maint, wished).await,
        Command::Ready { whose, control, target } => {
            return ask(&whose, control, &Request::Ready { target }).await;
        }
        Command::Servers { whose, http, backend, watch: true, .. } => {
            server_table::watch(&listening::http(&whose, http)?, backend.as_deref()).await?;
        }
        Command::Servers { whose, http, backend, .. } => {
            let address = listening::http(&whose, http)?;
            print(server_table::page(&address, backend.as_deref()).await?.trim_end());
        }
        Command::Simulate(options) => print(&simulate::simulate(&options)?),
        Command::Policy(Policy::Check { jobs, nomad, configs }) => {
            return check_policies(&jobs, nomad, &configs).await;
        }
        Command::Policy(Policy::Explain { target, whose, http }) => {
            let status = show::fetch(&listening::http(&whose, http)?).await?;
            print(explain::page(&status, &target, Timestamp::now())?.trim_end());
        }
        #[cfg(feature = "demo")]
        Command::Demo(options) => return demo::run(options).await,
        Command::Options => print(config::reference().trim_end()),
        Command::Completions { shell } => print(completions(shell).trim_end()),
        Command::Man => print(manual()?.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration, or all that is wrong with it on standard error.
fn configured(paths: &[PathBuf]) -> Option<Config> {
    let loaded = config::load(paths);
    report(&loaded.problems);
    loaded.problems.is_empty().then_some(loaded.config)
}

async fn check(paths: &[PathBuf], jobs: &[PathBuf]) -> ExitCode {
    say_found(&check::check(paths, jobs).await)
}

/// With the Nomad that is given or configured, where there is one.
async fn check_policies(
    jobs: &[PathBuf],
    nomad: Option<String>,
    configs: &[PathBuf],
) -> anyhow::Result<ExitCode> {
    let block = match (nomad, configs) {
        (Some(address), _) => Some(config::Nomad::at(address)),
        (None, []) => None,
        (None, configs) => match configured(configs) {
            Some(config) => config.nomad,
            None => return Ok(ExitCode::FAILURE),
        },
    };
    let nomad = block.map(|block| clients::nomad(&block, &environment())).transpose()?;
    Ok(say_found(&job_check::check_all(jobs, nomad.as_ref()).await))
}

fn say_found(found: &check::Found) -> ExitCode {
    report(&found.mistakes);
    for warning in &found.warnings {
        say(&mut std::io::stderr(), &warning.as_warning());
    }
    for unchecked in &found.unchecked {
        say(&mut std::io::stderr(), &unchecked.as_note());
    }
    if !found.mistakes.is_empty() {
        return ExitCode::FAILURE;
    }
    print(&found.verdict());
    ExitCode::SUCCESS
}

fn report(problems: &[config::Problem]) {
    for problem in problems {
        say(&mut std::io::stderr(), &problem.to_string());
    }
}

async fn wish(wish: Wish, wished: Wished) -> anyhow::Result<ExitCode> {
    let Wished { whose, control, target, lasting, reason } = wished;
    let for_ms = lasting.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let on_behalf_of = caller::on_behalf_of(&environment());
    ask(&whose, control, &Request::Intend { target, wish, for_ms, reason, on_behalf_of }).await
}

async fn ask(whose: &Whose, control: cli::Control, request: &Request) -> anyhow::Result<ExitCode> {
    match control::ask(&listening::control(whose, control)?, request).await? {
        Response::Ok(text) => {
            print(&text);
            Ok(ExitCode::SUCCESS)
        }
        Response::Error(text) => anyhow::bail!(text),
    }
}

/// The environment, names and values that are not UTF-8 left out.
fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// As a text: what writes it to a reader that went away would end with a panic.
fn completions(shell: clap_complete::Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "weir", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn manual() -> anyhow::Result<String> {
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn print(text: &str) {
    say(&mut std::io::stdout(), text);
}

/// Prints a line; a reader that went away (`weir status | head`) is no error.
fn say(out: &mut dyn Write, text: &str) {
    let _ = writeln!(out, "{text}");
}
