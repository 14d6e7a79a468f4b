//! `weir check` reports every mistake at once, each with its file and line.

use std::path::{Path, PathBuf};

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
