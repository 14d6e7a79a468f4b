//! `weir demo`: a whole cluster on one laptop, with nothing installed but HAProxy.
//!
//! In: how long, which HAProxy. A Consul, a Nomad and instances run in this process; HAProxy and `weir run` are real
//! children; a load rises and falls. Out: what happens, on the terminal, and a summary. The exit code is not zero
//! where a request failed or the pool did not follow; then the directory with the logs is kept.

mod curve;
mod following;
mod format;
mod live;
mod process;
mod records;
mod site;
mod stage;
mod summary;
mod tally;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use curve::Plan;
use live::Screen;
use stage::Stage;

/// What the demo does.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// End after this many seconds (20 to 86400) with a summary; without it, Ctrl-C ends it.
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<u64>,
    /// The HAProxy to use; by default the one on PATH.
    #[arg(long, value_name = "BINARY")]
    haproxy: Option<PathBuf>,
}

/// The curve needs some time to be seen; what is longer than a day has no end for anybody.
fn seconds(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (20..=86_400).contains(number));
    number.ok_or_else(|| "write a whole number of seconds from 20 to 86400".into())
}

/// Runs the demo to its end.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let haproxy = site::haproxy(options.haproxy)?;
    let mut ends = signals()?;
    let plan = Plan::new(options.seconds.map(Duration::from_secs), Instant::now());
    let mut stage = Stage::new(haproxy)?;
    let mut screen = Screen::new();
    let started = tokio::select! {
        started = stage.start(&plan, &mut screen) => started.map(Some),
        _ = ends.recv() => Ok(None),
    };
    let outcome = match started {
        Ok(Some(show)) => show.play(&mut stage, &mut screen, &mut ends).await.map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    conclude(stage, &screen, outcome).await
}

/// Ends everything, says how it was, and keeps the logs where something went wrong.
async fn conclude(
    stage: Stage,
    screen: &Screen,
    outcome: anyhow::Result<Option<summary::Summary>>,
) -> anyhow::Result<ExitCode> {
    let dir = stage.end().await;
    let good = match &outcome {
        Ok(Some(summary)) => summary.faults.is_empty(),
        Ok(None) => true,
        Err(_) => false,
    };
    if let Ok(Some(summary)) = &outcome {
        screen.line(&summary.text());
    }
    if !good {
        let kept = dir.keep();
        screen.line(&format!("The logs and all other files are kept in {}", kept.display()));
    }
    outcome.map(|_| if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A channel that gets a message when a person or the system wants the demo to end.
fn signals() -> anyhow::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(1);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signals, sender) = (signal(kind)?, sender.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                // One that waits already is enough: the end is bounded.
                let _ = sender.try_send(());
            }
        });
    }
    Ok(receiver)
}
