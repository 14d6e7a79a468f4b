//! What `weir check` advises about HAProxy's configuration, beside mistakes.
//!
//! In: a configuration. Out: one [`Problem`] for each piece of advice, with its place in the template or the file. Templates
//! are read as outlines, without asking Consul; one that reads nothing is rendered. A file that cannot be read is named, and
//! the advice says less.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use haproxy_cfg::{Document, Source};
use weir_haproxy::{ListingError, Substitution};
use weir_pools::Catalogue;
use weir_pools::advice::{Advice, Setup, advise};
use weir_template::{HOLE, outline};

use crate::config::{self, Config, Haproxy, Problem};
use crate::sources;
use crate::units;

/// All advice, in order of files and lines. A file that two HAProxys load is spoken of once.
pub(crate) async fn advice(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    for haproxy in &config.haproxies {
        let version = weir_haproxy::installed_version(&units::haproxy(haproxy)).await;
        problems.extend(of_haproxy(haproxy, config, version.map(|found| (found.major, found.minor))));
    }
    problems.extend(unloaded(config));
    problems.sort_by(|a, b| (&a.file, a.line, &a.message).cmp(&(&b.file, b.line, &b.message)));
    problems.dedup();
    problems
}

/// Templates of HAProxy's configuration that no HAProxy loads: a slip in a path, after which every change is a reload without effect.
pub(crate) fn unloaded(config: &Config) -> Vec<Problem> {
    let names: Vec<String> = config
        .haproxies
        .iter()
        .flat_map(|haproxy| &haproxy.config)
        .map(|path| path.display().to_string())
        .collect();
    let is_loaded = |template: &&config::Template| {
        config.haproxies.iter().any(|haproxy| haproxy.loads(&template.destination))
    };
    let told = |template: &config::Template| {
        let message = format!(
            "{} looks like HAProxy's configuration, and HAProxy does not load it: no pool in it is kept. `config` names {}",
            template.destination.display(),
            names.join(", ")
        );
        Problem::new(&template.place.file, template.place.line, message)
    };
    let lost = config
        .templates
        .iter()
        .filter(|template| !is_loaded(template))
        .filter(|template| has_sections(template));
    if names.is_empty() { Vec::new() } else { lost.map(told).collect() }
}

fn has_sections(template: &config::Template) -> bool {
    let is_one = |line: &str| {
        let word = line.split_ascii_whitespace().next().unwrap_or_default();
        line.starts_with(word) && ["global", "defaults", "frontend", "backend", "listen"].contains(&word)
    };
    sources::read(&template.source).is_ok_and(|source| source.lines().any(is_one))
}

fn of_haproxy(haproxy: &Haproxy, config: &Config, version: Option<(u32, u32)>) -> Vec<Problem> {
    let texts = match load_order(haproxy, &config.templates) {
        Ok(places) => places.into_iter().map(Text::read).collect::<Vec<_>>(),
        Err(error) => return vec![Problem::new(&error.path, 0, chain(&error))],
    };
    let setup = Setup {
        version,
        stats_socket: haproxy.stats_socket.as_deref().and_then(Path::to_str),
        reloads_by_command: haproxy.master_socket.is_none(),
        held_for: config.wake.as_ref().map(|wake| wake.deadline),
    };
    let sources: Vec<Source<'_>> = texts.iter().map(Text::source).collect();
    let advice = advise(&sources, &setup);
    let unread = texts.iter().filter_map(|text| text.error.clone());
    unread.chain(advice.iter().map(|advice| texts[advice.file].problem(advice))).collect()
}

fn chain(error: &ListingError) -> String {
    format!("cannot be listed, so there is no advice about HAProxy's configuration: {}", error.source)
}

/// Where a file of the load order comes from.
enum Place<'c> {
    /// From the disk.
    File(PathBuf),
    /// From a template, whatever is on the disk.
    Template(&'c config::Template),
}

/// The files that HAProxy loads, in order.
fn load_order<'c>(
    haproxy: &Haproxy,
    templates: &'c [config::Template],
) -> Result<Vec<Place<'c>>, ListingError> {
    let base = haproxy.working_directory.clone().unwrap_or_default();
    let config: Vec<PathBuf> = haproxy.config.iter().map(|path| base.join(path)).collect();
    let standing: Vec<Substitution> = templates.iter().map(standing_for).collect();
    let loaded = weir_haproxy::load_order(&weir_haproxy::list(&config)?, &standing).files;
    let place = |path: PathBuf| {
        let template = templates.iter().find(|template| template.destination == path);
        template.map_or(Place::File(path), Place::Template)
    };
    Ok(loaded.into_iter().map(|file| place(file.path)).collect())
}

/// Each template stands for the file behind its destination, under the destination's own name.
fn standing_for(template: &config::Template) -> Substitution {
    let target = template.destination.clone();
    let destination = target.canonicalize().unwrap_or_else(|_| target.clone());
    Substitution { candidate: target.clone(), target, destination }
}

/// One file of the load order, as far as it is known.
struct Text<'c> {
    place: Place<'c>,
    document: Document,
    branches: Vec<u32>,
    hole: Option<char>,
    /// The line of the template's source for each line of the document; empty where the document is what is loaded.
    lines: Vec<usize>,
    /// Why nothing is known of it.
    error: Option<Problem>,
}

impl<'c> Text<'c> {
    fn read(place: Place<'c>) -> Self {
        match place {
            Place::File(path) => match sources::read(&config::Source::File(path.clone())) {
                Ok(text) => Self::plain(Place::File(path), &text),
                Err(error) => {
                    let error =
                        error.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&error).to_owned();
                    let message =
                        format!("{error}; HAProxy loads it, so there is less advice than there might be");
                    let error = Some(Problem::new(&path, 0, message));
                    Self { error, ..Self::unknown(Place::File(path)) }
                }
            },
            Place::Template(template) => match sources::read(&template.source) {
                Ok(source) => Self::of_template(template, &source),
                // Reported as a mistake.
                Err(_) => Self::unknown(Place::Template(template)),
            },
        }
    }

    fn of_template(template: &'c config::Template, source: &str) -> Self {
        let place = Place::Template(template);
        if let Some(text) = rendered(source) {
            return Self::plain(place, &text);
        }
        let Some(outline) = outline(source) else { return Self::unknown(place) };
        let document = Document::parse(outline.text);
        Self {
            place,
            document,
            branches: outline.branches,
            hole: Some(HOLE),
            lines: outline.lines,
            error: None,
        }
    }

    fn plain(place: Place<'c>, text: &str) -> Self {
        let document = Document::parse(sources::without_mark(text));
        Self { place, document, branches: Vec::new(), hole: None, lines: Vec::new(), error: None }
    }

    /// A text that may be any.
    fn unknown(place: Place<'c>) -> Self {
        Self { hole: Some(HOLE), ..Self::plain(place, &format!("{HOLE}\n")) }
    }

    fn source(&self) -> Source<'_> {
        Source { document: &self.document, branches: &self.branches, hole: self.hole }
    }

    fn problem(&self, advice: &Advice) -> Problem {
        let line = |number: usize| self.lines.get(number.wrapping_sub(1)).copied();
        match (&self.place, line(advice.line)) {
            (Place::File(path), _) => Problem::new(path, advice.line, advice.to_string()),
            (Place::Template(template), Some(line)) => template.problem(line, None, advice.to_string()),
            (Place::Template(template), None) => {
                let message = format!("{advice} (in what {} renders to)", template.name());
                Problem::new(&template.destination, advice.line, message)
            }
        }
    }
}

/// What a template renders to that reads nothing: neither Consul nor the environment, which is another one for the daemon.
fn rendered(source: &str) -> Option<String> {
    let template = weir_template::Template::parse("", source).ok()?;
    let rendered = template.render(&Catalogue::default(), &Arc::default()).ok()?;
    (rendered.reads.is_empty() && !source.contains("env")).then(|| rendered.text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each warning up to what is missing, and how it ends.
    fn warned(contents: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().display().to_string();
        let text = format!(
            "template {{\n  contents = {contents:?}\n  destination = \"{place}/h.cfg\"\n}}\n\
             haproxy {{\n  config = [\"{place}/h.cfg\"]\n  master_socket = \"{place}/m.sock\"\n}}\n"
        );
        std::fs::write(dir.path().join("weir.hcl"), text).unwrap();
        let loaded = config::load(&[dir.path().join("weir.hcl")]);
        assert_eq!(loaded.problems, []);
        let [haproxy] = loaded.config.haproxies.as_slice() else { panic!() };
        let found = of_haproxy(haproxy, &loaded.config, None);
        let short = |problem: &Problem| {
            let text = problem.as_warning().replace(&format!("{place}/"), "");
            let (start, rest) = text.split_once(" is missing").expect(&text);
            let end = rest.rsplit_once(" (in ").map_or("", |(_, end)| end);
            format!("{start} {end}").trim_end().to_owned()
        };
        found.iter().map(short).collect()
    }

    #[test]
    fn a_configuration_that_no_haproxy_loads_is_a_slip_and_another_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().display().to_string();
        let template = |name: &str, contents: &str| {
            format!("template {{\n  contents = {contents:?}\n  destination = \"{place}/{name}\"\n}}\n")
        };
        let haproxy =
            format!("haproxy {{\n  config = [\"{place}/h.conf\"]\n  master_socket = \"{place}/m\"\n}}\n");
        let backend = "backend web\n server a 127.0.0.1:80\n";
        let texts = [template("h.cof", backend), template("hosts.txt", "backends\n a b\n"), haproxy];
        std::fs::write(dir.path().join("weir.hcl"), texts.concat()).unwrap();
        let loaded = config::load(&[dir.path().join("weir.hcl")]);
        assert_eq!(loaded.problems, []);
        let found: Vec<String> = unloaded(&loaded.config).iter().map(Problem::as_warning).collect();
        let [only] = &found[..] else { panic!("{found:?}") };
        assert!(
            only.contains("weir.hcl:1: ") && only.contains("h.cof looks like") && only.contains("h.conf"),
            "{only}"
        );
    }

    #[test]
    fn a_template_that_reads_nothing_is_judged_by_what_it_renders_to() {
        assert_eq!(
            warned("{{#each (range 2)}}\nfrontend f{{this}}\n mode http\n{{/each}}\nglobal\n hard-stop-after 1m\n"),
            [1, 3].map(|line| format!(
                "h.cfg:{line}: warning: frontend f{}: `option idle-close-on-response` what contents at weir.hcl:1 renders to)",
                line / 2
            ))
        );
    }

    #[test]
    fn a_template_that_reads_the_environment_is_judged_by_its_source() {
        let text =
            "\nglobal\n{{#if (env \"PROD\")}} hard-stop-after 1m\n{{/if}}\n# end\nfrontend f\n mode http\n";
        let expected = "weir.hcl:1: warning: `contents`, line 6: frontend f: `option idle-close-on-response`";
        assert_eq!(warned(text), [expected]);
    }

    #[test]
    fn a_template_with_mistakes_may_say_anything() {
        assert_eq!(warned("global\nfrontend f\n mode http\n{{/if}}\n"), Vec::<String>::new());
    }
}
