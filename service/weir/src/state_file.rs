//! A small file of JSON in the state directory, written whole and renamed into place.
//!
//! One that cannot be read is reported and taken as absent: weir then goes on as on its first day.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

/// What the file holds; nothing where it is absent or cannot be used.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = read_bytes(path)?;
    serde_json::from_slice(&text)
        .inspect_err(|error| warn!("{}: cannot be used, going on without it: {error}", path.display()))
        .ok()
}

/// The same as bytes.
pub(crate) fn read_bytes(path: &Path) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            warn!("{}: cannot be read, going on without it: {error}", path.display());
            None
        }
    }
}

/// Whole or not at all. Not synced to the disk: after a crash of the machine HAProxy starts from its files anyway.
pub(crate) fn write<T: Serialize + ?Sized>(path: &Path, value: &T) -> std::io::Result<()> {
    write_bytes(path, &serde_json::to_vec(value)?)
}

/// The same with bytes.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    // Somebody may have tidied up meanwhile.
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
