//! Change in Consul → first answer of the new port through HAProxy: weir beside consul-template.
//!
//! One probe service whose single instance is registered at another port again and again, N services × M instances
//! beside it in the same template. consul-template's command validates and reloads through the master socket, as weir
//! does. Prints a table; `WEIR_BENCH_SIZES=10x10,1000x5`, `WEIR_BENCH_CHANGES=30`, `WEIR_BENCH_PROGRAMS=weir`,
//! `WEIR_BENCH_MAX_CONNECTIONS` (weir's, else 150), and `WEIR_BENCH_CONSUL_TEMPLATE` (else PATH) change what is measured. Fails where Consul or HAProxy is missing.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench ends at the first thing that does not work, and prints its result"
)]

#[path = "../rig/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use more of the rig")]
mod rig;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rig::haproxy::Haproxy;
use rig::process::{Process, find};
use rig::site::{SERVERS, Site};
use rig::{Instance, http, wait_for};
use serde_json::json;

/// Either program, running.
struct Running {
    _haproxy: Haproxy,
    _program: Process,
}

#[derive(Clone, Copy, PartialEq)]
enum Program {
    Weir,
    ConsulTemplate,
}

fn main() {
    if let Some(socket) = std::env::var_os(RELOAD) {
        std::process::exit(reload(&PathBuf::from(socket)));
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(bench());
}

/// Set for the bench's own program where it is consul-template's command: the master socket to reload through.
const RELOAD: &str = "WEIR_BENCH_RELOAD";

/// One reload. Refused connections are tried again for a second (the master re-executes itself and does not listen for
/// some ms), as otherwise consul-template would end there.
fn reload(socket: &Path) -> i32 {
    for _ in 0..50 {
        if let Ok(mut stream) = UnixStream::connect(socket) {
            let mut answer = Vec::new();
            let sent = stream.write_all(b"reload\n").and_then(|()| stream.read_to_end(&mut answer));
            return i32::from(sent.is_err());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    1
}

async fn bench() {
    println!("| services × instances | program | median | p90 | most |\n|---|---|---|---|---|");
    for (services, instances) in sizes() {
        for program in programs() {
            let mut times = measure(program, services, instances).await;
            times.sort();
            let at = |share: usize| times[(times.len() - 1) * share / 100].as_millis();
            let name = if program == Program::Weir { "weir" } else { "consul-template" };
            println!("| {services} × {instances} | {name} | {} ms | {} | {} |", at(50), at(90), at(100));
        }
    }
}

fn programs() -> Vec<Program> {
    let wanted = std::env::var("WEIR_BENCH_PROGRAMS").unwrap_or_else(|_| "weir,consul-template".to_owned());
    let mut programs: Vec<Program> = wanted.contains("weir").then_some(Program::Weir).into_iter().collect();
    if wanted.contains("consul-template") && consul_template().is_some() {
        programs.push(Program::ConsulTemplate);
    } else {
        println!("without consul-template: put one on PATH or name it in WEIR_BENCH_CONSUL_TEMPLATE");
    }
    programs
}

fn consul_template() -> Option<PathBuf> {
    find("WEIR_BENCH_CONSUL_TEMPLATE", "consul-template", &[])
}

fn sizes() -> Vec<(usize, usize)> {
    let sizes = std::env::var("WEIR_BENCH_SIZES").unwrap_or_else(|_| "1x10,10x10,100x10".to_owned());
    let parse = |size: &str| -> Option<(usize, usize)> {
        let (services, instances) = size.trim().split_once('x')?;
        Some((services.parse().ok()?, instances.parse().ok()?))
    };
    sizes.split(',').map(|size| parse(size).expect("WEIR_BENCH_SIZES is like 10x10,100x5")).collect()
}

fn changes() -> usize {
    std::env::var("WEIR_BENCH_CHANGES").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

async fn measure(program: Program, services: usize, instances: usize) -> Vec<Duration> {
    let limits = json!({"limits": {"http_max_conns_per_client": 5000}});
    let mut site = Site::with_consul("", limits).await.expect("Consul and HAProxy are needed");
    if let Ok(most) = std::env::var("WEIR_BENCH_MAX_CONNECTIONS") {
        site.consul_options = format!("max_connections = {most}");
    }
    fill(&site, services, instances).await;
    let mut current = Instance::start("first").await;
    site.consul.register("web", "probe", current.port).await;
    site.write_template(&template(&site, program, services));
    let _running = start(&site, program).await;
    wait_for("the first answer", Duration::from_mins(2), async || {
        answers(&site, "first").await.then_some(())
    })
    .await;

    let mut times = Vec::new();
    for turn in 0..changes() {
        let name = format!("turn-{turn}");
        let next = Instance::start(&name).await;
        times.push(one_change(&site, &name, next.port).await);
        current = next;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    drop(current);
    times
}

async fn one_change(site: &Site, name: &str, port: u16) -> Duration {
    let started = Instant::now();
    site.consul.register("web", "probe", port).await;
    while !answers(site, name).await {
        assert!(started.elapsed() < Duration::from_mins(1), "{name} never answered");
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    started.elapsed()
}

async fn answers(site: &Site, name: &str) -> bool {
    http::get(site.front, "/").await.is_ok_and(|reply| reply.body == name)
}

async fn fill(site: &Site, services: usize, instances: usize) {
    for service in 0..services {
        for n in 0..instances {
            let entry = json!({"Service": format!("s{service}"), "ID": format!("s{service}-{n}"),
                "Address": format!("10.0.{n}.1"), "Port": 2_000 + service});
            site.consul.register_elsewhere("n1", entry).await;
        }
    }
}

/// The same pools in either program's language.
fn template(site: &Site, program: Program, services: usize) -> String {
    let pool = |name: &str| match program {
        Program::Weir => SERVERS.replace("\"web\"", &format!("\"{name}\"")),
        Program::ConsulTemplate => format!(
            "{{{{range service \"{name}\"}}}}    server {{{{.Address}}}}:{{{{.Port}}}} {{{{.Address}}}}:{{{{.Port}}}}\n{{{{end}}}}\n"
        ),
    };
    let backend = |n: usize| format!("backend s{n}\n    balance roundrobin\n{}", pool(&format!("s{n}")));
    let others: Vec<String> = (0..services).map(backend).collect();
    format!("{}{}", site.template(&pool("web")), others.concat())
}

async fn start(site: &Site, program: Program) -> Running {
    let mut command = match program {
        Program::Weir => {
            let mut command = rig::weir::command();
            command.arg("run").arg("-c").arg(site.write_config());
            command
        }
        Program::ConsulTemplate => consul_template_command(site),
    };
    command.current_dir(site.dir());
    let program = Process::start("the program", command, &site.path("program.log"));
    wait_for("the first output", Duration::from_mins(2), async || {
        (!site.rendered().is_empty()).then_some(())
    })
    .await;
    Running { _haproxy: Haproxy::start(site.dir()).await, _program: program }
}

/// It renders into place, then its command validates and reloads.
fn consul_template_command(site: &Site) -> Command {
    let script = format!(
        "[ -S {dir}/master.sock ] || exit 0\n{haproxy} -q -c -f {dir}/haproxy.cfg || exit 1\n\
         {RELOAD}={dir}/master.sock exec {own}\n",
        dir = site.dir().display(),
        haproxy = rig::haproxy::binary().expect("found before").display(),
        own = std::env::current_exe().expect("the bench's own program").display(),
    );
    std::fs::write(site.path("reload.sh"), script).unwrap();
    let template =
        format!("{dir}/haproxy.cfg.hbs:{dir}/haproxy.cfg:sh {dir}/reload.sh", dir = site.dir().display());
    let mut command = Command::new(consul_template().expect("found before"));
    command.args(["-consul-addr", &site.consul.address(), "-log-level", "warn", "-template", &template]);
    command
}
