//! `weir demo`.

use std::process::ExitCode;

/// What the demo does.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// End after this many seconds with a summary.
    #[arg(long)]
    seconds: Option<u64>,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet: {options:?}")
}
