//! This crate against a real HAProxy in master-worker mode: the installed one, or what `WEIR_TEST_HAPROXY` names. What
//! differs between versions is tried on every one that there is. Where there is no HAProxy they say so.

#![cfg(test)]

mod capabilities;
mod dynamic_servers;
mod files;
mod rig;
mod surroundings;
mod worker;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use weir_haproxy::{
    Attributes, Candidate, Completeness, Haproxy, OperationalState, Reading, ReloadError, Severity,
    ValidateError, Verdict, observe, reload, reload_and_tell, sample, validate,
};
use weir_scaling::ServerState;

use rig::{BOUND, Rig, until};

/// A server that takes connections and never answers.
async fn silent_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

async fn request(front: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(front).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stream
}

#[tokio::test]
async fn processes_and_servers_are_observed() {
    let backend = "    server a:1 127.0.0.1:9 weight 7 id 42\n    server b [::1]:9 disabled\n";
    let Some(rig) = Rig::started(backend).await else { return };
    let processes = rig.haproxy.master().unwrap().show_proc().await.unwrap();
    assert_eq!(processes.master, rig.process.as_ref().unwrap().id());
    assert_eq!((processes.reloads, processes.failed, processes.old_workers.len()), (0, 0, 0));
    assert_eq!(processes.current().unwrap().pid, rig.pid().await);

    let through_stats = observe(&rig.haproxy).await.unwrap();
    let without_stats = Haproxy { stats_socket: None, ..rig.haproxy.clone() };
    let mut through_master = observe(&without_stats).await.unwrap();
    for (server, other) in through_master.servers.iter_mut().zip(&through_stats.servers) {
        server.unchanged_for = other.unchanged_for;
    }
    assert_eq!(through_stats, through_master);
    assert_eq!(through_stats.old_workers, Some(0));
    assert!(through_stats.version.unwrap().at_least(2, 4));
    let [a, b] = &through_stats.servers[..] else { panic!("{:?}", through_stats.servers) };
    assert_eq!((a.name.as_str(), a.id, a.id_is_given, a.weight), ("a:1", 42, true, 7));
    assert_eq!((a.socket_address(), a.op_state), ("127.0.0.1:9".parse().ok(), OperationalState::Running));
    assert!(b.admin_state.configured_maint() && b.admin_state.maint());
}

#[tokio::test]
async fn a_stopped_haproxy_is_a_normal_thing() {
    let Some(mut rig) = Rig::started("    server a 127.0.0.1:9\n").await else { return };
    let mut child = rig.process.take().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    until("the worker ends with its master", || async {
        observe(&rig.haproxy).await.is_ok_and(|seen| !seen.running)
    })
    .await;
    assert!(sample(&rig.haproxy).await.unwrap_err().nobody_listens());
    assert!(matches!(reload(&rig.haproxy).await, Err(ReloadError::NotRunning { .. })));
}

#[tokio::test]
async fn a_sample_tells_served_from_queued() {
    let server = silent_server().await;
    let Some(rig) =
        Rig::started(&format!("    server a {server} maxconn 1\n    server b 127.0.0.1:9 backup\n")).await
    else {
        return;
    };
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(request(rig.front).await);
    }
    until("three wait", || async { rig.samples().await[0].backends[0].queue == 3 }).await;
    let samples = rig.samples().await;
    assert_eq!(samples.len(), 1);
    assert_eq!((samples[0].process.pid, samples[0].leaving), (rig.pid().await, false));
    let web = &samples[0].backends[0];
    assert_eq!((web.name.as_str(), web.sessions), ("web", 4));
    assert_eq!(web.requests, 4, "those that are not answered yet have arrived, too");
    let [a, b] = &web.servers[..] else { panic!("{web:?}") };
    assert_eq!((a.sessions, a.maxconn, a.address, a.state), (1, Some(1), Some(server), ServerState::NoCheck));
    assert!(b.backup && b.maxconn.is_none());

    let stats_only = Haproxy { master_socket: None, ..rig.haproxy.clone() };
    let reading = sample(&stats_only).await.unwrap();
    assert!(matches!(reading.completeness, Completeness::OldWorkersUnknown { .. }));
    assert_eq!(reading.samples[0].process, samples[0].process, "both ways give the same identity");
}

/// What the rate of arrivals is made from: a queue must not hide them, nor a kept connection.
#[tokio::test]
async fn every_request_on_a_kept_connection_counts() {
    let Some(rig) = Rig::started("    http-request return status 200\n").await else { return };
    let mut client = request(rig.front).await;
    for _ in 0..2 {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    }
    until("all three have arrived", || async { rig.samples().await[0].backends[0].requests == 3 }).await;
}

#[tokio::test]
async fn an_old_worker_with_a_connection_is_sampled() {
    let server = silent_server().await;
    let backend = format!("    option abortonclose\n    server a {server}\n");
    let Some(rig) = Rig::started(&backend).await else { return };
    let client = request(rig.front).await;
    until("it is served", || async { rig.samples().await[0].backends[0].sessions == 1 }).await;
    let old = rig.pid().await;
    rig.swap(&rig.text("", &format!("{backend}    server b 127.0.0.1:9\n")));
    let reloaded = reload(&rig.haproxy).await.unwrap();
    assert_eq!(reloaded.process.unwrap().pid, rig.pid().await);
    until("the old one stops", || async { rig.samples().await.iter().any(|sample| sample.leaving) }).await;
    let samples = rig.samples().await;
    let seen: Vec<_> =
        samples.iter().map(|s| (s.process.pid == old, s.leaving, s.backends[0].sessions)).collect();
    assert_eq!(seen, [(false, false, 0), (true, true, 1)]);
    assert_eq!(observe(&rig.haproxy).await.unwrap().old_workers, Some(1));
    drop(client);
    // One that ends while it is asked is missed in that reading.
    let is_alone =
        |reading: Reading| reading.completeness == Completeness::Complete && reading.samples.len() == 1;
    until("the old one ends", || async { sample(&rig.haproxy).await.is_ok_and(is_alone) }).await;
}

#[tokio::test]
async fn twenty_reloads_one_after_another() {
    let Some(rig) = Rig::started("    server a 127.0.0.1:9\n").await else { return };
    for turn in 0..20 {
        rig.swap(&rig.text("", &format!("    server s{turn} 127.0.0.1:9\n")));
        let reloaded = reload(&rig.haproxy).await.unwrap();
        let seen = observe(&rig.haproxy).await.unwrap();
        assert_eq!(seen.process, reloaded.process);
        assert_eq!(seen.servers[0].name, format!("s{turn}"));
    }
    assert_eq!(rig.haproxy.master().unwrap().show_proc().await.unwrap().reloads, 20);
}

#[tokio::test]
async fn a_reload_that_fails_leaves_the_old_worker_and_can_be_repeated() {
    let Some(rig) = Rig::started("    server a 127.0.0.1:9\n").await else { return };
    let before = rig.pid().await;
    for bad in ["    bogus\n", "    bogus2\n"] {
        rig.write("", bad);
        let error = reload(&rig.haproxy).await.unwrap_err();
        assert!(matches!(error, ReloadError::Failed { .. }), "{error}");
        assert_eq!(rig.pid().await, before);
    }
    rig.write("", "    server b 127.0.0.1:9\n");
    assert_ne!(reload(&rig.haproxy).await.unwrap().process.unwrap().pid, before);
}

#[tokio::test]
async fn an_address_in_use_passes_the_check_and_fails_the_reload() {
    let Some(rig) = Rig::started("    server a 127.0.0.1:9\n").await else { return };
    let before = rig.pid().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = format!("    bind {}\n", taken.local_addr().unwrap());
    rig.write(&bind, "    server a 127.0.0.1:9\n");
    assert!(validate(&rig.haproxy, &[]).await.unwrap().is_accepted());
    let error = reload(&rig.haproxy).await.unwrap_err();
    assert!(matches!(error, ReloadError::Failed { .. }), "{error}");
    assert_eq!(rig.pid().await, before);
    drop(taken);
    reload(&rig.haproxy).await.unwrap();
}

#[tokio::test]
async fn a_command_is_verified_by_the_process_that_answers() {
    let Some(rig) = Rig::started("    server a 127.0.0.1:9\n").await else { return };
    let before = rig.pid().await;
    let by = |command: String, seconds| Haproxy {
        reload_command: Some(command),
        master_socket: None,
        reload_timeout: Duration::from_secs(seconds),
        ..rig.haproxy.clone()
    };
    let error = reload(&by("true".into(), 1)).await.unwrap_err();
    assert!(matches!(error, ReloadError::SameProcess { pid, .. } if pid == before), "{error}");
    let master = rig.process.as_ref().unwrap().id();
    let reloaded = reload(&by(format!("kill -USR2 {master}"), 20)).await.unwrap();
    assert_eq!(reloaded.process.unwrap().pid, rig.pid().await);
}

#[tokio::test]
async fn a_haproxy_behind_another_master_socket_runs_and_is_not_asked() {
    let Some(rig) = Rig::started("    server a 127.0.0.1:9\n").await else { return };
    let haproxy = Haproxy { master_socket: Some(rig.path("other.sock")), ..rig.haproxy.clone() };
    let error = reload(&haproxy).await.unwrap_err();
    assert!(matches!(&error, ReloadError::Socket(source) if source.nobody_listens()), "{error}");
    assert!(error.is_before_it_began());
}

#[tokio::test]
async fn a_new_worker_is_told_what_comes_first_before_the_reload_is_over() {
    let Some(rig) = Rig::started("    server a 127.0.0.1:9\n").await else { return };
    let first = ["set server web/a state maint".to_owned()];
    let is_told =
        || async { observe(&rig.haproxy).await.is_ok_and(|seen| seen.servers[0].admin_state.maint()) };
    let (before, over) = (rig.pid().await, rig.path("over"));
    let master = rig.process.as_ref().unwrap().id();
    let command = format!("kill -USR2 {master}; until [ -e {} ]; do sleep 0.01; done", over.display());
    let slow = Haproxy { reload_command: Some(command), ..rig.haproxy.clone() };
    let told = async {
        until("the new one is told", is_told).await;
        fs::write(&over, "").unwrap();
    };
    let (reloaded, ()) = tokio::join!(reload_and_tell(&slow, &first), told);
    assert_ne!(reloaded.unwrap().process.unwrap().pid, before);
    reload(&rig.haproxy).await.unwrap();
    assert!(!is_told().await, "nothing was to be told");
    reload_and_tell(&rig.haproxy, &first).await.unwrap();
    assert!(is_told().await);
}

fn refused(verdict: &Verdict) -> (Option<&Path>, Option<usize>, &str) {
    let message = verdict.headline().unwrap_or_else(|| panic!("{verdict:?}"));
    assert_eq!(message.severity, Severity::Alert);
    (message.file.as_deref(), message.line, &message.text)
}

#[tokio::test]
async fn a_refusal_names_the_target_and_its_line() {
    let Some(rig) = Rig::new() else { return };
    rig.write("", "    server a 127.0.0.1:9\n");
    let target = rig.path("haproxy.cfg");
    let linked = rig.path("linked.cfg");
    symlink("haproxy.cfg", &linked).unwrap();
    let text = rig.text("", "    server a 127.0.0.1:9\n    bogus\n");
    let line = text.lines().count();
    for named in [&target, &linked] {
        let candidate = Candidate::write(named, text.as_bytes(), &Attributes::default()).unwrap().unwrap();
        let verdict = validate(&rig.haproxy, &[candidate.substitution()]).await.unwrap();
        let (file, at, words) = refused(&verdict);
        assert_eq!((file, at), (Some(target.as_path()), Some(line)));
        assert!(words.contains("unknown keyword 'bogus'") && !words.contains("weir-candidate"), "{words}");
    }
    assert!(validate(&rig.haproxy, &[]).await.unwrap().is_accepted(), "the target was never touched");
}

#[tokio::test]
async fn the_whole_load_order_is_checked() {
    let Some(mut rig) = Rig::new() else { return };
    let dir = rig.path("conf.d");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("10-front.cfg"), "frontend f\n    bind 127.0.0.1:1\n    default_backend web\n")
        .unwrap();
    fs::write(dir.join(".hidden.cfg"), "nonsense\n").unwrap();
    fs::write(dir.join("README"), "nonsense\n").unwrap();
    let defaults =
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n";
    fs::write(rig.path("00.cfg"), defaults).unwrap();
    rig.haproxy.config = vec![rig.path("00.cfg"), dir.clone()];
    let verdict = validate(&rig.haproxy, &[]).await.unwrap();
    assert!(refused(&verdict).2.contains("web"), "the backend is missing: {verdict:?}");

    let new = dir.join("50-web.cfg");
    let text = b"backend web\n    server a 127.0.0.1:9\n";
    let candidate = Candidate::write(&new, text, &Attributes::default()).unwrap().unwrap();
    let accepted = validate(&rig.haproxy, &[candidate.substitution()]).await.unwrap();
    assert_eq!(accepted, Verdict::Accepted { warnings: Vec::new() });
    candidate.swap().unwrap();
    assert!(validate(&rig.haproxy, &[]).await.unwrap().is_accepted());
}

#[tokio::test]
async fn what_only_the_exit_code_says_is_said_in_words() {
    let Some(mut rig) = Rig::new() else { return };
    fs::write(rig.path("haproxy.cfg"), "backend web\n    server a 127.0.0.1:9\n").unwrap();
    let verdict = validate(&rig.haproxy, &[]).await.unwrap();
    assert!(refused(&verdict).2.contains("no listener"), "{verdict:?}");
    rig.haproxy.config = vec![rig.path("missing.cfg")];
    let verdict = validate(&rig.haproxy, &[]).await.unwrap();
    assert!(refused(&verdict).2.contains("missing.cfg"), "{verdict:?}");
    let empty = rig.path("empty.d");
    fs::create_dir(&empty).unwrap();
    rig.haproxy.config = vec![empty];
    let verdict = validate(&rig.haproxy, &[]).await.unwrap();
    assert!(refused(&verdict).2.contains("no configuration file"), "{verdict:?}");
}

#[tokio::test]
async fn warnings_come_with_an_acceptance() {
    let Some(rig) = Rig::new() else { return };
    fs::write(rig.path("haproxy.cfg"), "frontend f\n    mode http\n    bind 127.0.0.1:1\n").unwrap();
    let Verdict::Accepted { warnings } = validate(&rig.haproxy, &[]).await.unwrap() else {
        panic!("refused")
    };
    assert!(warnings.iter().any(|warning| warning.text.contains("missing timeouts")), "{warnings:?}");
}

#[tokio::test]
async fn a_check_that_cannot_be_made_is_no_verdict() {
    let config = vec![PathBuf::from("/nonexistent.cfg")];
    let none = Haproxy { binary: "no-such-haproxy".into(), config: config.clone(), ..Haproxy::default() };
    assert!(matches!(validate(&none, &[]).await, Err(ValidateError::NoProgram { .. })));
    let dir = tempfile::tempdir().unwrap();
    let slow = dir.path().join("slow");
    fs::write(&slow, "#!/bin/sh\nsleep 60\n").unwrap();
    fs::set_permissions(&slow, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let check_timeout = Duration::from_millis(100);
    let slow = Haproxy { binary: slow, config, check_timeout, ..Haproxy::default() };
    assert!(matches!(validate(&slow, &[]).await, Err(ValidateError::TimedOut { .. })));
}

#[tokio::test]
async fn traffic_goes_on_over_a_failed_reload() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = format!("    server a {}\n", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await;
        }
    });
    let Some(rig) = Rig::started(&backend).await else { return };
    rig.write("", "    bogus\n");
    reload(&rig.haproxy).await.unwrap_err();
    let mut client = request(rig.front).await;
    let mut status = [0; 12];
    timeout(BOUND, client.read_exact(&mut status)).await.unwrap().unwrap();
    assert_eq!(&status[9..], b"200");
}
