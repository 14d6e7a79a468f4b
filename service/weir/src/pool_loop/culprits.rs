//! Whose value was printed where it does not fit.
//!
//! In: what was rendered, with the misfits in it. Out: the catalogue without the instances that the misfitting values
//! come from. A value is traced by what it is and by what stands beside it in the same line, so that one
//! hostile registration takes nobody else along.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use weir_pools::places::Misfit;
use weir_pools::{Answer, Catalogue, Instance, Query, ServiceEntry};

use crate::status::LeftOut;

/// One render with what misfits in it.
#[derive(Debug)]
pub(crate) struct Printout<'a> {
    pub(crate) destination: &'a Path,
    pub(crate) text: &'a str,
    pub(crate) printed: &'a [Range<usize>],
    pub(crate) reads: &'a BTreeSet<Query>,
    pub(crate) misfits: &'a [Misfit],
}

/// The catalogue without those whose values were printed where they do not fit, and who they are.
pub(crate) fn without_culprits(
    printouts: &[Printout<'_>],
    catalogue: &Catalogue,
) -> (Catalogue, BTreeSet<LeftOut>) {
    let mut cleaner = catalogue.clone();
    let mut culprits = BTreeSet::new();
    for printout in printouts {
        for misfit in printout.misfits {
            let place = format!("{}:{}: {}", printout.destination.display(), misfit.line, misfit.place);
            let clue = Clue { value: &misfit.value, beside: beside(printout, misfit) };
            for query in printout.reads {
                remove(&mut cleaner, query, &clue, |service, instance, node| {
                    let reason = format!("{:?}: {}", misfit.value, misfit.reason);
                    let clean = |text: &str| text.escape_debug().to_string();
                    let (service, instance, node) = (clean(service), clean(instance), clean(node));
                    culprits.insert(LeftOut { service, instance, node, place: place.clone(), reason });
                });
            }
        }
    }
    (cleaner, culprits)
}

/// What is known of a culprit: the value that misfits, and the values printed in the same line.
#[derive(Debug)]
struct Clue<'a> {
    value: &'a str,
    beside: Vec<&'a str>,
}

/// The values that the template printed into the misfit's line.
fn beside<'a>(printout: &Printout<'a>, misfit: &Misfit) -> Vec<&'a str> {
    let text = printout.text;
    let start = text[..misfit.span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[misfit.span.end..].find('\n').map_or(text.len(), |newline| misfit.span.end + newline);
    let inside = |span: &&Range<usize>| span.start >= start && span.end <= end && **span != misfit.span;
    printout.printed.iter().filter(inside).filter_map(|span| text.get(span.clone())).collect()
}

/// Removes the culprits from one answer, and reports each as service, instance, node.
fn remove(
    catalogue: &mut Catalogue,
    query: &Query,
    clue: &Clue<'_>,
    mut report: impl FnMut(&str, &str, &str),
) {
    match catalogue.get(query).cloned() {
        Some(Answer::Instances(instances)) => {
            let out = pick(&instances, clue, instance_fields);
            for instance in out.iter().map(|index| &instances[*index]) {
                report(&instance.name, &instance.id, &instance.node);
            }
            catalogue.insert(query.clone(), Answer::Instances(without(&instances, &out).into()));
        }
        Some(Answer::Services(entries)) => {
            let out = pick(&entries, clue, entry_fields);
            for entry in out.iter().map(|index| &entries[*index]) {
                report(&entry.name, "", "");
            }
            catalogue.insert(query.clone(), Answer::Services(without(&entries, &out).into()));
        }
        Some(Answer::Value(_) | Answer::Pairs(_)) | None => {}
    }
}

fn without<T: Clone>(list: &[T], out: &BTreeSet<usize>) -> Vec<T> {
    list.iter().enumerate().filter(|(index, _)| !out.contains(index)).map(|(_, item)| item.clone()).collect()
}

/// The members of a list that the clue points to: those of which the value is a field; else a part of a field; else
/// (a template may have changed it) those that carry any unusual character. Among several, those that also
/// explain what stands beside it.
fn pick<T>(list: &[T], clue: &Clue<'_>, fields: impl Fn(&T) -> Vec<String>) -> BTreeSet<usize> {
    let fields: Vec<Vec<String>> = list.iter().map(fields).collect();
    let is = |all: &[String]| all.iter().any(|field| field == clue.value);
    let part = |all: &[String]| {
        !clue.value.is_empty() && all.iter().any(|field| unusual(field) && field.contains(clue.value))
    };
    let odd = |all: &[String]| unusual(clue.value) && all.iter().any(|field| unusual(field));
    let by = |tier: &dyn Fn(&[String]) -> bool| -> BTreeSet<usize> {
        (0..list.len()).filter(|index| tier(&fields[*index])).collect()
    };
    let found = [by(&is), by(&part), by(&odd)].into_iter().find(|found| !found.is_empty());
    found.map_or_else(BTreeSet::new, |found| narrowed(&found, &fields, clue))
}

fn narrowed(found: &BTreeSet<usize>, fields: &[Vec<String>], clue: &Clue<'_>) -> BTreeSet<usize> {
    // A number may be computed, such as `ServerId`: then it says nothing about whose it is.
    let number = |value: &str| value.bytes().all(|byte| byte.is_ascii_digit());
    let explained = |index: &usize, value: &str| fields[*index].iter().any(|field| field == value);
    let by = |telling: &dyn Fn(&str) -> bool| -> BTreeSet<usize> {
        let beside = || clue.beside.iter().filter(|value| telling(value));
        found.iter().filter(|index| beside().all(|value| explained(index, value))).copied().collect()
    };
    let narrow = [by(&|_| true), by(&|value| !number(value))];
    narrow.into_iter().find(|narrow| !narrow.is_empty()).unwrap_or_else(|| found.clone())
}

/// Whether a value holds anything beyond what names, addresses and numbers are made of.
fn unusual(value: &str) -> bool {
    !value.chars().all(|c| c.is_ascii_alphanumeric() || "._:/@=+,~-".contains(c))
}

/// Everything of an instance that a template can print.
fn instance_fields(instance: &Instance) -> Vec<String> {
    let words = [
        &instance.id,
        &instance.name,
        &instance.address,
        &instance.node,
        &instance.node_id,
        &instance.node_address,
        &instance.datacenter,
    ];
    let maps = [
        &instance.service_meta,
        &instance.node_meta,
        &instance.service_tagged_addresses,
        &instance.node_tagged_addresses,
    ];
    let entries = maps.iter().flat_map(|map| map.iter()).flat_map(|(key, value)| [key, value]);
    let checks = instance.checks.iter().flat_map(|check| [&check.name, &check.check_id]);
    let all = words.into_iter().chain(&instance.tags).chain(entries).chain(checks);
    let mut fields: Vec<String> = all.cloned().collect();
    fields.extend([instance.port.to_string(), instance.server(), instance.status.as_str().to_owned()]);
    fields
}

fn entry_fields(entry: &ServiceEntry) -> Vec<String> {
    std::iter::once(&entry.name).chain(&entry.tags).cloned().collect()
}
