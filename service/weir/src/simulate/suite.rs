//! `weir simulate --suite`: every load against every scaler, on all processors.
//!
//! In: a directory of traces, if any. Out: the page with the tables.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, bail};
use weir_scaling::simulate::suite::{
    Case, Page, Variation, Verdict, document, generated, recorded, variations, verdict,
};
use weir_scaling::simulate::{BASELINES, Outcome, Weir, baseline, run};

use super::{files, policy_file};

/// The name of Weir's strategy in the tables.
const OURS: &str = "concurrency";

/// The page.
pub(super) fn page(traces: Option<&Path>) -> anyhow::Result<String> {
    let mut cases = generated();
    for path in traces.map(csv_files).transpose()?.unwrap_or_default() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        cases.push(recorded(&name, files::trace(&path, None)?));
    }
    let scalers: Vec<String> = [OURS].into_iter().chain(BASELINES).map(str::to_owned).collect();
    let outcomes = outcomes(&scalers, &cases)?;
    let varied = varied(&scalers)?;
    Ok(document(&Page {
        scalers: &scalers,
        cases: &cases,
        outcomes: &outcomes,
        verdict: &verdict(&scalers, &cases, &outcomes),
        variations: &varied,
    }))
}

/// The judgements on the made loads with something changed.
fn varied(scalers: &[String]) -> anyhow::Result<Vec<(String, Verdict)>> {
    let judged = |variation: Variation| {
        let outcomes = outcomes(scalers, &variation.cases)?;
        Ok((variation.about.to_owned(), verdict(scalers, &variation.cases, &outcomes)))
    };
    variations().into_iter().map(judged).collect()
}

fn csv_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let shown = || format!("{}: cannot be read as a directory of traces", directory.display());
    let entries = std::fs::read_dir(directory).with_context(shown)?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.with_context(shown)?.path();
        if path.extension().is_some_and(|extension| extension == "csv") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Of all scalers for each case. Runs do not depend on one another, so the processors share them.
fn outcomes(scalers: &[String], cases: &[Case]) -> anyhow::Result<Vec<Vec<Outcome>>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = Mutex::new(0..cases.len() * scalers.len());
    let run_some = || {
        let mut done = Vec::new();
        while let Some(place) = next.lock().ok().and_then(|mut next| next.next()) {
            done.push((place, one(&scalers[place % scalers.len()], &cases[place / scalers.len()])));
        }
        done
    };
    let mut done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run_some)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    done.sort_by_key(|(place, _)| *place);
    let outcomes: Vec<Outcome> = done.into_iter().map(|(_, outcome)| outcome).collect::<Result<_, _>>()?;
    if outcomes.len() < cases.len() * scalers.len() {
        bail!("a simulation ended early");
    }
    Ok(outcomes.chunks(scalers.len()).map(<[Outcome]>::to_vec).collect())
}

fn one(scaler: &str, case: &Case) -> anyhow::Result<Outcome> {
    let cluster = &case.setting.cluster;
    if let Some(mut baseline) = baseline(scaler, cluster) {
        return Ok(run(&case.setting, baseline.as_mut()));
    }
    let policy = policy_file::default(cluster.min, cluster.max)?;
    Ok(run(&case.setting, &mut Weir::new(policy, cluster)))
}
