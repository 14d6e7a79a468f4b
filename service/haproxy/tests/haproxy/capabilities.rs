//! What an HAProxy says that it can do, on every one that there is, and whether it can.

use std::fs;
use std::path::PathBuf;

use weir_haproxy::{Capabilities, Haproxy, Level, capabilities, reload};

use crate::rig::{Rig, all};

const BACKEND: &str = "    server a 127.0.0.1:9\n";

#[tokio::test]
async fn both_sockets_say_the_same() {
    for rig in Rig::each(BACKEND).await {
        let can = capabilities(&rig.haproxy).await.unwrap();
        let through_master = Haproxy { stats_socket: None, ..rig.haproxy.clone() };
        assert_eq!(capabilities(&through_master).await.unwrap(), can);

        assert_eq!((can.process.pid, can.level), (rig.pid().await, Level::Admin));
        assert_eq!(can.dynamic_servers, can.version.at_least(2, 6));
        assert_eq!(can.wait_removable, can.version.at_least(3, 0));
        assert_eq!(can.add_server_options.is_some(), can.version.at_least(3, 2));
        assert_eq!(can.bufsize, Some(16_384));
        assert_eq!(can.config_files.as_ref(), Some(&rig.haproxy.config));
    }
}

/// Whether the program says that it was built with OpenSSL.
fn has_openssl(rig: &Rig) -> bool {
    let output = std::process::Command::new(&rig.haproxy.binary).arg("-vv").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_ascii_whitespace().any(|feature| feature == "+OPENSSL")
}

#[tokio::test]
async fn certificates_can_be_changed_in_a_build_with_openssl() {
    for rig in Rig::each(BACKEND).await {
        let can = capabilities(&rig.haproxy).await.unwrap();
        assert_eq!(can.certificates, has_openssl(&rig), "{}", can.version);
        let reply = rig.command("new ssl cert /nonexistent.pem").await;
        assert_eq!(can.certificates, reply.starts_with("New empty certificate store"), "{reply}");
    }
}

#[tokio::test]
async fn a_socket_without_the_right_can_do_nothing() {
    for level in ["operator", "user"] {
        for binary in all() {
            let mut rig = Rig::of(binary);
            let text = rig.text("", BACKEND).replace("level admin", &format!("level {level}"));
            fs::write(rig.path("haproxy.cfg"), text).unwrap();
            rig.start().await;
            let can = capabilities(&rig.haproxy).await.unwrap();
            let expected = if level == "user" { Level::User } else { Level::Operator };
            assert_eq!((can.level, can.dynamic_servers), (expected, false), "{}", can.version);
            assert!(rig.command("add server web/b 127.0.0.1:9").await.contains("Permission denied"));
        }
    }
}

#[tokio::test]
async fn the_files_are_those_of_the_last_reload() {
    for binary in all() {
        let mut rig = Rig::of(binary);
        let dir = rig.path("conf.d");
        fs::create_dir(&dir).unwrap();
        rig.write("", BACKEND);
        rig.haproxy.config.push(dir.clone());
        fs::write(dir.join("10 a.cfg"), "backend ten\n").unwrap();
        rig.start().await;
        let files = |names: &[&str]| -> Vec<PathBuf> {
            let listed = names.iter().map(|name| dir.join(name));
            std::iter::once(rig.path("haproxy.cfg")).chain(listed).collect()
        };
        let before = capabilities(&rig.haproxy).await.unwrap();
        assert_eq!(before.config_files, Some(files(&["10 a.cfg"])), "{}", before.version);

        fs::write(dir.join("05.cfg"), "backend five\n").unwrap();
        let reloaded = reload(&rig.haproxy).await.unwrap();
        let after = capabilities(&rig.haproxy).await.unwrap();
        assert_eq!(Some(after.process), reloaded.process);
        assert_eq!(after.config_files, Some(files(&["05.cfg", "10 a.cfg"])), "{}", after.version);
    }
}

/// Both a single command and as many as go into the line.
async fn assert_longest_line_is_answered(rig: &Rig, can: &Capabilities) {
    let (stats, master) = (rig.haproxy.stats().unwrap(), rig.haproxy.master().unwrap());
    let prefix = format!("@!{} ", can.process.pid);
    let padding = |start: &str| "x".repeat(can.longest_line() - start.len());

    let command = "get weight web/";
    let reply = stats.command(&format!("{command}{}", padding(command))).await.unwrap();
    assert!(reply.starts_with("No such server."), "{}: {reply}", can.version);
    let command = format!("{prefix}{command}");
    let reply = master.command(&format!("{command}{}", padding(&command))).await.unwrap();
    assert!(reply.starts_with("No such server."), "{}, master: {reply}", can.version);

    let command = "get weight web/a;";
    let count = can.longest_line() / command.len();
    let replies = stats.command(&command.repeat(count)).await.unwrap();
    assert_eq!(replies.matches("1 (initial 1)").count(), count, "{}", can.version);
}

#[tokio::test]
async fn the_longest_line_is_answered() {
    for (bufsize, maxrewrite) in [(16_384, 1024), (8192, 8000), (65_536, 1024)] {
        for binary in all() {
            let mut rig = Rig::of(binary);
            let tuning = format!("global\n    tune.bufsize {bufsize}\n    tune.maxrewrite {maxrewrite}\n");
            let text = rig.text("", BACKEND).replacen("global\n", &tuning, 1);
            fs::write(rig.path("haproxy.cfg"), text).unwrap();
            rig.start().await;
            let can = capabilities(&rig.haproxy).await.unwrap();
            let shares_a_pool = bufsize == 65_536 && can.bufsize.is_none();
            assert!(can.bufsize == Some(bufsize) || shares_a_pool, "{}: {:?}", can.version, can.bufsize);
            assert_longest_line_is_answered(&rig, &can).await;
        }
    }
}
