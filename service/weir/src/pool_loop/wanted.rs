//! What should be in force: render, leave out what does not fit, keep what would be emptied.
//!
//! In: the sources in use, the catalogue, what is in force. Out: [`Wanted`], a text or a reason for each output.
//! Pure but for a cache of renders; the guard's memory changes with what it holds and lets go.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use haproxy_cfg::Document;
use weir_pools::guard::{self, Guard, Pools};
use weir_pools::places::{self, Misfit, OutputKind};
use weir_pools::{Answer, Catalogue, Query};
use weir_template::Template;

use super::culprits::{Banned, Printout, on_line, without_culprits};
use super::servers::pools_in;
use crate::config::Environment;
use crate::status::LeftOut;

/// How often culprits are looked for: each round leaves out at least one instance, and a hostile registration can
/// only hide behind another one so many times.
const ROUNDS: usize = 8;
/// Renders remembered per output: with the raw, the cleaned and the effective catalogue.
const REMEMBERED: usize = 4;

/// What a turn renders for one output.
#[derive(Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) destination: &'a std::path::Path,
    pub(crate) kind: OutputKind,
    /// Absent where no source can be used.
    pub(crate) template: Option<&'a Arc<Template>>,
    /// Whether the source is not the one that is in force.
    pub(crate) edited: bool,
    /// The backends in force in this output.
    pub(crate) in_force: &'a Arc<Pools>,
}

/// Everything that a turn looks at.
pub(crate) struct Inputs<'a> {
    pub(crate) choices: &'a [Choice<'a>],
    pub(crate) catalogue: &'a Arc<Catalogue>,
    /// The catalogue that what is in force was rendered from.
    pub(crate) last_good: &'a Arc<Catalogue>,
    pub(crate) environment: &'a Environment,
    /// Whether a backend may become empty.
    pub(crate) may_be_empty: &'a dyn Fn(&str) -> bool,
}

/// What should be in force.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) reads: BTreeSet<Query>,
    /// The catalogue that the texts were rendered from: what Consul says, less what is left out, plus what is kept.
    pub(crate) effective: Arc<Catalogue>,
    pub(crate) left_out: BTreeSet<LeftOut>,
    /// Pools that are kept from now on.
    pub(crate) held: BTreeSet<String>,
    /// Pools that are no longer kept.
    pub(crate) released: BTreeSet<String>,
    /// Pools that would become empty and for which nothing can be kept: no text may be put in force.
    pub(crate) untraceable: BTreeSet<String>,
}

/// What should be in one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Text {
        text: Arc<str>,
        pools: Arc<Pools>,
    },
    /// It reads what is not known yet.
    Waiting(BTreeSet<Query>),
    /// It cannot be rendered, or prints what does not fit its place.
    Failed(String),
    /// No source can be used.
    NoSource,
}

/// One render, checked.
#[derive(Debug, Clone)]
struct Page {
    text: Arc<str>,
    pools: Arc<Pools>,
    reads: BTreeSet<Query>,
    waiting: BTreeSet<Query>,
    printed: Vec<Range<usize>>,
    misfits: Vec<Misfit>,
    /// Keys that are gone and whose last values were used.
    keys: Vec<(Query, Answer)>,
}

type Rendered = Result<Arc<Page>, String>;

/// Renders, and remembers the last renders: a template is rendered again only when something that it read differs.
#[derive(Debug, Default)]
pub(crate) struct Renderer {
    remembered: BTreeMap<std::path::PathBuf, Vec<Memo>>,
}

#[derive(Debug)]
struct Memo {
    template: Arc<Template>,
    catalogue: Arc<Catalogue>,
    page: Arc<Page>,
}

impl Renderer {
    /// Those whose values stand on the lines that HAProxy refuses in a text that was rendered lately.
    pub(crate) fn refused(
        &self,
        destination: &std::path::Path,
        text: &str,
        lines: &[usize],
        reason: &str,
    ) -> Vec<Banned> {
        let memos = self.remembered.get(destination).map(Vec::as_slice).unwrap_or_default();
        let Some(memo) = memos.iter().find(|memo| *memo.page.text == *text) else { return Vec::new() };
        let Page { printed, reads, misfits, .. } = &*memo.page;
        let printout = Printout { destination, text, printed, reads, misfits };
        lines.iter().flat_map(|line| on_line(&printout, *line, &memo.catalogue, reason)).collect()
    }

    /// Decides what should be in force.
    pub(crate) fn want(&mut self, inputs: &Inputs<'_>, guard: &mut Guard) -> Wanted {
        let (clean, left_out) = self.leave_out(inputs);
        let released = self.take_back(inputs, &clean, guard);
        let mut held = BTreeSet::new();
        let mut effective = effective(guard, &clean);
        let mut pages = self.render_all(inputs, &effective);
        let mut emptied = self.emptied(inputs, &pages);
        if !emptied.is_empty() {
            let in_force = union(inputs.choices.iter().map(|choice| choice.in_force));
            let verdict = guard.hold(&emptied, &[&in_force], inputs.last_good, &clean);
            held = verdict.held;
            let base = if verdict.untraceable.is_empty() {
                clean
            } else {
                Arc::new(guard::keep_turned_empty(&clean, inputs.last_good))
            };
            effective = self::effective(guard, &base);
            pages = self.render_all(inputs, &effective);
            emptied = &self.emptied(inputs, &pages) - &verdict.taken;
        }
        let effective = with_keys(effective, &pages);
        let reads =
            pages.iter().flatten().flat_map(Rendered::as_ref).flat_map(|page| page.reads.clone()).collect();
        let outcomes = pages.into_iter().map(outcome).collect();
        Wanted { outcomes, reads, effective, left_out, held, released, untraceable: emptied }
    }

    /// The catalogue without the instances whose printed values do not fit their places.
    fn leave_out(&mut self, inputs: &Inputs<'_>) -> (Arc<Catalogue>, BTreeSet<LeftOut>) {
        let mut catalogue = inputs.catalogue.clone();
        let mut left_out = BTreeSet::new();
        for _ in 0..ROUNDS {
            let pages = self.render_all(inputs, &catalogue);
            let printouts = printouts(inputs, &pages);
            let (cleaner, culprits) = without_culprits(&printouts, &catalogue);
            if culprits.is_empty() {
                break;
            }
            left_out.extend(culprits);
            catalogue = Arc::new(cleaner);
        }
        (catalogue, left_out)
    }

    /// Lets kept instances go for those that came back.
    fn take_back(
        &mut self,
        inputs: &Inputs<'_>,
        clean: &Arc<Catalogue>,
        guard: &mut Guard,
    ) -> BTreeSet<String> {
        if guard.is_idle() {
            return BTreeSet::new();
        }
        // Only what is rendered shows who is back: an output that still waits says nothing.
        let pages = self.render_all(inputs, clean);
        let usable = pages.iter().flatten().filter_map(|page| page.as_ref().ok());
        let pools = union(usable.filter(|page| page.waiting.is_empty()).map(|page| &page.pools));
        guard.replace(&[&pools], clean)
    }

    /// The pools that would become empty by an answer. A pool that is empty with the last good answers too was emptied
    /// by an edit of its template: that is meant.
    fn emptied(&mut self, inputs: &Inputs<'_>, pages: &[Option<Rendered>]) -> BTreeSet<String> {
        let in_force = union(inputs.choices.iter().map(|choice| choice.in_force));
        let mut emptied = guard::emptied(&[&in_force], &[&wanted_pools(inputs, pages)], inputs.may_be_empty);
        let wanted = wanted_pools(inputs, pages);
        // An edit that leaves no server at all is a template that was cut off while it was copied.
        let some_left = wanted.values().any(|servers| !servers.is_empty());
        if !emptied.is_empty() && some_left && inputs.choices.iter().any(|choice| choice.edited) {
            let before = self.render_all(inputs, inputs.last_good);
            let complete =
                before.iter().flatten().all(|page| page.as_ref().is_ok_and(|page| page.waiting.is_empty()));
            let meant = guard::emptied(&[&in_force], &[&wanted_pools(inputs, &before)], inputs.may_be_empty);
            // Where the last good answers do not cover what the edit reads, a backend that it no longer names is
            // taken as meant, one that it leaves without servers is not.
            emptied.retain(|backend| {
                if complete { !meant.contains(backend) } else { wanted.contains_key(backend.as_str()) }
            });
        }
        emptied
    }

    fn render_all(&mut self, inputs: &Inputs<'_>, catalogue: &Arc<Catalogue>) -> Vec<Option<Rendered>> {
        let render = |choice: &Choice<'_>| {
            let template = choice.template?;
            Some(self.render(inputs, choice, template, catalogue))
        };
        inputs.choices.iter().map(render).collect()
    }

    fn render(
        &mut self,
        inputs: &Inputs<'_>,
        choice: &Choice<'_>,
        template: &Arc<Template>,
        catalogue: &Arc<Catalogue>,
    ) -> Rendered {
        if let Some(page) = self.remembered(choice.destination, template, catalogue) {
            return Ok(page);
        }
        let mut page = page(template, catalogue, choice.kind, inputs.environment)?;
        let keys = deleted_keys(&page.waiting, catalogue, inputs.last_good);
        if !keys.is_empty() {
            let mut with_keys = Catalogue::clone(catalogue);
            for (query, answer) in &keys {
                with_keys.insert(query.clone(), answer.clone());
            }
            page = self::page(template, &with_keys, choice.kind, inputs.environment)?;
            page.keys = keys;
        }
        let page = Arc::new(page);
        let memos = self.remembered.entry(choice.destination.to_owned()).or_default();
        memos
            .insert(0, Memo { template: template.clone(), catalogue: catalogue.clone(), page: page.clone() });
        memos.truncate(REMEMBERED);
        Ok(page)
    }

    fn remembered(
        &self,
        destination: &std::path::Path,
        template: &Arc<Template>,
        catalogue: &Arc<Catalogue>,
    ) -> Option<Arc<Page>> {
        let memos = self.remembered.get(destination)?;
        let same = |memo: &&Memo| {
            let unchanged = || {
                Arc::ptr_eq(&memo.catalogue, catalogue) || memo.catalogue.agrees(catalogue, &memo.page.reads)
            };
            Arc::ptr_eq(&memo.template, template) && unchanged()
        };
        memos.iter().find(same).map(|memo| memo.page.clone())
    }
}

fn page(
    template: &Template,
    catalogue: &Catalogue,
    kind: OutputKind,
    environment: &Environment,
) -> Result<Page, String> {
    let rendered = template.render(catalogue, environment).map_err(|error| error.to_string())?;
    let read = if kind == OutputKind::Haproxy { rendered.text.as_str() } else { "" };
    let document = Document::parse(read);
    let misfits = places::check_lines(&rendered.text, document.lines(), &rendered.printed, kind);
    let pools = Arc::new(pools_in(&document));
    let text = rendered.text.into();
    let (reads, waiting, printed) = (rendered.reads, rendered.waiting, rendered.printed);
    Ok(Page { text, pools, reads, waiting, printed, misfits, keys: Vec::new() })
}

/// A key that was there and is gone keeps its value (as with Consul Template): a template waits for a key that
/// never was, but one that is deleted must not freeze the membership of its pools.
fn deleted_keys(
    waiting: &BTreeSet<Query>,
    catalogue: &Catalogue,
    last_good: &Catalogue,
) -> Vec<(Query, Answer)> {
    waiting
        .iter()
        .filter(|query| matches!(catalogue.get(query), Some(Answer::Value(None))))
        .filter_map(|query| Some((query.clone(), last_good.get(query)?.clone())))
        .filter(|(_, answer)| matches!(answer, Answer::Value(Some(_))))
        .collect()
}

/// The catalogue with the values that stood in for deleted keys: the next turn finds them there again.
fn with_keys(catalogue: Arc<Catalogue>, pages: &[Option<Rendered>]) -> Arc<Catalogue> {
    let keys: Vec<&(Query, Answer)> =
        pages.iter().flatten().flat_map(Rendered::as_ref).flat_map(|page| &page.keys).collect();
    if keys.is_empty() {
        return catalogue;
    }
    let mut with_keys = Catalogue::clone(&catalogue);
    for (query, answer) in keys {
        with_keys.insert(query.clone(), answer.clone());
    }
    Arc::new(with_keys)
}

fn effective(guard: &Guard, clean: &Arc<Catalogue>) -> Arc<Catalogue> {
    if guard.is_idle() { clean.clone() } else { Arc::new(guard.effective(clean)) }
}

/// The pools that the pages give; an output without a usable page keeps those in force.
fn wanted_pools(inputs: &Inputs<'_>, pages: &[Option<Rendered>]) -> Arc<Pools> {
    union(inputs.choices.iter().zip(pages).map(|(choice, page)| match page {
        Some(Ok(page)) if page.waiting.is_empty() => &page.pools,
        _ => choice.in_force,
    }))
}

fn union<'a>(parts: impl Iterator<Item = &'a Arc<Pools>>) -> Arc<Pools> {
    let parts: Vec<&Arc<Pools>> = parts.filter(|pools| !pools.is_empty()).collect();
    if let [one] = parts.as_slice() {
        return (*one).clone();
    }
    let mut union = Pools::new();
    for (backend, servers) in parts.into_iter().flat_map(|pools| pools.iter()) {
        Arc::make_mut(union.entry(backend.clone()).or_default()).extend(servers.iter().cloned());
    }
    Arc::new(union)
}

fn printouts<'a>(inputs: &'a Inputs<'_>, pages: &'a [Option<Rendered>]) -> Vec<Printout<'a>> {
    let both = inputs.choices.iter().zip(pages);
    both.filter_map(|(choice, page)| {
        let page = page.as_ref()?.as_ref().ok()?;
        let (text, printed, reads, misfits) = (&page.text, &page.printed, &page.reads, &page.misfits);
        Some(Printout { destination: choice.destination, text, printed, reads, misfits })
    })
    .collect()
}

fn outcome(page: Option<Rendered>) -> Outcome {
    match page {
        None => Outcome::NoSource,
        Some(Err(error)) => Outcome::Failed(error),
        Some(Ok(page)) if !page.waiting.is_empty() => Outcome::Waiting(page.waiting.clone()),
        Some(Ok(page)) => match page.misfits.first() {
            None => Outcome::Text { text: page.text.clone(), pools: page.pools.clone() },
            Some(misfit) => Outcome::Failed(format!(
                "line {} of the output: {}: {:?}: {}. If the value is meant, print it with {{{{raw …}}}}",
                misfit.line, misfit.place, misfit.value, misfit.reason
            )),
        },
    }
}
