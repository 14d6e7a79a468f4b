//! The search for what HAProxy refuses where its message leads to nobody.
//!
//! In: texts that were refused, and the catalogue that they came of. Out: texts to try out, one after the other beside everything
//! else that goes on, and in the end what is left out. First among what Consul says that is new since the texts that were accepted
//! last, then among the sections that differ. A search goes on over news, whose culprits are the same; it ends when other
//! texts are accepted, a template is edited, or none of its suspects is there any more.

use std::sync::Arc;
use std::time::Instant;

use haproxy_cfg::Sections;
use weir_pools::Catalogue;
use weir_pools::places::OutputKind;

use super::banned::{Banned, Suspect, suspects, without};
use super::bisect::{Bisect, Next};
use super::piece::{Piece, pieces, with_before};
use super::servers::pools_again;
use super::turn::choice;
use super::wanted::{Outcome, Wanted};
use super::{BANNED, Effect, Files, PoolLoop};
use crate::status::LeftOut;

/// What is searched, and what was found.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The catalogue that the texts came of that were accepted last.
    accepted: Arc<Catalogue>,
    running: Option<Running>,
    /// Counts searches, so that a late verdict is told from those of the running one.
    number: u64,
    /// Texts in which nothing was found.
    hopeless: Option<Files>,
    /// Sections that stay as they were, and until when.
    pieces: Vec<(Piece, LeftOut, Instant)>,
}

/// Texts that HAProxy refuses.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) files: Files,
    pub(super) offered: Arc<Catalogue>,
    /// Its own words.
    pub(super) problem: String,
}

#[derive(Debug)]
struct Running {
    refusal: Refusal,
    among: Among,
    bisect: Bisect,
}

#[derive(Debug)]
enum Among {
    Suspects(Vec<Suspect>),
    Pieces(Vec<Piece>),
}

impl Among {
    fn bisect(&self) -> Bisect {
        Bisect::new(match self {
            Self::Suspects(suspects) => suspects.len(),
            Self::Pieces(pieces) => pieces.len(),
        })
    }
}

impl Search {
    pub(super) fn new(accepted: Arc<Catalogue>) -> Self {
        Self { accepted, ..Self::default() }
    }

    /// Texts that came of this catalogue were accepted.
    pub(super) fn accept(&mut self, catalogue: Arc<Catalogue>) {
        self.accepted = catalogue;
        self.hopeless = None;
        self.abandon();
    }

    /// What is searched is of no interest any more.
    pub(super) fn abandon(&mut self) {
        self.running = None;
    }

    /// When a section that stays as it was is tried again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.pieces.iter().map(|(.., until)| *until).min()
    }

    /// Whether no section stays as it was.
    pub(super) fn keeps_nothing(&self) -> bool {
        self.pieces.is_empty()
    }

    fn keep(&mut self, piece: Piece, left_out: LeftOut, until: Instant) {
        self.pieces.retain(|(other, ..)| !other.is_of_the_same(&piece));
        self.pieces.push((piece, left_out, until));
    }

    /// Puts the sections that HAProxy refuses back to what they were.
    pub(super) fn leave_out(&mut self, now: Instant, wanted: &mut Wanted) {
        self.pieces.retain(|(.., until)| *until > now);
        for (index, outcome) in wanted.outcomes.iter_mut().enumerate() {
            let Outcome::Text { text, sections, pools } = outcome else { continue };
            let here =
                self.pieces.iter().filter(|(piece, ..)| piece.output == index && piece.stands(sections));
            let (here, left_out): (Vec<&Piece>, Vec<&LeftOut>) =
                here.map(|(piece, left_out, _)| (piece, left_out)).unzip();
            if here.is_empty() {
                continue;
            }
            *text = with_before(sections, &here).into();
            let again = sections.parse_again(text.clone());
            *pools = pools_again(sections, pools, &again);
            *sections = again;
            wanted.left_out.extend(left_out.into_iter().cloned());
        }
    }
}

impl PoolLoop {
    /// Looks for the cause of a refusal that names nobody. A search that is on its way goes on.
    pub(super) fn seek(&mut self, now: Instant, refusal: Refusal) {
        if self.search.running.is_some() || self.search.hopeless.as_ref() == Some(&refusal.files) {
            return;
        }
        let mut suspects = suspects(&self.search.accepted, &refusal.offered, &self.reads);
        suspects.retain(|suspect| suspect.stands(&self.catalogue));
        if suspects.is_empty() {
            self.seek_in_sections(now, refusal);
        } else {
            self.begin_search(now, Among::Suspects(suspects), refusal);
        }
    }

    /// Only where all templates have proven themselves: who edits one sees what is wrong with it.
    fn seek_in_sections(&mut self, now: Instant, refusal: Refusal) {
        let mut found = Vec::new();
        for (index, text) in &refusal.files {
            let output = &self.outputs[*index];
            match (&output.in_force, &output.good) {
                (Some(before), Some(_)) if !output.uses_edit() && output.kind == OutputKind::Haproxy => {
                    let sections = |text: &Arc<str>| Sections::parse(text.clone());
                    found.extend(pieces(*index, &sections(before), &sections(text)));
                }
                _ => {}
            }
        }
        if found.is_empty() {
            self.search.hopeless = Some(refusal.files);
        } else {
            self.begin_search(now, Among::Pieces(found), refusal);
        }
    }

    fn begin_search(&mut self, now: Instant, among: Among, refusal: Refusal) {
        let bisect = among.bisect();
        self.search.number += 1;
        self.search.running = Some(Running { refusal, among, bisect });
        self.ask(now);
    }

    /// HAProxy's verdict on texts that were tried out, or why there is none.
    pub(super) fn tried(&mut self, now: Instant, number: u64, verdict: Result<bool, String>) {
        if self.search.running.is_none() || number != self.search.number {
            return;
        }
        match verdict {
            Ok(is_accepted) if self.is_of_interest() => self.verdict(now, is_accepted),
            Ok(_) => self.search.abandon(),
            Err(problem) => {
                tracing::warn!("the cause of the refusal is not searched any further: {problem}");
                self.search.abandon();
            }
        }
    }

    fn is_of_interest(&self) -> bool {
        match self.search.running.as_ref().map(|running| &running.among) {
            Some(Among::Suspects(suspects)) => suspects.iter().any(|who| who.stands(&self.catalogue)),
            Some(Among::Pieces(_)) => true,
            None => false,
        }
    }

    fn verdict(&mut self, now: Instant, is_accepted: bool) {
        let Some(running) = &mut self.search.running else { return };
        match running.bisect.answer(is_accepted) {
            Next::Ask => self.ask(now),
            Next::Found(culprits) => self.found(now, &culprits),
            Next::Elsewhere => match self.search.running.take() {
                Some(Running { refusal, among: Among::Suspects(_), .. }) => {
                    self.seek_in_sections(now, refusal);
                }
                Some(Running { refusal, .. }) => self.search.hopeless = Some(refusal.files),
                None => {}
            },
        }
    }

    fn ask(&mut self, now: Instant) {
        match self.question() {
            Some(files) => self.effects.push(Effect::TryOut { number: self.search.number, files }),
            // What cannot be rendered cannot be in force either.
            None => self.verdict(now, false),
        }
    }

    /// The texts to try out next.
    fn question(&self) -> Option<Files> {
        let Running { refusal, among, bisect } = self.search.running.as_ref()?;
        match among {
            Among::Suspects(suspects) => {
                let out = suspects.iter().enumerate().filter(|(at, _)| !bisect.is_in_force(*at));
                let catalogue = without(&refusal.offered, out.map(|(_, suspect)| suspect));
                self.texts_of(&catalogue)
            }
            Among::Pieces(pieces) => {
                let out = pieces.iter().enumerate().filter(|(at, _)| !bisect.is_in_force(*at));
                let out: Vec<&Piece> = out.map(|(_, piece)| piece).collect();
                Some(refusal.files.iter().map(|(index, text)| (*index, mixed(*index, text, &out))).collect())
            }
        }
    }

    /// What the catalogue gives, output by output.
    fn texts_of(&self, catalogue: &Catalogue) -> Option<Files> {
        let outputs =
            self.outputs.iter().enumerate().filter(|(_, output)| output.kind == OutputKind::Haproxy);
        let text = |(index, output)| {
            Some((index, self.renderer.text(&choice(output), catalogue, &self.environment)?))
        };
        outputs.map(text).collect()
    }

    fn found(&mut self, now: Instant, culprits: &[usize]) {
        let Some(Running { refusal, among, .. }) = self.search.running.take() else { return };
        let until = now + BANNED;
        let place = self.place(&refusal);
        match among {
            Among::Suspects(suspects) => self.banned.extend(culprits.iter().map(|at| {
                let left_out = suspects[*at].left_out(&place, &refusal.problem);
                (Banned { suspect: suspects[*at].clone(), left_out }, until)
            })),
            Among::Pieces(pieces) => {
                for at in culprits {
                    let left_out = section_left_out(&pieces[*at], &place, &refusal.problem);
                    self.search.keep(pieces[*at].clone(), left_out, until);
                }
            }
        }
    }

    /// The files that were refused.
    fn place(&self, refusal: &Refusal) -> String {
        let names = refusal.files.iter().map(|(index, _)| &self.outputs[*index].config.destination);
        names.map(|destination| destination.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

fn mixed(index: usize, text: &Arc<str>, out: &[&Piece]) -> Arc<str> {
    let out: Vec<&Piece> = out.iter().copied().filter(|piece| piece.output == index).collect();
    if out.is_empty() { text.clone() } else { with_before(&Sections::parse(text.clone()), &out).into() }
}

fn section_left_out(piece: &Piece, place: &str, reason: &str) -> LeftOut {
    let service = format!("section {}", piece.title().escape_debug());
    let reason = format!("the section stays as it was: {reason}");
    LeftOut { service, instance: String::new(), node: String::new(), place: place.to_owned(), reason }
}
