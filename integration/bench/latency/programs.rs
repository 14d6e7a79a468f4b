//! The programs that are measured, each on a [`Ground`].

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::floor::{self, Floor};
use crate::ground::Ground;
use crate::rig::haproxy::{self, Haproxy};
use crate::rig::process::{Process, find};
use crate::rig::site::SERVERS;
use crate::rig::wait_for;
use crate::rig::weir::Weir;
use crate::usage::Cpu;

/// One program, running with an HAProxy. They end with it.
pub(crate) enum Running {
    Floor { name: &'static str, floor: Floor, _haproxy: Haproxy },
    Weir { weir: Weir, haproxy: Haproxy },
    ConsulTemplate { program: Process, _haproxy: Haproxy },
}

impl Running {
    /// The floor, with everything written out for HAProxy.
    pub(crate) async fn floor(ground: &Ground) -> Self {
        Self::looping(ground, "floor", floor::another_address(ground.site.path("stats.sock"))).await
    }

    /// The bare loop, with everything written out for HAProxy.
    pub(crate) async fn bare(ground: &Ground) -> Self {
        let (stats, journal) = (ground.site.path("stats.sock"), ground.site.path("journal"));
        Self::looping(ground, "bare", floor::another_server(stats, &journal)).await
    }

    async fn looping(
        ground: &Ground,
        name: &'static str,
        change: impl FnMut(&Value) + Send + 'static,
    ) -> Self {
        ground.clear();
        std::fs::write(ground.site.path("haproxy.cfg"), ground.written_out()).expect("written");
        let haproxy = Haproxy::start(ground.site.dir()).await;
        let floor = Floor::start(ground.site.consul.port, change);
        ground.wait_answered().await;
        Self::Floor { name, floor, _haproxy: haproxy }
    }

    /// Weir with everything in one template.
    pub(crate) async fn weir(ground: &Ground) -> Self {
        ground.clear();
        let pool = |service: &str| SERVERS.replace("\"web\"", &format!("\"{service}\""));
        ground.site.write_template(&ground.configuration(pool));
        let mut weir = ground.site.weir();
        wait_rendered(ground).await;
        let haproxy = ground.site.haproxy().await;
        weir.wait_ready().await;
        if ground.has_a_connection_each() {
            // At first it leaves room for the connections of one that ran before.
            let is_narrow = |status: &Value| status["consul"]["mode"] == "narrow";
            weir.wait_status("a query for each service", Duration::from_mins(2), is_narrow).await;
        }
        ground.wait_answered().await;
        Self::Weir { weir, haproxy }
    }

    /// The same template in the other language.
    pub(crate) async fn consul_template(ground: &Ground) -> Self {
        ground.clear();
        let pool = |service: &str| {
            format!(
                "{{{{range service \"{service}\"}}}}    server {{{{.Address}}}}:{{{{.Port}}}} \
                 {{{{.Address}}}}:{{{{.Port}}}}\n{{{{end}}}}\n"
            )
        };
        ground.site.write_template(&ground.configuration(pool));
        let command = consul_template_command(ground);
        let program = Process::start("consul-template", command, &ground.site.path("program.log"));
        wait_rendered(ground).await;
        let haproxy = ground.site.haproxy().await;
        ground.wait_answered().await;
        Self::ConsulTemplate { program, _haproxy: haproxy }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Floor { name, .. } => name,
            Self::Weir { .. } => "weir",
            Self::ConsulTemplate { .. } => "consul-template",
        }
    }

    /// The process that is measured; the floor is none of its own.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Floor { .. } => None,
            Self::Weir { weir, .. } => Some(weir.pid()),
            Self::ConsulTemplate { program, .. } => Some(program.pid()),
        }
    }

    /// Its CPU time, where that is known; the floor's is that of its thread.
    pub(crate) fn cpu(&self) -> Option<Cpu> {
        match self {
            Self::Floor { floor, .. } => floor.cpu(),
            Self::Weir { .. } | Self::ConsulTemplate { .. } => self.pid().and_then(Cpu::of),
        }
    }
}

async fn wait_rendered(ground: &Ground) {
    wait_for("the first output", Duration::from_mins(2), async || {
        (!ground.site.rendered().is_empty()).then_some(())
    })
    .await;
}

/// Where there is one.
pub(crate) fn consul_template() -> Option<PathBuf> {
    find("WEIR_BENCH_CONSUL_TEMPLATE", "consul-template", &[])
}

/// Set for the bench's own program where it is consul-template's command: the master socket to reload through.
pub(crate) const RELOAD: &str = "WEIR_BENCH_RELOAD";

/// It renders into place, then its command validates and reloads.
fn consul_template_command(ground: &Ground) -> Command {
    let dir = ground.site.dir().display();
    let script = format!(
        "[ -S {dir}/master.sock ] || exit 0\n{haproxy} -q -c -f {dir}/haproxy.cfg || exit 1\n\
         {RELOAD}={dir}/master.sock exec {own}\n",
        haproxy = haproxy::binary().expect("found before").display(),
        own = std::env::current_exe().expect("the bench's own program").display(),
    );
    std::fs::write(ground.site.path("reload.sh"), script).expect("written");
    let template = format!("{dir}/haproxy.cfg.hbs:{dir}/haproxy.cfg:sh {dir}/reload.sh");
    let mut command = Command::new(consul_template().expect("found before"));
    command.args([
        "-consul-addr",
        &ground.site.consul.address(),
        "-log-level",
        "warn",
        "-template",
        &template,
    ]);
    command.current_dir(ground.site.dir());
    command
}

/// One reload. Refused connections are tried again for a second (the master re-executes itself and does not listen for
/// some ms), as otherwise consul-template would end there.
pub(crate) fn reload(socket: &Path) -> i32 {
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
