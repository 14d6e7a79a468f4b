//! The check sees what a reload will see: environment, directory and user of the running master.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use weir_haproxy::{Haproxy, ValidateError, reload, validate};

use crate::rig::{Rig, all};

async fn accepts(haproxy: &Haproxy) -> bool {
    validate(haproxy, &[]).await.unwrap().is_accepted()
}

/// A frontend whose maxconn stands in the environment: without the variable HAProxy refuses it.
const LIMITED: &str = "    maxconn \"${WEIR_TEST_LIMIT}\"\n";

#[tokio::test]
async fn variables_are_those_of_the_running_haproxy() {
    for binary in all() {
        let mut rig = Rig::of(binary);
        rig.write(LIMITED, "");
        assert!(!accepts(&rig.haproxy).await, "weir does not have the variable");
        rig.environment = vec![("WEIR_TEST_LIMIT", "7")];
        rig.start().await;
        assert!(accepts(&rig.haproxy).await, "the master has it");
        let before = rig.pid().await;
        assert_ne!(reload(&rig.haproxy).await.unwrap().process.unwrap().pid, before);
        assert!(accepts(&rig.haproxy).await, "after a reload too");
        // What only weir has is not there.
        rig.write("    .if defined(CARGO_MANIFEST_DIR)\n    bogus\n    .endif\n", "");
        assert!(accepts(&rig.haproxy).await);
        let alone = Haproxy { stats_socket: None, ..rig.haproxy.clone() };
        assert!(!accepts(&alone).await);
    }
}

#[tokio::test]
async fn a_file_gives_variables_where_no_haproxy_runs() {
    let Some(mut rig) = Rig::new() else { return };
    rig.write(LIMITED, "");
    let file = rig.path("env");
    rig.haproxy.environment_file = Some(file.clone());
    let Err(ValidateError::Surroundings(error)) = validate(&rig.haproxy, &[]).await else {
        panic!("the file is missing")
    };
    assert!(error.to_string().contains("environment_file"), "{error}");
    fs::write(&file, "WEIR_TEST_LIMIT=7\n").unwrap();
    assert!(accepts(&rig.haproxy).await);
    fs::write(&file, "# WEIR_TEST_LIMIT=7\n").unwrap();
    assert!(!accepts(&rig.haproxy).await);
}

#[tokio::test]
async fn relative_paths_start_where_the_master_was_started() {
    for binary in all() {
        let mut rig = Rig::of(binary);
        let dir = rig.path("home");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("known.lst"), "/a\n").unwrap();
        rig.write("    acl known path -f known.lst\n", "");
        assert!(!accepts(&rig.haproxy).await, "there is no such file where the test runs");
        rig.directory = Some(dir);
        rig.start().await;
        if !fs::exists("/proc/self/cwd").unwrap() {
            eprintln!("skipped: this system does not show where a process was started");
            return;
        }
        assert!(accepts(&rig.haproxy).await);
        rig.write("    acl known path -f unknown.lst\n", "");
        assert!(!accepts(&rig.haproxy).await);
    }
}

#[tokio::test]
async fn the_check_runs_as_the_user_that_haproxy_runs_as() {
    let Some(mut rig) = Rig::new() else { return };
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can be another user");
        return;
    }
    // The directory is open, the list is root's alone.
    fs::set_permissions(rig.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let list = rig.path("secret.lst");
    fs::write(&list, "/a\n").unwrap();
    fs::set_permissions(&list, fs::Permissions::from_mode(0o600)).unwrap();
    rig.write(&format!("    acl known path -f {}\n", list.display()), "");
    assert!(accepts(&rig.haproxy).await, "root reads everything");
    rig.haproxy.check_user = Some("nobody".into());
    assert!(!accepts(&rig.haproxy).await);
    rig.haproxy.check_user = Some("no such user".into());
    assert!(validate(&rig.haproxy, &[]).await.unwrap_err().to_string().contains("no such user"));
}
