//! Files that others write: a certificate that is renewed on the disk, a map that is edited. No reload, and the worker stays.

use std::path::Path;

use serde_json::Value;

use crate::rig::haproxy::Haproxy;
use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::tls::{Made, handshake, has_openssl, made};
use crate::rig::weir::Weir;
use crate::rig::{Instance, SOON, http, ports, wait_for};

/// A site whose frontend has these lines too, and what runs on it.
struct Running {
    site: Site,
    weir: Weir,
    haproxy: Haproxy,
    /// The worker at the beginning, and how many reloads there were until then.
    pid: String,
    reloads: usize,
    _instances: Vec<Instance>,
}

/// Starts all of it; `files` are written before.
async fn running(site: Site, lines: &str) -> Running {
    let started = instances(["one"]).await;
    site.consul.register("web", "one", started[0].port).await;
    let bind = format!("    bind 127.0.0.1:{}\n", site.front);
    site.write_template(&site.template(SERVERS).replace(&bind, &format!("{bind}{lines}")));
    let mut weir = site.weir();
    let haproxy = site.haproxy().await;
    weir.wait_ready().await;
    let pid = pid(&haproxy).await;
    let mut running = Running { site, weir, haproxy, pid, reloads: 0, _instances: started };
    running.reloads = running.records("reloaded").await.len();
    running
}

async fn pid(haproxy: &Haproxy) -> String {
    wait_for("the worker answers", SOON, async || {
        let info = haproxy.command("show info").await?;
        Some(info.lines().find_map(|line| line.strip_prefix("Pid: "))?.to_owned())
    })
    .await
}

impl Running {
    async fn wait_served(&self, port: u16, name: &str, made: &Made) {
        let what = format!("the new certificate of {name} is served");
        wait_for(&what, SOON, async || (handshake(port, name).await? == made.certificate).then_some(()))
            .await;
    }

    /// The records of a kind, so far.
    async fn records(&self, kind: &str) -> Vec<Value> {
        let status = self.weir.records().await;
        status.into_iter().filter(|record| record["kind"] == kind).collect()
    }

    async fn wait_record(&self, kind: &str, holds: &str) -> Value {
        let what = format!("a record {kind} says {holds:?}");
        wait_for(&what, SOON, async || {
            self.records(kind).await.into_iter().find(|record| record.to_string().contains(holds))
        })
        .await
    }

    /// Nobody reloaded HAProxy.
    async fn assert_no_reload(&self) {
        assert_eq!(pid(&self.haproxy).await, self.pid, "another worker");
        assert_eq!(self.records("reloaded").await.len(), self.reloads);
    }
}

fn rename_over(path: &Path, text: &str) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_served_without_a_reload() {
    let Some(site) = Site::new().await else { return };
    if !has_openssl() {
        return;
    }
    let (tls, file) = (ports::free(), site.path("site.pem"));
    std::fs::write(&file, made(site.dir(), "a.example").pem()).unwrap();
    // As certbot has it: a link that is turned to the newest.
    let live = site.path("live.pem");
    std::fs::write(site.path("live-1.pem"), made(site.dir(), "b.example").pem()).unwrap();
    std::os::unix::fs::symlink("live-1.pem", &live).unwrap();
    let line = format!("    bind 127.0.0.1:{tls} ssl crt {} crt {}\n", file.display(), live.display());
    let mut running = running(site, &line).await;

    let in_place = made(running.site.dir(), "a.example");
    std::fs::write(&file, in_place.pem()).unwrap();
    running.wait_served(tls, "a.example", &in_place).await;
    let renamed = made(running.site.dir(), "a.example");
    rename_over(&file, &renamed.pem());
    running.wait_served(tls, "a.example", &renamed).await;
    let turned = made(running.site.dir(), "b.example");
    std::fs::write(running.site.path("live-2.pem"), turned.pem()).unwrap();
    std::os::unix::fs::symlink("live-2.pem", running.site.path("live.new")).unwrap();
    std::fs::rename(running.site.path("live.new"), &live).unwrap();
    running.wait_served(tls, "b.example", &turned).await;

    // While weir is away, nobody sees the change; started again, it does.
    running.weir.terminate().await;
    let meanwhile = made(running.site.dir(), "a.example");
    rename_over(&file, &meanwhile.pem());
    assert_eq!(handshake(tls, "a.example").await, Some(renamed.certificate));
    running.weir = running.site.weir();
    running.reloads = 0;
    running.wait_served(tls, "a.example", &meanwhile).await;
    running.wait_record("file_changed", "site.pem").await;
    running.assert_no_reload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_key_is_waited_for_and_one_with_a_wrong_key_is_reported() {
    let Some(site) = Site::new().await else { return };
    if !has_openssl() {
        return;
    }
    let (tls, file, key) = (ports::free(), site.path("site.pem"), site.path("site.pem.key"));
    let first = made(site.dir(), "a.example");
    std::fs::write(&file, &first.certificate).unwrap();
    std::fs::write(&key, &first.key).unwrap();
    let line = format!("    bind 127.0.0.1:{tls} ssl crt {}\n", file.display());
    let running = running(site, &line).await;

    let second = made(running.site.dir(), "a.example");
    rename_over(&file, &second.certificate);
    let said =
        running.wait_record("file_failed", "inconsistencies between private key and certificate").await;
    assert!(said["file"].as_str().unwrap().ends_with("/site.pem"), "{said}");
    assert_eq!(handshake(tls, "a.example").await, Some(first.certificate), "the old one stays");
    rename_over(&key, &second.key);
    running.wait_served(tls, "a.example", &second).await;
    running.wait_record("file_changed", "site.pem").await;

    std::fs::remove_file(&key).unwrap();
    running.wait_record("file_failed", "its private key is missing").await;
    assert_eq!(handshake(tls, "a.example").await, Some(second.certificate));
    let third = made(running.site.dir(), "a.example");
    rename_over(&file, &third.pem());
    running.wait_served(tls, "a.example", &third).await;
    running.assert_no_reload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_and_lists_of_patterns_follow_their_files() {
    let Some(site) = Site::new().await else { return };
    let [map, list] = ["hosts.map", "blocked.lst"].map(|name| site.path(name));
    std::fs::write(&map, "/a one\n/b two\n").unwrap();
    std::fs::write(&list, "/x\n").unwrap();
    let lines = format!(
        "    acl blocked path -f {}\n    http-request deny deny_status 403 if blocked\n    \
         http-request return status 200 content-type text/plain lf-string %[path,map({},none)]\n",
        list.display(),
        map.display()
    );
    let running = running(site, &lines).await;
    let front = running.site.front;
    let wait_answer = async |path: &str, expected: (u16, &str)| {
        let what = format!("{path} gives {expected:?}");
        wait_for(&what, SOON, async || {
            let reply = http::get(front, path).await.ok()?;
            (reply.status == expected.0 && (expected.1.is_empty() || reply.body == expected.1)).then_some(())
        })
        .await;
    };
    wait_answer("/a", (200, "one")).await;
    rename_over(&map, "/a three\n/b four\n/c five\n");
    wait_answer("/c", (200, "five")).await;
    wait_answer("/a", (200, "three")).await;
    std::fs::write(&map, "/a three\n/b four\n/c six\n").unwrap();
    wait_answer("/c", (200, "six")).await;
    rename_over(&list, "/x\n/b\n");
    wait_answer("/b", (403, "")).await;
    // It may be cut off, and is waited for; in the end it is what is meant.
    std::fs::write(&map, "").unwrap();
    wait_answer("/a", (200, "none")).await;
    running.assert_no_reload().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_certificates_grows_without_a_reload_and_another_default_is_a_reload() {
    let Some(site) = Site::new().await else { return };
    if !has_openssl() {
        return;
    }
    let (tls, list) = (ports::free(), site.path("list"));
    let write = |name: &str| -> Made {
        let made = made(site.dir(), &format!("{name}.example"));
        std::fs::write(site.path(&format!("{name}.pem")), made.pem()).unwrap();
        made
    };
    let [a, b] = ["a", "b"].map(write);
    let [pem_a, pem_b] = ["a.pem", "b.pem"].map(|name| site.path(name).display().to_string());
    std::fs::write(&list, format!("{pem_a}\n")).unwrap();
    let line = format!("    bind 127.0.0.1:{tls} ssl crt-list {}\n", list.display());
    let running = running(site, &line).await;
    rename_over(&list, &format!("{pem_a}\n{pem_b} b.example\n"));
    running.wait_served(tls, "b.example", &b).await;
    assert_eq!(handshake(tls, "unknown.example").await, Some(a.certificate));
    running.assert_no_reload().await;

    rename_over(&list, &format!("{pem_b} b.example\n{pem_a}\n"));
    running.wait_served(tls, "unknown.example", &b).await;
    running.wait_record("file_needs_reload", "another certificate stands first").await;
    wait_for("the reload is recorded", SOON, async || {
        (running.records("reloaded").await.len() == running.reloads + 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_certificates_grows_and_shrinks_without_a_reload() {
    let Some(site) = Site::new().await else { return };
    if !has_openssl() {
        return;
    }
    let (tls, certificates) = (ports::free(), site.path("certs"));
    std::fs::create_dir(&certificates).unwrap();
    let [a, b] = ["a.example", "b.example"].map(|name| made(site.dir(), name));
    std::fs::write(certificates.join("a.pem"), a.pem()).unwrap();
    let line = format!("    bind 127.0.0.1:{tls} ssl crt {}\n", certificates.display());
    let running = running(site, &line).await;
    // The key first: on its own it is no certificate.
    std::fs::write(certificates.join("b.pem.key"), &b.key).unwrap();
    std::fs::write(certificates.join("b.pem"), &b.certificate).unwrap();
    running.wait_served(tls, "b.example", &b).await;
    std::fs::remove_file(certificates.join("b.pem")).unwrap();
    running.wait_served(tls, "b.example", &a).await;
    running.assert_no_reload().await;
}
