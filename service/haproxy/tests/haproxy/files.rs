//! Maps, lists of patterns and certificates changed in a running HAProxy, with certificates that the `openssl` program makes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_haproxy::{FileError, StatsSocket};
use weir_pools::plan::Can;
use weir_pools::plan::files::{
    CertificateFiles, CertificateList, Entry, FileChange, acl, authorities, certificate, map, map_entries,
    new_certificate, patterns,
};

use crate::rig::{BOUND, Rig, free_port};

const CAN: Can = Can { version: (2, 6, 0) };

/// A rig whose frontend has these lines too, running.
async fn started(lines: impl Fn(&Rig) -> String) -> Option<Rig> {
    let mut rig = Rig::new()?;
    rig.write(&lines(&rig), "    server a 127.0.0.1:9\n");
    rig.start().await;
    Some(rig)
}

impl Rig {
    fn stats(&self) -> StatsSocket {
        self.haproxy.stats().unwrap()
    }

    fn name(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    fn put(&self, file: &str, text: &str) -> String {
        fs::write(self.path(file), text).unwrap();
        self.name(file)
    }
}

/// Whether there is an `openssl` to make certificates with; says so where there is none.
fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: no openssl");
    }
    found
}

/// A new certificate for `name`, and its key.
fn made(dir: &Path, name: &str) -> (String, String) {
    let [key, pem] = [dir.join("made.key"), dir.join("made.pem")];
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "30",
        ])
        .args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&pem)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (fs::read_to_string(pem).unwrap(), fs::read_to_string(key).unwrap())
}

fn pem((certificate, key): &(String, String)) -> String {
    format!("# comment\n\n{certificate}\n{key}")
}

fn files(pem: String) -> CertificateFiles {
    CertificateFiles { pem, ..CertificateFiles::default() }
}

/// The certificate that a new handshake gets which asks for `name`.
async fn handshake(address: SocketAddr, name: &str) -> String {
    let mut client = tokio::process::Command::new("openssl");
    client
        .args(["s_client", "-connect", &address.to_string(), "-servername", name])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(BOUND, client.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let begin = text.find("-----BEGIN CERTIFICATE").unwrap_or_else(|| panic!("no certificate: {text}"));
    let end = text.find("-----END CERTIFICATE-----").unwrap();
    format!("{}-----END CERTIFICATE-----\n", &text[begin..end])
}

/// What is answered to a request for `host`.
async fn ask(front: SocketAddr, host: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(front).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    timeout(BOUND, exchange).await.unwrap()
}

/// A frontend that answers with what it finds in a map.
fn answering(converter: &str, file: &str) -> String {
    format!(
        "    http-request return status 200 content-type text/plain lf-string \"%[req.hdr(host),{converter}({file},none)]\"\n"
    )
}

async fn map_change(rig: &Rig, file: &str, text: &str) -> FileChange {
    let have = rig.stats().entries(true, file).await.unwrap().unwrap();
    map(file, true, &have, &map_entries(text).unwrap(), CAN).unwrap().expect("they differ")
}

#[tokio::test]
async fn what_haproxy_has_loaded_is_listed_by_name() {
    if !has_openssl() {
        return;
    }
    let tls = free_port();
    let rig = started(|rig| {
        let certificate = pem(&made(rig.dir.path(), "a.example"));
        let [a, b, ca] = ["a.pem", "b.pem", "ca.pem"].map(|file| rig.put(file, &certificate));
        let list = rig.put("list", &format!("# c\n{b} [ssl-min-ver TLSv1.2 alpn h2] b.example\n"));
        let [map, acl] = [rig.put("m.map", "x 1\n"), rig.put("a.lst", "y\n")];
        format!(
            "    bind {tls} ssl crt {a} crt-list {list} ca-file {ca} verify optional\n    acl a path -f {acl}\n{}",
            answering("map_beg", &map)
        )
    });
    let Some(rig) = rig.await else { return };
    let loaded = rig.stats().loaded_files().await.unwrap();
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|file| rig.name(file)).collect() };
    assert_eq!(loaded.info.pid, rig.pid().await);
    assert_eq!((loaded.maps, loaded.acls), (set(&["m.map"]), set(&["a.lst"])));
    assert_eq!((loaded.certificates, loaded.crt_lists), (set(&["a.pem", "b.pem"]), set(&["list"])));
    assert_eq!((loaded.authorities, loaded.revocations), (set(&["ca.pem"]), BTreeSet::new()));
    let listed = rig.stats().crt_list(&rig.name("list")).await.unwrap().unwrap();
    let read = CertificateList::read(&fs::read_to_string(rig.path("list")).unwrap(), None).unwrap();
    assert_eq!((&listed[0].line, listed[0].number), (&read.lines[0], 2));
    assert_eq!(rig.stats().certificate(&rig.name("a.pem")).await.unwrap().unwrap().names, ["a.example"]);
    assert_eq!(rig.stats().certificate("/nowhere.pem").await.unwrap(), None);
    assert_eq!(rig.stats().entries(false, "/nowhere.lst").await.unwrap(), None);
}

#[tokio::test]
async fn a_renewed_certificate_is_seen_by_new_handshakes_and_a_wrong_one_changes_nothing() {
    if !has_openssl() {
        return;
    }
    let tls = free_port();
    let rig = started(|rig| {
        format!("    bind {tls} ssl crt {}\n", rig.put("a.pem", &pem(&made(rig.dir.path(), "a.example"))))
    });
    let Some(rig) = rig.await else { return };
    let (stats, file, pid) = (rig.stats(), rig.name("a.pem"), rig.pid().await);
    let [renewed, other] = [made(rig.dir.path(), "a.example"), made(rig.dir.path(), "a.example")];
    assert_ne!(handshake(tls, "a.example").await, renewed.0);
    stats.carry_out(&certificate(&file, &files(pem(&renewed)), CAN).unwrap()).await.unwrap();
    assert_eq!(handshake(tls, "a.example").await, renewed.0);

    let foreign_key = files(pem(&(other.0.clone(), renewed.1)));
    let error = stats.carry_out(&certificate(&file, &foreign_key, CAN).unwrap()).await.unwrap_err();
    assert!(matches!(&error, FileError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("inconsistencies between private key and certificate"), "{error}");
    let garbled = other.0.replace("\nMI", "\nMIAAAA");
    let error =
        stats.carry_out(&certificate(&file, &files(pem(&(garbled, other.1.clone()))), CAN).unwrap()).await;
    assert!(
        matches!(&error, Err(FileError::Refused { reply, .. }) if reply.contains("unable to load certificate")),
        "{error:?}"
    );
    assert_eq!(handshake(tls, "a.example").await, renewed.0);
    assert!(!stats.command("show ssl cert").await.unwrap().contains('*'), "a transaction is left open");

    // The key in a file of its own; and a transaction that a crash left behind.
    stats.command(&format!("abort ssl cert {file}")).await.unwrap();
    let split = CertificateFiles { pem: other.0.clone(), key: Some(other.1), ..CertificateFiles::default() };
    stats.carry_out(&certificate(&file, &split, CAN).unwrap()).await.unwrap();
    assert_eq!((handshake(tls, "a.example").await, rig.pid().await), (other.0, pid));
}

#[tokio::test]
async fn a_transaction_of_somebody_else_is_not_touched_and_an_own_one_is_ended() {
    if !has_openssl() {
        return;
    }
    let tls = free_port();
    let rig = started(|rig| {
        let [a, b] =
            ["a", "b"].map(|name| rig.put(&format!("{name}.pem"), &pem(&made(rig.dir.path(), name))));
        format!("    bind {tls} ssl crt {a} crt {b}\n")
    });
    let Some(rig) = rig.await else { return };
    let stats = rig.stats();
    let [a, b] = [made(rig.dir.path(), "a"), made(rig.dir.path(), "b")];
    let [change_a, change_b] = [("a.pem", &a), ("b.pem", &b)]
        .map(|(file, made)| certificate(&rig.name(file), &files(pem(made)), CAN).unwrap());
    let mut begun = UnixTalk::connect(&stats).await;
    begun.say(&change_a.steps[0].line(None), change_a.steps[0].payload.as_deref().unwrap()).await;
    let error = stats.carry_out(&change_b).await.unwrap_err();
    assert!(
        matches!(&error, FileError::Busy { .. }) && error.to_string().contains(&rig.name("a.pem")),
        "{error}"
    );
    stats.carry_out(&change_a).await.unwrap();
    stats.carry_out(&change_b).await.unwrap();
    assert_eq!([handshake(tls, "a").await, handshake(tls, "b").await], [a.0, b.0]);
}

/// A person on the socket.
struct UnixTalk(tokio::net::UnixStream);

impl UnixTalk {
    async fn connect(stats: &StatsSocket) -> Self {
        Self(tokio::net::UnixStream::connect(stats.path()).await.unwrap())
    }

    async fn say(&mut self, line: &str, payload: &str) {
        self.0.write_all(format!("{line}\n{payload}\n\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("Transaction created"), "{answer}");
    }
}

#[tokio::test]
async fn a_map_changes_at_one_stroke_under_load() {
    let text = |value: &str, count: usize| {
        (0..count).map(|at| format!("host-{at}.example {value}\n")).collect::<Vec<_>>().concat()
    };
    let rig = started(|rig| answering("map", &rig.put("m.map", &text("old", 4000))));
    let Some(rig) = rig.await else { return };
    let (file, pid) = (rig.name("m.map"), rig.pid().await);
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (over, front) = (over.clone(), rig.front);
            tokio::spawn(async move {
                let (mut seen, mut at) = (BTreeMap::<String, usize>::new(), client);
                while !over.load(Ordering::Relaxed) {
                    at = (at + 997) % 4000;
                    *seen.entry(ask(front, &format!("host-{at}.example")).await).or_default() += 1;
                }
                seen
            })
        })
        .collect();
    let mut value = "old";
    for turn in 0..6 {
        value = ["new", "old"][turn % 2];
        let change = map_change(&rig, &file, &text(value, 4000)).await;
        assert!(change.steps.len() > 4, "several batches");
        rig.stats().carry_out(&change).await.unwrap();
        assert_eq!(ask(rig.front, "host-3999.example").await, value);
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        let seen = client.await.unwrap();
        assert!(seen.keys().all(|value| ["old", "new"].contains(&value.as_str())), "{seen:?}");
        assert!(seen.values().sum::<usize>() > 0, "no request was made meanwhile");
    }
    assert_eq!((value, rig.pid().await), ("old", pid));
}

#[tokio::test]
async fn entries_come_go_and_change_one_by_one_and_a_refused_map_leaves_the_old() {
    let rig = started(|rig| answering("map_str_int", &rig.put("m.map", "a 1\nb 2\n")).replace(",none", ",0"));
    let Some(rig) = rig.await else { return };
    let (stats, file) = (rig.stats(), rig.name("m.map"));
    for (text, host, expected) in [
        ("a 1\nb 2\nc 3\n", "c", "3"),
        ("a 1\nb 5\nc 3\n", "b", "5"),
        ("b 5\nc 3\n", "a", "0"),
        ("c 7\nb 8\n", "c", "7"),
    ] {
        stats.carry_out(&map_change(&rig, &file, text).await).await.unwrap();
        assert_eq!(ask(rig.front, host).await, expected, "{text}");
        assert_eq!(stats.entries(true, &file).await.unwrap().unwrap(), map_entries(text).unwrap());
    }
    let error = stats.carry_out(&map_change(&rig, &file, "b 1\nc x\nd 2\n").await).await.unwrap_err();
    assert!(
        matches!(&error, FileError::Refused { reply, .. } if reply.contains("unable to parse 'x'")),
        "{error}"
    );
    assert_eq!(stats.entries(true, &file).await.unwrap().unwrap(), map_entries("c 7\nb 8\n").unwrap());
    let newest = stats.command("show map").await.unwrap();
    let newest = newest.split_once("next_ver=").unwrap().1.split(' ').next().unwrap().to_owned();
    assert_eq!(
        stats.command(&format!("show map @{newest} {file}")).await.unwrap(),
        "\n",
        "a version is left behind"
    );
    let lost = map("/nowhere.map", true, &[], &map_entries("a 1\nb 1\n").unwrap(), CAN).unwrap().unwrap();
    assert!(matches!(stats.carry_out(&lost).await, Err(FileError::Refused { .. })));
}

#[tokio::test]
async fn patterns_of_any_kind_arrive_as_they_are_written() {
    let rig = started(|rig| {
        let list = rig.put("a.lst", "x\n");
        format!(
            "    acl known req.hdr(host) -f {list}\n    http-request return status 200 content-type text/plain string yes if known\n\
                     \x20   http-request return status 200 content-type text/plain string no\n"
        )
    });
    let Some(rig) = rig.await else { return };
    let (stats, file) = (rig.stats(), rig.name("a.lst"));
    let text: String =
        (0..400).map(|at| format!("  name-{at}\n")).chain(["a b;c\\d  e \n".to_owned()]).collect();
    let have = stats.entries(false, &file).await.unwrap().unwrap();
    assert_eq!(have, [Entry { key: "x".into(), value: None }]);
    stats.carry_out(&acl(&file, &have, &patterns(&text).unwrap(), CAN).unwrap().unwrap()).await.unwrap();
    assert_eq!(stats.entries(false, &file).await.unwrap().unwrap(), patterns(&text).unwrap());
    assert_eq!((ask(rig.front, "name-399").await, ask(rig.front, "x").await), ("yes".into(), "no".into()));
}

#[tokio::test]
async fn lines_of_a_list_of_certificates_come_and_go() {
    if !has_openssl() {
        return;
    }
    let tls = free_port();
    let rig = started(|rig| {
        let [a, b] = ["a", "b"].map(|name| {
            rig.put(&format!("{name}.pem"), &pem(&made(rig.dir.path(), &format!("{name}.example"))))
        });
        format!(
            "    bind {tls} ssl crt-list {}\n",
            rig.put("list", &format!("{a}\n{b} [alpn h2,http/1.1]\n"))
        )
    });
    let Some(rig) = rig.await else { return };
    let (stats, list, pid) = (rig.stats(), rig.name("list"), rig.pid().await);
    let c = made(rig.dir.path(), "c.example");
    let [a, b, new] = ["a.pem", "b.pem", "c.pem"].map(|file| rig.name(file));
    let default = handshake(tls, "c.example").await;
    assert_ne!(default, c.0);

    let change = |text: String| {
        let (stats, list) = (&stats, &list);
        async move {
            let wanted = CertificateList::read(&text, None).unwrap();
            let listed = stats.crt_list(list).await.unwrap().unwrap();
            let paths: Vec<String> = wanted.lines.iter().map(|line| line.certificate.clone()).collect();
            let shown = stats.certificates(&paths).await.unwrap();
            let names = shown.into_iter().map(|(path, shown)| (path, shown.names)).collect();
            wanted.change(list, &listed, &names)
        }
    };
    // In the middle: no name of it is served by a line that follows.
    let wider = format!("{a}\n{new} [ssl-min-ver TLSv1.2]\n{b} [alpn h2,http/1.1]\n");
    stats.carry_out(&new_certificate(&new, &files(pem(&c)), CAN).unwrap()).await.unwrap();
    stats.carry_out(&change(wider.clone()).await.unwrap().unwrap()).await.unwrap();
    assert_eq!(handshake(tls, "c.example").await, c.0);
    assert_eq!(change(wider).await.unwrap(), None);
    stats
        .carry_out(&change(format!("{a}\n{new} [ssl-min-ver TLSv1.3]\n")).await.unwrap().unwrap())
        .await
        .unwrap();
    assert_eq!(
        (handshake(tls, "c.example").await, handshake(tls, "b.example").await),
        (c.0, default.clone())
    );
    stats.carry_out(&change(format!("{a}\n")).await.unwrap().unwrap()).await.unwrap();
    assert_eq!(handshake(tls, "c.example").await, default);
    let loaded = stats.loaded_files().await.unwrap();
    assert_eq!((loaded.certificates, rig.pid().await), ([a].into(), pid));
}

#[tokio::test]
async fn authorities_are_replaced() {
    if !has_openssl() {
        return;
    }
    let tls = free_port();
    let rig = started(|rig| {
        let made = made(rig.dir.path(), "a.example");
        let [a, ca] = [rig.put("a.pem", &pem(&made)), rig.put("ca.pem", &made.0)];
        format!("    bind {tls} ssl crt {a} ca-file {ca} verify optional\n")
    });
    let Some(rig) = rig.await else { return };
    let (stats, file) = (rig.stats(), rig.name("ca.pem"));
    let two = made(rig.dir.path(), "one").0 + "\n\n" + &made(rig.dir.path(), "two").0;
    stats.carry_out(&authorities(&file, &two, CAN).unwrap()).await.unwrap();
    assert_eq!(stats.authorities(&file).await.unwrap().unwrap().len(), 2);
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = stats.carry_out(&authorities(&file, garbled, CAN).unwrap()).await;
    assert!(matches!(error, Err(FileError::Refused { .. })), "{error:?}");
    assert_eq!(stats.authorities(&file).await.unwrap().unwrap().len(), 2);
}

/// Certificates of an authority, with OCSP responses.
struct Authority<'a>(&'a Path);

impl Authority<'_> {
    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(self.0).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn new(dir: &Path) -> Authority<'_> {
        let authority = Authority(dir);
        authority
            .openssl("req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=ca -keyout ca.key -out ca.crt");
        authority
    }

    /// The certificate with that number, and its response.
    fn issue(&self, number: u8) -> CertificateFiles {
        let at = |file: &str| self.0.join(file);
        fs::write(at("extensions"), "authorityInfoAccess=OCSP;URI:http://127.0.0.1:9/\n").unwrap();
        fs::write(at("index"), format!("V\t301231235959Z\t\t{number:02X}\tunknown\t/CN=a.example\n"))
            .unwrap();
        self.openssl("req -new -newkey rsa:2048 -nodes -subj /CN=a.example -keyout leaf.key -out leaf.csr");
        self.openssl(&format!(
            "x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -set_serial {number} -days 9 -extfile extensions -out leaf.crt"
        ));
        self.openssl(
            "ocsp -index index -CA ca.crt -rsigner ca.crt -rkey ca.key -issuer ca.crt -cert leaf.crt -respout leaf.der -ndays 2",
        );
        let text = |file: &str| fs::read_to_string(at(file)).unwrap();
        CertificateFiles {
            pem: text("leaf.crt"),
            key: Some(text("leaf.key")),
            issuer: Some(text("ca.crt")),
            ocsp: Some(fs::read(at("leaf.der")).unwrap()),
            has_sctl: false,
        }
    }
}

/// The serial number in the OCSP response that is stapled to a new handshake.
async fn stapled(address: SocketAddr) -> Option<String> {
    let mut client = tokio::process::Command::new("openssl");
    client.args(["s_client", "-connect", &address.to_string(), "-servername", "a.example", "-status"]);
    client.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(BOUND, client.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.split_once("Serial Number: ")?.1.split_whitespace().next()?.to_owned())
}

#[tokio::test]
async fn what_is_stapled_to_a_certificate_is_renewed_with_it() {
    if !has_openssl() {
        return;
    }
    let tls = free_port();
    let rig = started(|rig| {
        let first = Authority::new(rig.dir.path()).issue(0x11);
        let a = rig.put("a.pem", &first.pem);
        rig.put("a.pem.key", first.key.as_ref().unwrap());
        rig.put("a.pem.issuer", first.issuer.as_ref().unwrap());
        fs::write(rig.path("a.pem.ocsp"), first.ocsp.unwrap()).unwrap();
        format!("    bind {tls} ssl crt {a}\n")
    });
    let Some(rig) = rig.await else { return };
    assert_eq!(stapled(tls).await.as_deref(), Some("11"));
    let second = Authority(rig.dir.path()).issue(0x22);
    rig.stats().carry_out(&certificate(&rig.name("a.pem"), &second, CAN).unwrap()).await.unwrap();
    assert_eq!(handshake(tls, "a.example").await, second.pem);
    assert_eq!(stapled(tls).await.as_deref(), Some("22"));
}
