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

/// An authority, `ca.pem` in `dir`, and a certificate that it signed for 127.0.0.1, `node.pem` with
/// `node.key`.
pub(crate) fn authority(dir: &Path) {
    std::fs::write(dir.join("san"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .expect("written");
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let ca = ["req", "-x509", "-days", "9", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"];
    let asked = ["req", "-subj", "/CN=node", "-keyout", "node.key", "-out", "node.csr"];
    let sign = ["x509", "-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    let signed = ["-days", "9", "-extfile", "san", "-out", "node.pem"];
    for args in [[&ca[..], &curve].concat(), [&asked[..], &curve].concat(), [&sign[..], &signed].concat()] {
        let output = Command::new("openssl").args(args).current_dir(dir).output().expect("openssl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
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

/// What a server behind TLS answers to a request, with a certificate and its key or without; whatever came,
/// in text.
pub(crate) async fn exchange(port: u16, ca: &str, identity: Option<[String; 2]>, request: &str) -> String {
    use tokio::io::AsyncWriteExt as _;
    let mut client = tokio::process::Command::new("openssl");
    client.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}"), "-CAfile", ca]);
    if let Some([certificate, key]) = &identity {
        client.args(["-cert", certificate, "-key", key]);
    }
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut client = client.spawn().expect("openssl starts");
    let mut input = client.stdin.take().expect("it was asked for");
    // One that is refused may be gone before it has read all of it.
    let _ = input.write_all(request.as_bytes()).await;
    let output = tokio::time::timeout(Duration::from_secs(10), client.wait_with_output()).await;
    drop(input);
    output
        .ok()
        .and_then(Result::ok)
        .map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).into_owned())
}
