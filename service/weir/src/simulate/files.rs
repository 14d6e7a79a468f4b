//! Reading traces and writing reports.

use std::path::Path;

use anyhow::Context;
use weir_scaling::simulate::trace::{self, Trace, Unit};

/// A trace, in whichever format it is. Bytes that are not UTF-8, as in logged addresses, do not matter.
pub(super) fn trace(path: &Path, unit: Option<Unit>) -> anyhow::Result<Trace> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| format!("{shown}: cannot be read"))?;
    Ok(trace::read(&shown, &String::from_utf8_lossy(&bytes), unit)?)
}

/// Writes a report in place of what was there.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{}: cannot be written", path.display()))
}
