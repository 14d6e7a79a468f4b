//! Which files a worker has loaded, and what it has of them now.
//!
//! Out: [`LoadedFiles`], the names as HAProxy has them; the entries of a map; a certificate; the lines of a list of certificates. A file
//! that HAProxy does not know is `None`. Fails where the socket gives no usable answer.

use std::collections::BTreeSet;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use weir_pools::plan::files::{Entry, Listed, listed};

use crate::exchange::SocketError;
use crate::process_info::ProcessInfo;
use crate::session::Session;
use crate::stats_socket::StatsSocket;

/// The files of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedFiles {
    /// Whose.
    pub info: ProcessInfo,
    /// Maps; also those that an ACL uses too.
    pub maps: BTreeSet<String>,
    /// Lists of patterns.
    pub acls: BTreeSet<String>,
    /// Certificates.
    pub certificates: BTreeSet<String>,
    /// Lists and directories of certificates.
    pub crt_lists: BTreeSet<String>,
    /// Files of `ca-file`.
    pub authorities: BTreeSet<String>,
    /// Files of `crl-file`.
    pub revocations: BTreeSet<String>,
}

/// A certificate as HAProxy describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShownCertificate {
    /// SHA-1 of it in DER, in capital letters; empty where there is none in it yet.
    pub fingerprint: String,
    /// The names that it is for, its common name among them.
    pub names: Vec<String>,
}

impl ShownCertificate {
    /// Whether it is this one, given in DER.
    pub fn is(&self, der: &[u8]) -> bool {
        self.fingerprint == fingerprint(der)
    }
}

/// SHA-1 in capital letters, as HAProxy prints it: it tells certificates apart, no more.
pub fn fingerprint(der: &[u8]) -> String {
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, der);
    digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}"))
}

impl StatsSocket {
    /// The files of the worker in force.
    pub async fn loaded_files(&self) -> Result<LoadedFiles, SocketError> {
        let mut session = self.session().await?;
        let info = session.say("show info", None).await?;
        let info = ProcessInfo::parse(&info, std::time::SystemTime::now()).map_err(|problem| {
            SocketError::unexpected(self.path(), "show info", problem.to_string(), &info)
        })?;
        let maps = patterns(&session.say("show map", None).await?);
        let acls = patterns(&session.say("show acl", None).await?);
        Ok(LoadedFiles {
            info,
            acls: acls.difference(&maps).cloned().collect(),
            maps,
            certificates: named(&session.say("show ssl cert", None).await?),
            crt_lists: lines(&session.say("show ssl crt-list", None).await?),
            authorities: named(&session.say("show ssl ca-file", None).await?),
            revocations: named(&session.say("show ssl crl-file", None).await?),
        })
    }

    /// What a map or a list of patterns holds.
    pub async fn entries(&self, is_map: bool, path: &str) -> Result<Option<Vec<Entry>>, SocketError> {
        self.session().await?.entries(is_map, path).await
    }

    /// A certificate.
    pub async fn certificate(&self, path: &str) -> Result<Option<ShownCertificate>, SocketError> {
        self.session().await?.certificate(path).await
    }

    /// The certificates of those names.
    pub async fn certificates(
        &self,
        paths: &[String],
    ) -> Result<Vec<(String, ShownCertificate)>, SocketError> {
        let (mut session, mut found) = (self.session().await?, Vec::new());
        for path in paths {
            found.extend(session.certificate(path).await?.map(|shown| (path.clone(), shown)));
        }
        Ok(found)
    }

    /// The SHA-1 of each authority in a file of `ca-file`, in capital letters.
    pub async fn authorities(&self, path: &str) -> Result<Option<BTreeSet<String>>, SocketError> {
        self.session().await?.authorities(path).await
    }

    /// The lines of a list or a directory of certificates.
    pub async fn crt_list(&self, path: &str) -> Result<Option<Vec<Listed>>, SocketError> {
        self.session().await?.crt_list(path).await
    }
}

impl Session {
    pub(crate) async fn entries(
        &mut self,
        is_map: bool,
        path: &str,
    ) -> Result<Option<Vec<Entry>>, SocketError> {
        let noun = if is_map { "map" } else { "acl" };
        let reply = self.say(&format!("show {noun} {path}"), None).await?;
        let is_unknown = reply.starts_with("Unknown ");
        Ok((!is_unknown).then(|| reply.lines().filter_map(|line| entry(line, is_map)).collect()))
    }

    pub(crate) async fn certificate(&mut self, path: &str) -> Result<Option<ShownCertificate>, SocketError> {
        let reply = self.say(&format!("show ssl cert {path}"), None).await?;
        Ok(reply.starts_with("Filename: ").then(|| shown(&reply)))
    }

    pub(crate) async fn authorities(&mut self, path: &str) -> Result<Option<BTreeSet<String>>, SocketError> {
        let reply = self.say(&format!("show ssl ca-file {path}"), None).await?;
        let fingerprints = reply.lines().filter_map(|line| line.strip_prefix("SHA1 FingerPrint: "));
        Ok(reply.starts_with("Filename: ").then(|| fingerprints.map(str::to_owned).collect()))
    }

    pub(crate) async fn crt_list(&mut self, path: &str) -> Result<Option<Vec<Listed>>, SocketError> {
        Ok(listed(&self.say(&format!("show ssl crt-list -n {path}"), None).await?))
    }

    /// The certificate that a transaction is open for, begun and not ended by somebody.
    pub(crate) async fn open_transaction(&mut self) -> Result<Option<String>, SocketError> {
        let reply = self.say("show ssl cert", None).await?;
        Ok(reply.lines().find_map(|line| line.strip_prefix('*')).map(str::to_owned))
    }
}

/// The files in `show map` and `show acl`. Lists that stand in the configuration itself have none.
fn patterns(reply: &str) -> BTreeSet<String> {
    let file = |line: &str| {
        let (number, rest) = line.split_once(" (")?;
        number.parse::<i64>().ok()?;
        Some(rest.split_once(") pattern loaded from file '")?.0.to_owned())
    };
    reply.lines().filter_map(file).filter(|name| is_file(name)).collect()
}

/// The names below the heading `# filename`.
fn named(reply: &str) -> BTreeSet<String> {
    let names = reply.lines().skip_while(|line| *line != "# filename").skip(1);
    let name = |line: &str| line.split(" - ").next().unwrap_or(line).to_owned();
    names.map(name).filter(|name| is_file(name)).collect()
}

/// One name per line. HAProxy without TLS does not know the command and says more.
fn lines(reply: &str) -> BTreeSet<String> {
    let known = !reply.starts_with("Unknown command");
    reply.lines().filter(|line| known && is_file(line)).map(str::to_owned).collect()
}

/// `@system-ca`, `virt@…` and `@store/…` are no files by these names.
fn is_file(name: &str) -> bool {
    !name.is_empty() && !name.contains('@') && !name.starts_with('*')
}

/// A line such as `0x55d0 KEY VALUE`.
fn entry(line: &str, is_map: bool) -> Option<Entry> {
    let (_, text) = line.split_once(' ').filter(|(address, _)| address.starts_with("0x"))?;
    if !is_map {
        return Some(Entry { key: text.to_owned(), value: None });
    }
    let (key, value) = text.split_once(' ').unwrap_or((text, ""));
    Some(Entry { key: key.to_owned(), value: Some(value.to_owned()) })
}

fn shown(reply: &str) -> ShownCertificate {
    let field = |name: &str| reply.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let alternatives = field("Subject Alternative Name").unwrap_or_default();
    let alternatives = alternatives.split(", ").filter_map(|name| name.strip_prefix("DNS:"));
    let common = field("Subject").unwrap_or_default().split('/').filter_map(|part| part.strip_prefix("CN="));
    ShownCertificate {
        fingerprint: field("SHA1 FingerPrint").unwrap_or_default().to_owned(),
        names: alternatives.chain(common).map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_read_from_each_list() {
        let maps = "# id (file) description\n0 (/e/a (1).map) pattern loaded from file '/e/a (1).map' used by map at file '/h' line 1. curr_ver=0\n\
            2 () acl 'src' file '/h' line 13. curr_ver=0 next_ver=0 entry_cnt=0\n-1 (virt@x) pattern loaded from file 'virt@x' used by map\n";
        assert_eq!(patterns(maps), set(&["/e/a (1).map"]));
        let certificates = "# transaction\n*/e/b.pem\n# filename\n/e/a.pem\n/e/b.pem\n@store/c\n";
        assert_eq!(named(certificates), set(&["/e/a.pem", "/e/b.pem"]));
        assert_eq!(
            named("# filename\n/e/ca.pem - 1 certificate(s)\n@system-ca - 145 certificate(s)\n"),
            set(&["/e/ca.pem"])
        );
        assert_eq!(lines("/e/dir\n/e/list\n"), set(&["/e/dir", "/e/list"]));
        let unknown = "Unknown command: 'show ssl crt-list', but maybe one of the following ones is a better match:\n  show info\n";
        assert!(lines(unknown).is_empty() && named(unknown).is_empty());
    }

    #[test]
    fn entries_keep_their_blanks() {
        let read = |line, is_map| entry(line, is_map).map(|entry| (entry.key, entry.value));
        assert_eq!(read("0x5 a one two", true), Some(("a".into(), Some("one two".into()))));
        assert_eq!(read("0x5 a ", true), Some(("a".into(), Some(String::new()))));
        assert_eq!(read("0x5 a b ", false), Some(("a b ".into(), None)));
        assert_eq!(read("", true), None);
    }

    #[test]
    fn a_certificate_tells_its_names() {
        let reply = "Filename: /e/b.pem\nStatus: Used\nSubject Alternative Name: DNS:b.example, DNS:*.b.example\n\
            SHA1 FingerPrint: EBA7\nSubject: /O=x/CN=b.example\nIssuer: /CN=ca\n";
        let shown = shown(reply);
        assert_eq!(shown.names, ["*.b.example", "b.example"]);
        assert_eq!(shown.fingerprint, "EBA7");
    }
}
