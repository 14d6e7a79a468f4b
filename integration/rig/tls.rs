//! Certificates made by the `openssl` program, and handshakes that show which one is served.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::skipped;

/// A certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Made {
    /// Both in one text, as HAProxy wants them.
    pub(crate) fn pem(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }
}

/// Whether there is an `openssl`; says so on stderr where there is none.
pub(crate) fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skipped("openssl");
    }
    found
}

/// A new certificate for `name`, made in `dir`.
pub(crate) fn made(dir: &Path, name: &str) -> Made {
    let [key, certificate] = ["made.key", "made.pem"].map(|file| dir.join(file));
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "9",
    ]);
    command.args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}")]);
    let output =
        command.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().expect("openssl starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let [certificate, key] =
        [certificate, key].map(|path| std::fs::read_to_string(path).expect("it was made"));
    Made { certificate, key }
}

/// The certificate that a new handshake gets which asks for `name`; nothing where there is none.
pub(crate) async fn handshake(port: u16, name: &str) -> Option<String> {
    let mut client = tokio::process::Command::new("openssl");
    client.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", name]);
    client.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(10), client.output()).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (inner, _) = rest.split_once("-----END CERTIFICATE-----")?;
    Some(format!("-----BEGIN CERTIFICATE-----{inner}-----END CERTIFICATE-----\n"))
}
