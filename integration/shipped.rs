//! What is shipped works as it stands: the templates pass HAProxy's check, the jobs pass weir's.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::consul::Consul;
use crate::rig::haproxy;
use crate::rig::weir::{run, said};

/// In the order in which HAProxy loads them.
const TEMPLATES: [&str; 3] = ["haproxy.cfg", "php-fpm.cfg", "valkey.cfg"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The template's own paths do not exist on the machine that tests it: other places, same text.
fn relocated(text: &str, dir: &Path) -> String {
    let dir = dir.display();
    text.replace("/usr/local/etc/ssl/haproxy", &format!("{dir}/certs"))
        .replace("/var/run/", &format!("{dir}/"))
        .replace("    user www\n", "")
        .replace("    group www\n", "")
        .replace("    chroot /var/empty\n", "")
}

fn certificate(dir: &Path) -> bool {
    std::fs::create_dir_all(dir.join("certs")).unwrap();
    let pem = dir.join("certs/test.pem");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test", "-keyout"])
        .arg(&pem)
        .arg("-out")
        .arg(dir.join("cert"))
        .output();
    let made = made.is_ok_and(|output| output.status.success());
    if made {
        let whole =
            std::fs::read_to_string(&pem).unwrap() + &std::fs::read_to_string(dir.join("cert")).unwrap();
        std::fs::write(pem, whole).unwrap();
    }
    made
}

/// Instances of the services that the template reads.
async fn fill(consul: &Consul) {
    let pools =
        [("web", 3), ("api", 2), ("admin", 1), ("app-php", 2), ("valkey-primary", 1), ("valkey-replica", 2)];
    for (service, count) in pools {
        for n in 0..count {
            consul.register(service, &format!("{service}-{n}"), 8_000 + n).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_templates_render_to_what_haproxy_accepts() {
    let Some(haproxy) = haproxy::binary() else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(consul) = Consul::start(dir.path()).await else { return };
    if !certificate(dir.path()) {
        crate::rig::process::skipped("openssl");
        return;
    }
    fill(&consul).await;
    let place = dir.path().display();
    let blocks = TEMPLATES.map(|name| {
        let template =
            std::fs::read_to_string(repository().join("templates").join(format!("{name}.hbs"))).unwrap();
        std::fs::write(dir.path().join(format!("{name}.hbs")), relocated(&template, dir.path())).unwrap();
        format!("template {{\n  source = \"{place}/{name}.hbs\"\n  destination = \"{place}/{name}\"\n}}\n")
    });
    let config = format!(
        "state_dir = \"{place}/state\"\ncontrol = \"{place}/weir.sock\"\n\
         consul {{\n  address = \"{}\"\n}}\n{}",
        consul.address(),
        blocks.concat(),
    );
    std::fs::write(dir.path().join("weir.hcl"), config).unwrap();
    let mut args: Vec<PathBuf> =
        ["render", "--once", "--dry", "--wait", "30s", "-c"].map(PathBuf::from).into();
    args.push(dir.path().join("weir.hcl"));
    let dry = run(args.clone()).await;
    assert!(dry.status.success(), "{}", said(&dry));
    assert!(
        String::from_utf8_lossy(&dry.stdout).contains("server 127.0.0.1:8000 127.0.0.1:8000"),
        "{}",
        said(&dry)
    );
    assert!(!dir.path().join("haproxy.cfg").exists(), "--dry writes nothing");

    args.retain(|arg| arg.as_os_str() != "--dry");
    let real = run(args).await;
    assert!(real.status.success(), "{}", said(&real));
    let files = TEMPLATES.iter().flat_map(|name| [PathBuf::from("-f"), dir.path().join(name)]);
    let check = Command::new(haproxy).arg("-c").args(files).args(["-L", "lb1"]).output().unwrap();
    assert!(check.status.success(), "{}", said(&check));
    assert!(!said(&check).contains("[WARNING]"), "{}", said(&check));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_jobs_have_policies_that_weir_has_nothing_against() {
    let jobs = ["web", "php-fpm", "valkey"];
    let files = jobs.iter().map(|name| repository().join(format!("jobs/{name}.nomad.hcl")));
    let args = ["policy", "check"].map(PathBuf::from).into_iter();
    let output = run(args.chain(files).collect()).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("no problems found"), "{}", said(&output));
}
