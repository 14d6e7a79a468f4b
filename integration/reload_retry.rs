//! A reload that fails is tried again until it works, also across a restart of weir.

use std::path::Path;

use crate::rig::SOON;
use crate::rig::site::{Reload, SERVERS, Site, instances};

/// A command that fails `times` times and then reloads the rig's HAProxy; with `times` empty it fails until the
/// file `allowed` is there.
fn script(dir: &Path, times: Option<u32>) -> String {
    let fails = match times {
        Some(times) => format!("[ \"$(wc -l <{0}/tries)\" -le {times} ]", dir.display()),
        None => format!("[ ! -e {}/allowed ]", dir.display()),
    };
    let text = format!(
        "#!/bin/sh\necho try >>{0}/tries\nif {fails}; then\n  echo not yet >&2\n  exit 1\nfi\n\
         kill -USR2 \"$(cat {0}/haproxy.pid)\"\n",
        dir.display()
    );
    let file = dir.join("reload.sh");
    std::fs::write(&file, text).unwrap();
    format!("sh {}", file.display())
}

fn tries(dir: &Path) -> usize {
    std::fs::read_to_string(dir.join("tries")).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_twice_is_retried_until_it_works() {
    let Some(mut site) = Site::new().await else { return };
    site.balance = "static-rr";
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    site.reload = Reload::Command(script(site.dir(), Some(2)));
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up().await;
    // HAProxy was down when the first file was written, so whether that made a try is weir's own business.
    std::fs::write(site.path("tries"), "").unwrap();
    site.consul.register("web", "two", two.port).await;
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    assert!(tries(site.dir()) >= 3, "{} tries", tries(site.dir()));
    let status = weir
        .wait_status("the reload is done", SOON, |status| status["haproxy"][0]["last_reload"]["ok"] == true)
        .await;
    assert_eq!(status["haproxy"][0]["reload_pending"], false, "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_is_due_survives_a_restart_of_weir() {
    let Some(mut site) = Site::new().await else { return };
    site.balance = "static-rr";
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    site.reload = Reload::Command(script(site.dir(), None));
    site.consul.register("web", "one", one.port).await;
    site.write_template(&site.template(SERVERS));
    let mut weir = site.weir();
    let haproxy = site.haproxy().await;
    site.consul.register("web", "two", two.port).await;
    // The reload that fails is the one for both: the first text may already have wanted one.
    let failed = |status: &serde_json::Value| {
        let haproxy = &status["haproxy"][0];
        let both = haproxy["pools"][0]["servers"].as_array().is_some_and(|servers| servers.len() == 2);
        both && haproxy["last_reload"]["ok"] == false && haproxy["reload_pending"] == true
    };
    let status = weir.wait_status("the reload has failed", SOON, failed).await;
    let error = status["haproxy"][0]["last_reload"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("not yet"), "the command's own words are shown: {status:#}");
    assert!(weir.terminate().await.success());
    assert!(site.rendered().contains(&two.server()), "the file is written already:\n{}", site.rendered());
    haproxy.wait_servers("web", &[one.server()], SOON).await;

    std::fs::write(site.path("allowed"), "").unwrap();
    let _weir = site.weir();
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    site.wait_answering(&["one", "two"], SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_hangs_ends_at_the_reload_timeout_and_weir_is_not_ready() {
    let Some(mut site) = Site::new().await else { return };
    site.balance = "static-rr";
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    let hangs = format!(
        "[ ! -e {0}/hangs ] || sleep 60; kill -USR2 \"$(cat {0}/haproxy.pid)\"",
        site.dir().display()
    );
    site.reload = Reload::Command(hangs);
    site.haproxy_options = "reload_timeout = \"1s\"".to_owned();
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up().await;
    std::fs::write(site.path("hangs"), "").unwrap();
    site.consul.register("web", "two", two.port).await;
    let failed = |status: &serde_json::Value| status["haproxy"][0]["last_reload"]["ok"] == false;
    // Well before the half minute that a command had once.
    let status = weir.wait_status("the reload has failed", SOON, failed).await;
    let error = status["haproxy"][0]["last_reload"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("`reload_timeout`"), "{error}");
    assert_eq!(status["ready"], false, "{status:#}");
    assert!(status["reasons"][0].as_str().is_some_and(|reason| reason.contains("reload")), "{status:#}");
    assert_eq!(weir.answers("/ready").await, Some(503));
    assert!(weir.metrics().await.contains("weir_reload_pending{haproxy=\"\"} 1"));
    std::fs::remove_file(site.path("hangs")).unwrap();
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    weir.wait_ready().await;
}
