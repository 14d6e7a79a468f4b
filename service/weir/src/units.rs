//! The pool loops that a configuration asks for: one per HAProxy, and one for files that no HAProxy loads.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use haproxy_cfg::Sections;
use weir_pools::Catalogue;
use weir_pools::places::OutputKind;

use crate::config::{Config, Environment, Haproxy, Template};
use crate::pool_loop::{File, Hands, Memory, OpenLine, Output, PoolLoop, StateDir, pools_in};

/// One HAProxy with the templates that it loads.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// The label; empty for the one without.
    pub(crate) name: String,
    pub(crate) haproxy: Option<Haproxy>,
    pub(crate) templates: Vec<Template>,
}

/// Groups the templates by HAProxy. With one HAProxy all templates are its own: maps and lists lie anywhere.
pub(crate) fn units(config: &Config) -> Vec<Unit> {
    let Some(first) = config.haproxies.first() else {
        return vec![Unit { name: String::new(), haproxy: None, templates: config.templates.clone() }];
    };
    if config.haproxies.len() == 1 {
        let (name, haproxy) = (first.name.clone(), Some(first.clone()));
        return vec![Unit { name, haproxy, templates: config.templates.clone() }];
    }
    let loaded = |haproxy: &Haproxy| {
        let templates = config.templates.iter().filter(|template| haproxy.loads(&template.destination));
        Unit {
            name: haproxy.name.clone(),
            haproxy: Some(haproxy.clone()),
            templates: templates.cloned().collect(),
        }
    };
    config.haproxies.iter().map(loaded).collect()
}

impl Unit {
    /// What kind of file a template renders.
    fn kind(&self, destination: &Path) -> OutputKind {
        let suffix = destination.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
        match &self.haproxy {
            Some(haproxy) if haproxy.loads(destination) => OutputKind::Haproxy,
            _ if ["map", "lst", "list", "acl", "crtlist", "crt-list"].contains(&suffix) => OutputKind::Lines,
            _ => OutputKind::Text,
        }
    }

    /// The loop as it begins: what is on the disk is what is in force.
    pub(crate) fn pool_loop(
        &self,
        environment: Arc<Environment>,
        memory: Memory,
        last_good: Arc<Catalogue>,
    ) -> PoolLoop {
        let output = |template: &Template| {
            let mut output = self.output(template);
            // Reading a FIFO would wait for a writer.
            let readable = template.destination.is_file();
            if let Some(text) =
                readable.then(|| std::fs::read_to_string(&template.destination).ok()).flatten()
            {
                if output.kind == OutputKind::Haproxy {
                    output.pools = pools_in(&Sections::parse(&*text));
                }
                let text: Arc<str> = text.into();
                output.in_force = Some(text);
            }
            output
        };
        let outputs = self.templates.iter().map(output).collect();
        PoolLoop::new(self.name.clone(), self.haproxy.clone(), outputs, environment, memory, last_good)
    }

    /// A loop that takes nothing as in force, so that everything is news to it.
    pub(crate) fn fresh_loop(&self, environment: Arc<Environment>) -> PoolLoop {
        let outputs = self.templates.iter().map(|template| self.output(template)).collect();
        let (memory, catalogue) = (Memory::default(), Arc::default());
        PoolLoop::new(self.name.clone(), self.haproxy.clone(), outputs, environment, memory, catalogue)
    }

    fn output(&self, template: &Template) -> Output {
        Output::new(template.clone(), self.kind(&template.destination))
    }

    /// The hands of this unit. `reload`: whether they may reload HAProxy.
    pub(crate) fn hands(&self, state: StateDir, reload: bool) -> Hands {
        let files = self
            .templates
            .iter()
            .map(|template| File { template: template.clone(), kind: self.kind(&template.destination) });
        let haproxy = self.haproxy.as_ref().map(haproxy);
        Hands { haproxy, files: files.collect(), state, reload, line: OpenLine::default() }
    }

    /// Opens the state directory.
    pub(crate) fn state(&self, config: &Config) -> anyhow::Result<StateDir> {
        StateDir::open(&config.state_dir, &self.name).with_context(|| {
            format!(
                "{}: the state directory cannot be made; create it, or set `state_dir`",
                config.state_dir.display()
            )
        })
    }

    /// Removes candidates that a crash left behind.
    pub(crate) fn clean_up(&self) {
        for template in &self.templates {
            if let Err(error) = weir_haproxy::clean_up(&template.destination) {
                tracing::warn!("{error}");
            }
        }
    }
}

/// The HAProxy as the haproxy crate wants it.
pub(crate) fn haproxy(config: &Haproxy) -> weir_haproxy::Haproxy {
    weir_haproxy::Haproxy {
        config: config.config.clone(),
        binary: config.binary.clone(),
        working_directory: config.working_directory.clone(),
        environment_file: config.environment_file.clone(),
        check_user: config.check_user.clone(),
        check_timeout: config.check_timeout,
        stats_socket: config.stats_socket.clone(),
        master_socket: config.master_socket.clone(),
        reload_command: config.reload_command.clone(),
        reload_timeout: config.reload_timeout,
        reload_command_timeout: config.reload_timeout,
        ..weir_haproxy::Haproxy::default()
    }
}
