//! Commands for certificates, authorities and revocation lists.
//!
//! In: the file's name and the texts. Out: a [`FileChange`]: a transaction of HAProxy, which checks that key and certificate belong
//! together before it takes them, and keeps the old ones otherwise; or a [`Why`]. Running handshakes and connections are not
//! touched.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::pem::{Block, Pem};
use super::{FileChange, FileReply, FileStep, Proof, Why, fits, name};
use crate::plan::Can;

/// What a certificate is made of.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate, its chain, and mostly its key.
    pub pem: String,
    /// The key's file, where the key is not among them (`FILE.key`).
    pub key: Option<String>,
    /// The issuer of the OCSP response (`FILE.issuer`).
    pub issuer: Option<String>,
    /// An OCSP response to staple (`FILE.ocsp`).
    pub ocsp: Option<Vec<u8>>,
    /// Whether there is a list of certificate transparency (`FILE.sctl`): no command takes one.
    pub has_sctl: bool,
}

/// Keys are not for logs.
impl std::fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateFiles").finish_non_exhaustive()
    }
}

/// A certificate in use gets another content.
pub fn certificate(path: &str, files: &CertificateFiles, can: Can) -> Result<FileChange, Why> {
    let path = name(path)?;
    let pem = whole(path, files, can)?;
    let begun = |state: &str| FileReply::line(format!("Transaction {state} for certificate {path}!"));
    let payload = pem.blocks.iter().map(Block::text).collect::<Vec<_>>().join("\n");
    let mut steps = vec![FileStep::with_payload(&format!("set ssl cert {path}"), payload, begun("created"))];
    steps.extend(extras(path, files)?.into_iter().map(|(suffix, payload)| {
        FileStep::with_payload(&format!("set ssl cert {path}.{suffix}"), payload, begun("updated"))
    }));
    steps.push(FileStep::new(format!("commit ssl cert {path}"), FileReply::Success));
    let der = pem.certificates().next().and_then(Block::der).ok_or_else(|| not_base64(path))?;
    let undo = vec![format!("abort ssl cert {path}")];
    small(FileChange {
        path: path.to_owned(),
        why: "its content is another".to_owned(),
        steps,
        undo,
        proof: Proof::Certificate(der),
    })
}

/// A certificate that HAProxy does not have yet; nothing uses it until a list of certificates names it.
pub fn new_certificate(path: &str, files: &CertificateFiles, can: Can) -> Result<FileChange, Why> {
    let mut change = certificate(path, files, can)?;
    let made = FileReply::line(format!("New empty certificate store '{path}'!"));
    change.steps.insert(0, FileStep::new(format!("new ssl cert {path}"), made));
    change.undo.push(format!("del ssl cert {path}"));
    "it is new".clone_into(&mut change.why);
    Ok(change)
}

/// The file of `ca-file` gets another content.
pub fn authorities(path: &str, text: &str, can: Can) -> Result<FileChange, Why> {
    let path = name(path)?;
    let pem = Pem::read(text).map_err(Why::Incomplete)?;
    let ders: Option<Vec<_>> = pem.certificates().map(Block::der).collect();
    let ders = ders.ok_or_else(|| not_base64(path))?;
    if ders.is_empty() {
        return Err(Why::Incomplete("no certificate is in it".to_owned()));
    }
    trust("ca-file", "CA", path, &pem, Proof::Authorities(ders), can)
}

/// The file of `crl-file` gets another content.
pub fn revocations(path: &str, text: &str, can: Can) -> Result<FileChange, Why> {
    let path = name(path)?;
    let pem = Pem::read(text).map_err(Why::Incomplete)?;
    if pem.blocks.is_empty() {
        return Err(Why::Incomplete("no revocation list is in it".to_owned()));
    }
    trust("crl-file", "CRL", path, &pem, Proof::Word, can)
}

fn trust(
    keyword: &str,
    noun: &str,
    path: &str,
    pem: &Pem,
    proof: Proof,
    can: Can,
) -> Result<FileChange, Why> {
    if can.branch() < (2, 5) {
        return Err(Why::Reload(format!(
            "HAProxy {}.{} cannot change a {keyword}",
            can.version.0, can.version.1
        )));
    }
    let payload = pem.blocks.iter().map(Block::text).collect::<Vec<_>>().join("\n");
    let begun = FileReply::line(format!("transaction created for {noun} {path}!"));
    let steps = vec![
        FileStep::with_payload(&format!("set ssl {keyword} {path}"), payload, begun),
        FileStep::new(format!("commit ssl {keyword} {path}"), FileReply::Success),
    ];
    let undo = vec![format!("abort ssl {keyword} {path}")];
    small(FileChange { path: path.to_owned(), why: "its content is another".to_owned(), steps, undo, proof })
}

/// Certificate, chain and key.
fn whole(path: &str, files: &CertificateFiles, can: Can) -> Result<Pem, Why> {
    if can.branch() < (2, 2) {
        return Err(Why::Reload("HAProxy before 2.2 cannot change certificates".to_owned()));
    }
    if files.has_sctl {
        return Err(Why::Reload(format!("no command takes `{path}.sctl`")));
    }
    let mut pem = Pem::read(&files.pem).map_err(Why::Incomplete)?;
    if pem.certificates().next().is_none() {
        return Err(Why::Incomplete("no certificate is in it".to_owned()));
    }
    if !pem.has_key() {
        let key =
            files.key.as_ref().ok_or_else(|| Why::Incomplete("its private key is missing".to_owned()))?;
        let key =
            Pem::read(key).map_err(|what| Why::Incomplete(format!("its key's file is not whole: {what}")))?;
        pem.blocks.extend(key.blocks.into_iter().filter(Block::is_key));
    }
    match pem.blocks.iter().find(|block| block.is_key()) {
        None => Err(Why::Incomplete("its key's file holds no private key".to_owned())),
        Some(key) if key.is_encrypted() => Err(Why::Incomplete(
            "its private key wants a passphrase, which HAProxy cannot be given".to_owned(),
        )),
        Some(_) => Ok(pem),
    }
}

/// HAProxy forgets what was stapled to the old certificate, so it is sent along.
fn extras(path: &str, files: &CertificateFiles) -> Result<Vec<(&'static str, String)>, Why> {
    let issuer = files.issuer.as_ref().map(|text| {
        let pem =
            Pem::read(text).map_err(|what| Why::Incomplete(format!("{path}.issuer is not whole: {what}")))?;
        let block = pem
            .certificates()
            .next()
            .ok_or_else(|| Why::Incomplete(format!("{path}.issuer holds no certificate")))?;
        Ok(("issuer", block.text()))
    });
    let ocsp = files.ocsp.as_ref().map(|bytes| Ok(("ocsp", BASE64_STANDARD.encode(bytes))));
    issuer.into_iter().chain(ocsp).collect()
}

fn not_base64(path: &str) -> Why {
    Why::Incomplete(format!("a certificate in {path} is not base64"))
}

fn small(change: FileChange) -> Result<FileChange, Why> {
    if change.steps.iter().all(fits) {
        Ok(change)
    } else {
        Err(Why::Reload("it is larger than what HAProxy takes in one command".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAN: Can = Can { version: (2, 6, 12) };
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nBAUG\n-----END PRIVATE KEY-----\n";

    fn files(pem: &str) -> CertificateFiles {
        CertificateFiles { pem: pem.to_owned(), ..CertificateFiles::default() }
    }

    fn lines(change: &FileChange) -> Vec<String> {
        change.steps.iter().map(|step| step.line(None)).collect()
    }

    #[test]
    fn a_certificate_and_its_key_go_in_one_payload() {
        let split = CertificateFiles { key: Some(format!("# k\n\n{KEY}")), ..files(CERTIFICATE) };
        let change = certificate("/a.pem", &split, CAN).unwrap();
        assert_eq!(change, certificate("/a.pem", &files(&format!("{CERTIFICATE}\n{KEY}")), CAN).unwrap());
        assert_eq!(lines(&change), ["set ssl cert /a.pem <<", "commit ssl cert /a.pem"]);
        assert_eq!(change.steps[0].payload.as_deref(), Some(format!("{CERTIFICATE}{KEY}").trim_end()));
        assert_eq!(
            (change.undo(None).collect::<Vec<_>>(), change.proof),
            (vec!["abort ssl cert /a.pem".into()], Proof::Certificate(vec![1, 2, 3]))
        );
    }

    #[test]
    fn what_is_stapled_goes_with_it() {
        let text = format!("{CERTIFICATE}{KEY}");
        let stapled =
            CertificateFiles { ocsp: Some(vec![255, 0]), issuer: Some(CERTIFICATE.into()), ..files(&text) };
        let change = new_certificate("/a.pem", &stapled, CAN).unwrap();
        let expected = [
            "new ssl cert /a.pem",
            "set ssl cert /a.pem <<",
            "set ssl cert /a.pem.issuer <<",
            "set ssl cert /a.pem.ocsp <<",
            "commit ssl cert /a.pem",
        ];
        assert_eq!(lines(&change), expected);
        assert_eq!(change.steps[3].payload.as_deref(), Some("/wA="));
        assert!(change.steps[3].expects.accepts("Transaction updated for certificate /a.pem!\n"));
        assert!(
            !change.steps[1].expects.accepts("Transaction updated for certificate /a.pem!\n"),
            "somebody else's transaction"
        );
    }

    #[test]
    fn what_is_not_whole_is_waited_for() {
        let cut = &CERTIFICATE[..40];
        let foreign = CertificateFiles { key: Some(CERTIFICATE.into()), ..files(CERTIFICATE) };
        for unready in [files(""), files(KEY), files(cut), files(CERTIFICATE), foreign] {
            assert!(matches!(certificate("/a.pem", &unready, CAN), Err(Why::Incomplete(_))), "{unready:?}");
        }
        assert!(matches!(authorities("/ca.pem", cut, CAN), Err(Why::Incomplete(_))));
        assert!(matches!(revocations("/crl.pem", "", CAN), Err(Why::Incomplete(_))));
    }

    #[test]
    fn what_no_command_takes_is_left_to_a_reload() {
        let long =
            format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", "AQID\n".repeat(3000));
        let sctl = CertificateFiles { has_sctl: true, ..files(CERTIFICATE) };
        let reload =
            |result: Result<FileChange, Why>| assert!(matches!(result, Err(Why::Reload(_))), "{result:?}");
        reload(certificate("/a.pem", &files(&format!("{long}{KEY}")), CAN));
        reload(certificate("/a.pem", &sctl, CAN));
        reload(certificate("/a b.pem", &files(&format!("{CERTIFICATE}{KEY}")), CAN));
        reload(authorities("/ca.pem", &long, CAN));
        reload(authorities("/ca.pem", CERTIFICATE, Can { version: (2, 4, 0) }));
        assert_eq!(
            lines(&authorities("/ca.pem", CERTIFICATE, CAN).unwrap()),
            ["set ssl ca-file /ca.pem <<", "commit ssl ca-file /ca.pem"]
        );
    }
}
