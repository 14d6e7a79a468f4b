//! What should be in force: render, leave out what does not fit, keep what would be emptied.
//!
//! In: the sources in use, the catalogue, what is in force. Out: [`Wanted`], a text or a reason for each output.
//! Pure but for a cache of renders; the guard's memory changes with what it holds and lets go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haproxy_cfg::Sections;
use weir_pools::guard::{self, Guard, Pools, Shift, Step};
use weir_pools::places::{Checked, OutputKind};
use weir_pools::{Answer, Catalogue, Query};
use weir_template::Template;

use super::banned::Banned;
use super::culprits::{Printout, on_line, without_culprits};
use super::servers::pools_again;
use crate::config::{Environment, Haproxy};
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
    /// The same in every turn.
    pub(crate) environment: &'a Arc<Environment>,
    /// The same in every turn; absent where no HAProxy loads the outputs.
    pub(crate) haproxy: Option<&'a Haproxy>,
    /// Backends that may become empty now, whatever the configuration says.
    pub(crate) released: BTreeSet<String>,
}

impl Inputs<'_> {
    fn may_be_empty(&self, backend: &str) -> bool {
        self.released.contains(backend) || self.haproxy.is_some_and(|haproxy| haproxy.may_be_empty(backend))
    }

    /// A pool of which less than so many percent are healthy keeps those that were. Without an HAProxy there are no checks
    /// of its own that would look after what is kept.
    fn panic_threshold(&self) -> u8 {
        self.haproxy.map_or(0, |haproxy| haproxy.panic_threshold)
    }
}

/// What should be in force.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) reads: Arc<BTreeSet<Query>>,
    /// The catalogue that the texts were rendered from: what Consul says, less what is left out, plus what is kept.
    pub(crate) effective: Arc<Catalogue>,
    pub(crate) left_out: BTreeSet<LeftOut>,
    /// Pools that are kept from now on.
    pub(crate) held: BTreeSet<String>,
    /// Pools that are no longer kept, and why.
    pub(crate) released: BTreeMap<String, String>,
    /// Pools that would become empty and for which nothing can be kept: no text may be put in force.
    pub(crate) untraceable: BTreeSet<String>,
}

/// What should be in one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Text {
        text: Arc<str>,
        /// The text in its sections; what did not change since the last turn is the same in memory.
        sections: Sections,
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
#[derive(Debug)]
struct Page {
    text: Arc<str>,
    sections: Sections,
    checked: Checked,
    pools: Arc<Pools>,
    reads: Arc<BTreeSet<Query>>,
    waiting: Arc<BTreeSet<Query>>,
    /// Keys that are gone and whose last values were used.
    keys: Vec<(Query, Answer)>,
}

impl Page {
    /// Whether it has the values of deleted keys that these last good answers give.
    fn keeps_keys_of(&self, catalogue: &Catalogue, last_good: &Catalogue) -> bool {
        self.keys.iter().all(|(query, answer)| last_good.get(query) == Some(answer))
            && deleted_keys(&self.waiting, catalogue, last_good).is_empty()
    }
}

type Rendered = Result<Arc<Page>, String>;

/// Renders, and remembers the last renders: a template is rendered again only when something that it read differs, and of
/// its text only what differs is read and checked again.
#[derive(Debug, Default)]
pub(crate) struct Renderer {
    remembered: BTreeMap<std::path::PathBuf, Vec<Memo>>,
    united: United,
    last: Option<Decision>,
}

/// What was decided last, and from what. The guard stayed as it was: the same inputs give the same again.
#[derive(Debug)]
struct Decision {
    catalogue: Arc<Catalogue>,
    last_good: Arc<Catalogue>,
    choices: Vec<(Option<Arc<Template>>, bool, Arc<Pools>)>,
    released: BTreeSet<String>,
    guard: Guard,
    wanted: Wanted,
}

impl Decision {
    fn of(inputs: &Inputs<'_>, guard: Guard, wanted: Wanted) -> Self {
        let choices = inputs.choices.iter();
        let choice = |choice: &Choice<'_>| (choice.template.cloned(), choice.edited, choice.in_force.clone());
        Self {
            catalogue: inputs.catalogue.clone(),
            last_good: inputs.last_good.clone(),
            choices: choices.map(choice).collect(),
            released: inputs.released.clone(),
            guard,
            wanted,
        }
    }

    fn holds(&self, inputs: &Inputs<'_>, guard: &Guard) -> bool {
        let is_template = |known: Option<&Arc<Template>>, now: Option<&Arc<Template>>| match (known, now) {
            (Some(known), Some(now)) => Arc::ptr_eq(known, now),
            (known, now) => known.is_none() && now.is_none(),
        };
        let mut choices = self.choices.iter().zip(inputs.choices);
        Arc::ptr_eq(&self.catalogue, inputs.catalogue)
            && Arc::ptr_eq(&self.last_good, inputs.last_good)
            && self.choices.len() == inputs.choices.len()
            && choices.all(|((template, edited, in_force), now)| {
                is_template(template.as_ref(), now.template)
                    && *edited == now.edited
                    && Arc::ptr_eq(in_force, now.in_force)
            })
            && self.released == inputs.released
            && self.guard == *guard
    }
}

/// What all outputs read, and of what it was made.
#[derive(Debug, Default)]
struct United {
    parts: Vec<Arc<BTreeSet<Query>>>,
    all: Arc<BTreeSet<Query>>,
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
        let printout = printout(destination, &memo.page);
        lines.iter().flat_map(|line| on_line(&printout, *line, &memo.catalogue, reason)).collect()
    }

    /// The text that a catalogue gives, where it can be used. Nothing of it is remembered: it is only tried.
    pub(crate) fn text(
        &self,
        choice: &Choice<'_>,
        catalogue: &Catalogue,
        environment: &Arc<Environment>,
    ) -> Option<Arc<str>> {
        let known = self.remembered.get(choice.destination).and_then(|memos| memos.first());
        let page = page(choice.template?, catalogue, choice.kind, environment, known.map(|memo| &*memo.page));
        let page = page.ok().filter(|page| page.waiting.is_empty() && page.checked.fits())?;
        Some(page.text)
    }

    /// Decides what should be in force. Costs next to nothing where nothing changed: a loop is woken many times for each change.
    pub(crate) fn want(&mut self, inputs: &Inputs<'_>, guard: &mut Guard) -> Wanted {
        if let Some(last) = self.last.as_ref().filter(|last| last.holds(inputs, guard)) {
            return last.wanted.clone();
        }
        let before = guard.clone();
        let wanted = self.decide(inputs, guard);
        self.last = (*guard == before).then(|| Decision::of(inputs, before, wanted.clone()));
        wanted
    }

    fn decide(&mut self, inputs: &Inputs<'_>, guard: &mut Guard) -> Wanted {
        let (clean, left_out) = self.leave_out(inputs);
        let (mut held, released) = self.look_after_held(inputs, &clean, guard);
        let mut effective = effective(guard, &clean);
        let mut pages = self.render_all(inputs, &effective);
        let mut emptied = self.emptied(inputs, &pages);
        if !emptied.is_empty() {
            let verdict = guard.hold(&emptied, &in_force(inputs), inputs.last_good, &clean);
            held.extend(verdict.held);
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
        let reads = self.united.again(pages.iter().flatten().flatten().map(|page| &page.reads));
        let outcomes = pages.into_iter().map(outcome).collect();
        Wanted { outcomes, reads, effective, left_out, held, released, untraceable: emptied }
    }

    /// The catalogue without the instances whose printed values do not fit their places.
    fn leave_out(&mut self, inputs: &Inputs<'_>) -> (Arc<Catalogue>, BTreeSet<LeftOut>) {
        let mut catalogue = inputs.catalogue.clone();
        let mut left_out = BTreeSet::new();
        for _ in 0..ROUNDS {
            let pages = self.render_all(inputs, &catalogue);
            let printouts = misfitting(inputs, &pages);
            if printouts.is_empty() {
                break;
            }
            let (cleaner, culprits) = without_culprits(&printouts, &catalogue);
            if culprits.is_empty() {
                break;
            }
            left_out.extend(culprits);
            catalogue = Arc::new(cleaner);
        }
        (catalogue, left_out)
    }

    /// Holds and releases pools by what the catalogue alone gives.
    fn look_after_held(
        &mut self,
        inputs: &Inputs<'_>,
        clean: &Arc<Catalogue>,
        guard: &mut Guard,
    ) -> (BTreeSet<String>, BTreeMap<String, String>) {
        let back = self.take_back(inputs, clean, guard);
        let shift = self.watch(inputs, clean, guard);
        let back = back.into_iter().map(|backend| (backend, "instances came back".to_owned()));
        let calm = shift.released.into_iter().map(|(backend, share)| (backend, share.to_string()));
        (shift.held, back.chain(calm).collect())
    }

    /// Keeps pools of which most servers turned critical.
    fn watch(&mut self, inputs: &Inputs<'_>, clean: &Arc<Catalogue>, guard: &mut Guard) -> Shift {
        let pages = self.render_all(inputs, clean);
        let given = pages.iter().map(|page| match page {
            Some(Ok(page)) if page.waiting.is_empty() => Some(&*page.pools),
            _ => None,
        });
        let in_force = inputs.choices.iter().map(|choice| &**choice.in_force);
        let outputs: Vec<guard::Turn<'_>> = in_force.zip(given).collect();
        guard.watch(&Step {
            outputs: &outputs,
            last_good: inputs.last_good,
            catalogue: clean,
            threshold: inputs.panic_threshold(),
            released: &|backend| inputs.may_be_empty(backend),
        })
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
        let pools: Vec<&Pools> =
            usable.filter(|page| page.waiting.is_empty()).map(|page| &*page.pools).collect();
        guard.replace(&pools, clean)
    }

    /// The pools that would become empty by an answer. A pool that is empty with the last good answers too was emptied
    /// by an edit of its template: that is meant.
    fn emptied(&mut self, inputs: &Inputs<'_>, pages: &[Option<Rendered>]) -> BTreeSet<String> {
        let (in_force, wanted) = (in_force(inputs), wanted_pools(inputs, pages));
        let mut emptied = guard::emptied(&in_force, &wanted, |backend| inputs.may_be_empty(backend));
        if emptied.is_empty() || !inputs.choices.iter().any(|choice| choice.edited) {
            return emptied;
        }
        // An edit that leaves no server at all is a template that was cut off while it was copied.
        if wanted.iter().any(|pools| pools.values().any(|servers| !servers.is_empty())) {
            let before = self.render_all(inputs, inputs.last_good);
            let complete =
                before.iter().flatten().all(|page| page.as_ref().is_ok_and(|page| page.waiting.is_empty()));
            let before = wanted_pools(inputs, &before);
            let meant = guard::emptied(&in_force, &before, |backend| inputs.may_be_empty(backend));
            // Where the last good answers do not cover what the edit reads, a backend that it no longer names is
            // taken as meant, one that it leaves without servers is not.
            let named = |backend: &String| wanted.iter().any(|pools| pools.contains_key(backend.as_str()));
            emptied.retain(|backend| if complete { !meant.contains(backend) } else { named(backend) });
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
        if let Some(page) = self.remembered(choice.destination, template, catalogue, inputs.last_good) {
            return Ok(page);
        }
        let known = self.remembered.get(choice.destination).and_then(|memos| memos.first());
        let known = known.map(|memo| &*memo.page);
        let mut page = page(template, catalogue, choice.kind, inputs.environment, known)?;
        let keys = deleted_keys(&page.waiting, catalogue, inputs.last_good);
        if !keys.is_empty() {
            let mut with_keys = Catalogue::clone(catalogue);
            for (query, answer) in &keys {
                with_keys.insert(query.clone(), answer.clone());
            }
            page = self::page(template, &with_keys, choice.kind, inputs.environment, known)?;
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
        last_good: &Catalogue,
    ) -> Option<Arc<Page>> {
        let memos = self.remembered.get(destination)?;
        let is_same = |memo: &&Memo| Arc::ptr_eq(&memo.catalogue, catalogue);
        let is_own = |memo: &&Memo| {
            Arc::ptr_eq(&memo.template, template) && memo.page.keeps_keys_of(catalogue, last_good)
        };
        let own = || memos.iter().filter(is_own);
        if let Some(memo) = own().find(is_same) {
            return Some(memo.page.clone());
        }
        // What differs from one of them often does from all: that is looked at before all the rest.
        let news: Vec<&Query> = own().next()?.catalogue.differing(catalogue).collect();
        let agrees = |memo: &&Memo| {
            let reads = &memo.page.reads;
            let is_other = |query: &&Query| memo.catalogue.get(query) != catalogue.get(query);
            !news.iter().any(|query| reads.contains(*query) && is_other(query))
                && memo.catalogue.agrees(catalogue, reads)
        };
        own().find(agrees).map(|memo| memo.page.clone())
    }
}

impl United {
    fn again<'a>(&mut self, parts: impl Iterator<Item = &'a Arc<BTreeSet<Query>>>) -> Arc<BTreeSet<Query>> {
        let parts: Vec<Arc<BTreeSet<Query>>> = parts.cloned().collect();
        if self.parts != parts {
            self.all = match parts.as_slice() {
                [one] => one.clone(),
                parts => Arc::new(parts.iter().flat_map(|part| part.iter().cloned()).collect()),
            };
            self.parts = parts;
        }
        self.all.clone()
    }
}

/// One render, of which what is as in the `known` one costs next to nothing.
fn page(
    template: &Template,
    catalogue: &Catalogue,
    kind: OutputKind,
    environment: &Arc<Environment>,
    known: Option<&Page>,
) -> Result<Page, String> {
    let rendered = template.render(catalogue, environment).map_err(|error| error.to_string())?;
    let nothing = (Sections::default(), Checked::default(), Arc::default());
    let (sections, checked, pools) = known
        .map_or((&nothing.0, &nothing.1, &nothing.2), |page| (&page.sections, &page.checked, &page.pools));
    let text = rendered.text;
    let now = sections.parse_again(if kind == OutputKind::Haproxy { text.clone() } else { "".into() });
    let checked = checked.again(&text, &now, &rendered.printed, kind);
    let pools = pools_again(sections, pools, &now);
    let (reads, waiting) = (rendered.reads, rendered.waiting);
    Ok(Page { text, sections: now, checked, pools, reads, waiting, keys: Vec::new() })
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

/// The pools in force, output by output.
fn in_force<'a>(inputs: &Inputs<'a>) -> Vec<&'a Pools> {
    inputs.choices.iter().map(|choice| &**choice.in_force).collect()
}

/// The pools that the pages give; an output without a usable page keeps those in force.
fn wanted_pools<'a>(inputs: &Inputs<'a>, pages: &'a [Option<Rendered>]) -> Vec<&'a Pools> {
    let both = inputs.choices.iter().zip(pages);
    both.map(|(choice, page)| match page {
        Some(Ok(page)) if page.waiting.is_empty() => &*page.pools,
        _ => &**choice.in_force,
    })
    .collect()
}

/// The renders in which something does not fit its place.
fn misfitting<'a>(inputs: &'a Inputs<'_>, pages: &'a [Option<Rendered>]) -> Vec<Printout<'a>> {
    let both = inputs.choices.iter().zip(pages);
    let usable = both.filter_map(|(choice, page)| Some((choice.destination, page.as_ref()?.as_ref().ok()?)));
    let misfitting = usable.filter(|(_, page)| !page.checked.fits());
    misfitting.map(|(destination, page)| printout(destination, page)).collect()
}

fn printout<'a>(destination: &'a std::path::Path, page: &'a Page) -> Printout<'a> {
    let (printed, misfits) = (page.checked.printed(), page.checked.misfits());
    Printout { destination, text: &page.text, printed, reads: &page.reads, misfits }
}

fn outcome(page: Option<Rendered>) -> Outcome {
    match page {
        None => Outcome::NoSource,
        Some(Err(error)) => Outcome::Failed(error),
        Some(Ok(page)) if !page.waiting.is_empty() => Outcome::Waiting(BTreeSet::clone(&page.waiting)),
        Some(Ok(page)) => match page.checked.misfits().first() {
            None => Outcome::Text {
                text: page.text.clone(),
                sections: page.sections.clone(),
                pools: page.pools.clone(),
            },
            Some(misfit) => Outcome::Failed(format!(
                "line {} of the output: {}: {:?}: {}. If the value is meant, print it with {{{{raw …}}}}",
                misfit.line, misfit.place, misfit.value, misfit.reason
            )),
        },
    }
}

#[cfg(test)]
mod tests;
