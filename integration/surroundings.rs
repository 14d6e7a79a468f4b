//! What happens to the process from outside: signals, a log that nobody reads, files that are in the way.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rig::site::{SERVERS, Site, instances};
use crate::rig::weir::{command, run, said};
use crate::rig::{SOON, ports, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_sources_and_other_signals_do_nothing() {
    let Some(site) = Site::new().await else { return };
    let [one] = &instances(["one"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up().await;
    for signal in [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGPIPE, Signal::SIGHUP] {
        weir.signal(signal);
    }
    wait_for("weir says it", SOON, async || weir.log().contains("SIGHUP").then_some(())).await;
    weir.must_run();
    haproxy.wait_servers("web", &[one.server()], SOON).await;
    assert!(weir.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nothing() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    site.write_template(&site.template(SERVERS));
    let mut daemon = tokio::process::Command::from(command());
    daemon.arg("run").arg("-c").arg(site.write_config()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut weir = daemon.spawn().unwrap();
    drop(weir.stderr.take());
    let haproxy = site.haproxy().await;
    haproxy.wait_servers("web", &[one.server()], SOON).await;
    // Each of these makes it log.
    site.write_template("{{no such");
    site.consul.register("web", "two", two.port).await;
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    assert_eq!(weir.try_wait().unwrap(), None, "weir ended");
    kill(Pid::from_raw(weir.id().unwrap().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let ended = tokio::time::timeout(SOON, weir.wait()).await.expect("weir ends").unwrap();
    assert!(ended.success(), "{ended}");
}

async fn weir(args: &[&str], config: &Path) -> Output {
    run(args.iter().map(PathBuf::from).chain([config.to_owned()]).collect()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_weir_gets_no_state_directory() {
    let Some(site) = Site::new().await else { return };
    let [one] = &instances(["one"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (mut first, _haproxy) = site.up().await;
    let text = std::fs::read_to_string(site.path("weir.hcl")).unwrap();
    let options = text.replace("weir.sock", "other.sock");
    let (options, _) = options.split_once("http {").unwrap();
    let second = site.path("second.hcl");
    std::fs::write(&second, format!("{options}http {{ address = \"127.0.0.1:{}\" }}\n", ports::free()))
        .unwrap();
    for args in [&["run", "-c"][..], &["render", "--once", "-c"]] {
        let output = weir(args, &second).await;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("another weir uses this state directory"), "{args:?}: {said}");
        assert!(said.contains(&site.path("state").display().to_string()), "{args:?}: {said}");
    }
    assert!(!site.path("other.sock").exists(), "a start that fails leaves its socket behind");
    let output = weir(&["render", "--once", "--dry", "-c"], &second).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(first.terminate().await.success());
    let output = weir(&["render", "--once", "-c"], &second).await;
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_becomes_a_fifo_is_refused_and_holds_up_nothing() {
    let Some(site) = Site::new().await else { return };
    let [one, two] = &instances(["one", "two"]).await[..] else { unreachable!() };
    site.consul.register("web", "one", one.port).await;
    let (mut weir, haproxy) = site.up().await;
    let fifo = site.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::rename(fifo, site.path("haproxy.cfg.hbs")).unwrap();
    weir.wait_status("the FIFO is complained of", SOON, |status| {
        let error = status["templates"][0]["error"].as_str().unwrap_or_default();
        error.contains("haproxy.cfg.hbs") && error.contains("not a regular file")
    })
    .await;
    site.consul.register("web", "two", two.port).await;
    haproxy.wait_servers("web", &[one.server(), two.server()], SOON).await;
    let asked = Instant::now();
    assert!(weir.terminate().await.success());
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
}
