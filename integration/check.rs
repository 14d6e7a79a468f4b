//! `weir check` reports every mistake at once, each with its file and line, and advises on the rest.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rig::haproxy;
use crate::rig::weir::{run, said};

async fn check(files: &[&Path]) -> (Option<i32>, String) {
    let mut args: Vec<PathBuf> = ["check", "-c"].map(PathBuf::from).into();
    args.extend(files.iter().map(|file| file.to_path_buf()));
    let output = run(args).await;
    (output.status.code(), said(&output))
}

const MISTAKEN: &str = "\
block_query_wait = \"60 parsecs\"
consul {
  adress = \"127.0.0.1:8500\"
}
template {
  source = \"DIR/web.hbs\"
  destination = \"DIR/haproxy.cfg\"
}
template {
  contents = \"no destination\"
}
haproxy {
  config = [\"DIR/haproxy.cfg\"]
  master_socket = \"DIR/master.sock\"
}
";

const TEMPLATE: &str = "\
backend web
{{#each (servise \"web\")}}
    server {{Server}} {{Address}}:{{Port}}
{{/each}}
{{#each (service \"web\")}}
    server {{Server}} {{Adress}}:{{Port}}
{{/each}}
";

#[tokio::test(flavor = "multi_thread")]
async fn five_mistakes_are_reported_with_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().display().to_string();
    let config = dir.path().join("weir.hcl");
    std::fs::write(&config, MISTAKEN.replace("DIR", &place)).unwrap();
    std::fs::write(dir.path().join("web.hbs"), TEMPLATE).unwrap();
    let (code, said) = check(&[&config]).await;
    assert_eq!(code, Some(1), "{said}");
    let expected = [
        ("weir.hcl:1:", "60 parsecs"),
        ("weir.hcl:3:", "address"),
        ("weir.hcl:9:", "destination"),
        ("web.hbs:2:", "servise"),
        ("web.hbs:6:", "Adress"),
    ];
    for (line, word) in expected {
        let found = said.lines().any(|said| said.contains(line) && said.contains(word));
        assert!(found, "no line with {line} and {word:?} in\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_configuration_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.hcl");
    let text = format!(
        "template {{\n  contents = \"x\"\n  destination = \"{}\"\n}}\n",
        dir.path().join("out").display()
    );
    std::fs::write(&config, text).unwrap();
    let (code, said) = check(&[&config]).await;
    assert_eq!((code, said.contains(".hcl:")), (Some(0), false), "{said}");
}

/// A configuration in two files, the first of them a template; HAProxy's version is not known to weir.
const ADVISED: &str = "\
template {
  source = \"DIR/pools.hbs\"
  destination = \"DIR/conf.d/50.cfg\"
}
haproxy {
  config = [\"DIR/conf.d\"]
  binary = \"DIR/no-haproxy\"
  stats_socket = \"DIR/stats.sock\"
  master_socket = \"DIR/master.sock\"
}
";

const STATIC: &str = "\
global
    stats socket DIR/stats.sock mode 600
defaults base
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend f from base
    bind 127.0.0.1:8099
    default_backend web
";

const POOLS: &str = "\
{{!-- The pools.
--}}
backend web from base
    balance random
    default-server check inter 1s
{{#each (service \"web\")}}
    server {{Server}} {{Address}}:{{Port}}
{{/each}}
backend api from base
    balance source
{{#each (service \"api\")}}    server {{Server}} {{Address}}:{{Port}} id {{ServerId}}{{#if ServiceMeta.w}} weight {{ServiceMeta.w}}{{/if}}
{{/each}}
";

/// Writes the files into `dir` and checks; the exit code and the warnings, `FILE:LINE: SECTION: matter`.
async fn advised(dir: &Path, fixed: &str, pools: &str) -> (Option<i32>, Vec<String>) {
    let place = dir.display().to_string();
    std::fs::create_dir_all(dir.join("conf.d")).unwrap();
    let files = [("weir.hcl", ADVISED), ("conf.d/00.cfg", fixed), ("pools.hbs", pools)];
    for (name, text) in files {
        std::fs::write(dir.join(name), text.replace("DIR", &place)).unwrap();
    }
    let (code, said) = check(&[&dir.join("weir.hcl")]).await;
    let short = |line: &str| {
        let (at, text) = line.strip_prefix(&format!("{place}/"))?.split_once(" warning: ")?;
        let (section, text) = text.split_once(": ")?;
        Some(format!("{at} {section}: {}", text.split('`').nth(1)?.replace(&place, "DIR")))
    };
    (code, said.lines().filter_map(short).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn advice_has_its_place_and_leaves_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let (code, warnings) = advised(dir.path(), STATIC, POOLS).await;
    let expected = [
        "conf.d/00.cfg:1: global: hard-stop-after",
        "conf.d/00.cfg:2: global: stats socket DIR/stats.sock",
        "conf.d/00.cfg:3: defaults base: option idle-close-on-response",
        "conf.d/00.cfg:3: defaults base: option redispatch",
        "pools.hbs:7: backend web: id",
        "pools.hbs:10: backend api: balance source",
    ];
    assert_eq!((code, warnings), (Some(0), expected.map(str::to_owned).into()));
}

/// The same files with all advice followed.
fn bettered() -> (String, String) {
    let fixed = STATIC
        .replace("mode 600\n", "mode 600 level admin\n    hard-stop-after 5m\n")
        .replace("mode http\n", "mode http\n    option idle-close-on-response\n    option redispatch 1\n");
    let pools = POOLS
        .replace("{{Port}}\n", "{{Port}} id {{ServerId}}\n")
        .replace("balance source\n", "balance source\n    hash-type consistent\n");
    (fixed, pools)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_the_advice_needs_none_and_haproxy_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let (fixed, pools) = bettered();
    assert_eq!(advised(dir.path(), &fixed, &pools).await, (Some(0), Vec::new()));
    let Some(haproxy) = haproxy::binary() else { return };
    let rendered = "backend web from base\n    balance random\n    default-server check inter 1s\n\
                    \x20   server 10.0.0.1:80 10.0.0.1:80 id 7\n    server 10.0.0.2:80 10.0.0.2:80 id 8\n\
                    backend api from base\n    balance source\n    hash-type consistent\n    server 10.0.0.1:81 10.0.0.1:81 id 9\n";
    std::fs::write(dir.path().join("conf.d/50.cfg"), rendered).unwrap();
    let mut command = Command::new(haproxy);
    let output = command.arg("-c").arg("-f").arg(dir.path().join("conf.d")).output().unwrap();
    let said = said(&output);
    assert!(output.status.success() && !said.contains("[WARNING]"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_named_and_stops_no_advice_about_others() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().display().to_string();
    let config = ADVISED.replace("DIR/conf.d\"]", "DIR/conf.d\", \"DIR/gone.cfg\"]");
    advised(dir.path(), STATIC, POOLS).await;
    std::fs::write(dir.path().join("weir.hcl"), config.replace("DIR", &place)).unwrap();
    let (code, said) = check(&[&dir.path().join("weir.hcl")]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("gone.cfg: warning: there is no such file"), "{said}");
    assert!(said.contains("`option redispatch`") && !said.contains("`hard-stop-after` is missing"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_template_needs_no_advice() {
    let dir = tempfile::tempdir().unwrap();
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates/haproxy.cfg.hbs");
    let text = std::fs::read_to_string(template).unwrap();
    let (code, warnings) = advised(dir.path(), "", &text).await;
    assert_eq!((code, warnings), (Some(0), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_checked_without_a_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("web.nomad.hcl");
    let text = |key: &str| {
        format!(
            "job \"web\" {{\n  group \"app\" {{\n    shutdown_delay = \"10s\"\n    scaling {{\n      max = 4\n      \
             policy {{\n        {key} = \"20s\"\n        check \"load\" {{\n          strategy \"concurrency\" {{}}\n        \
             }}\n      }}\n    }}\n  }}\n}}\n"
        )
    };
    let policy_check = async || run(["policy".into(), "check".into(), job.clone()].into()).await;
    std::fs::write(&job, text("drain")).unwrap();
    let warned = policy_check().await;
    assert!(warned.status.success(), "{}", said(&warned));
    let words = said(&warned);
    assert!(words.contains("web.nomad.hcl:7: warning: ") && words.contains("one warning"), "{words}");
    std::fs::write(&job, text("drian")).unwrap();
    let mistaken = policy_check().await;
    assert_eq!(mistaken.status.code(), Some(1), "{}", said(&mistaken));
    assert!(said(&mistaken).contains("web.nomad.hcl:7: unknown key \"drian\"; did you mean \"drain\"?"));
}
