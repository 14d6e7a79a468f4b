//! Writes the client of Nomad's HTTP API, `src/generated.rs`, from `openapi.yaml`.
//!
//! With `--check` it writes nothing and fails where the committed client is not what the document gives.
//! The output depends on the document and on this crate's `Cargo.lock` only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use openapiv3::OpenAPI;
use progenitor_impl::{GenerationSettings, Generator, InterfaceStyle};

const OPENING: &str = "\
//! The client of Nomad's HTTP API, generated from `openapi.yaml` by `service/nomad/codegen`. Do not edit.
//!
//! To change it, change the document and run `cargo run --manifest-path service/nomad/codegen/Cargo.toml`.

";

fn main() -> Result<ExitCode> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = crate_dir.join("src/generated.rs");
    let client = generate(&crate_dir.join("openapi.yaml"))?;
    if std::env::args().nth(1).as_deref() == Some("--check") {
        return check(&target, &client);
    }
    fs::write(&target, client).with_context(|| format!("writing {}", target.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn generate(document: &PathBuf) -> Result<String> {
    let text = fs::read_to_string(document).with_context(|| format!("reading {}", document.display()))?;
    let spec: OpenAPI =
        serde_yaml::from_str(&text).with_context(|| format!("parsing {}", document.display()))?;
    let tokens = Generator::new(&settings()?).generate_tokens(&spec).context("generating the client")?;
    let file = syn::parse2(tokens).context("parsing what was generated")?;
    Ok(format!("{OPENING}{}", prettyplease::unparse(&file)))
}

/// Plain functions with positional arguments, and a place for what every request carries (token, time-outs).
fn settings() -> Result<GenerationSettings> {
    let access = "crate::access::Access".parse().map_err(|e| anyhow::anyhow!("the inner type: {e}"))?;
    let mut settings = GenerationSettings::default();
    settings.with_interface(InterfaceStyle::Positional).with_inner_type(access);
    Ok(settings)
}

fn check(target: &Path, client: &str) -> Result<ExitCode> {
    let committed = fs::read_to_string(target).with_context(|| format!("reading {}", target.display()))?;
    if committed == client {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "{} is not what openapi.yaml gives: run `cargo run --manifest-path service/nomad/codegen/Cargo.toml` and commit",
        target.display()
    );
    Ok(ExitCode::FAILURE)
}
