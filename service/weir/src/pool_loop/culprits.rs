//! Whose value was printed where it does not fit.
//!
//! In: what was rendered, with the misfits in it. Out: the catalogue without the instances that the misfitting values
//! come from. A value is traced by what it is and by what stands beside it in the same line, so that one
//! hostile registration takes nobody else along.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use weir_pools::places::Misfit;
use weir_pools::{Answer, Catalogue, Instance, Query, ServiceEntry};

use super::banned::{Banned, Suspect};
use crate::status::LeftOut;

/// One render with what misfits in it.
#[derive(Debug)]
pub(crate) struct Printout<'a> {
    pub(crate) destination: &'a Path,
    pub(crate) text: &'a str,
    pub(crate) printed: &'a [Range<usize>],
    pub(crate) reads: &'a BTreeSet<Query>,
    pub(crate) misfits: Vec<Misfit>,
}

/// The catalogue without those whose values were printed where they do not fit, and who they are.
pub(crate) fn without_culprits(
    printouts: &[Printout<'_>],
    catalogue: &Catalogue,
) -> (Catalogue, BTreeSet<LeftOut>) {
    let mut out: BTreeMap<&Query, BTreeSet<usize>> = BTreeMap::new();
    let mut culprits = BTreeSet::new();
    for printout in printouts {
        for misfit in &printout.misfits {
            let place = format!("{}:{}: {}", printout.destination.display(), misfit.line, misfit.place);
            let clue = Clue { value: &misfit.value, beside: beside(printout, misfit) };
            // Each misfit is traced in the whole catalogue: a culprit that another misfit gave away is still there.
            for (query, index) in found(printout.reads, catalogue, &clue) {
                let Some(answer) = catalogue.get(query) else { continue };
                let reason = format!("{:?}: {}", misfit.value, misfit.reason);
                culprits
                    .extend(Suspect::member(query, answer, index).map(|who| who.left_out(&place, &reason)));
                out.entry(query).or_default().insert(index);
            }
        }
    }
    let mut cleaner = catalogue.clone();
    for (query, out) in out.into_iter().filter(|(_, out)| !out.is_empty()) {
        let Some(answer) = catalogue.get(query).map(|answer| without(answer, &out)) else { continue };
        cleaner.insert(query.clone(), answer);
    }
    (cleaner, one_each(culprits))
}

/// One report for each culprit, however often it misfits.
fn one_each(culprits: BTreeSet<LeftOut>) -> BTreeSet<LeftOut> {
    let mut seen = BTreeSet::new();
    let key = |left: &LeftOut| (left.service.clone(), left.instance.clone(), left.node.clone());
    culprits.into_iter().filter(|left| seen.insert(key(left))).collect()
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

/// The members of the catalogue that the clue points to: those of which the value is a field; else a part of a
/// field; else (a template may have changed it) those of which a field has all its unusual characters, or any. The
/// strongest evidence anywhere counts, so that a hostile value of one service accuses nobody of another. Among several,
/// those that also explain what stands beside it.
fn found<'a>(reads: &'a BTreeSet<Query>, catalogue: &Catalogue, clue: &Clue<'_>) -> Vec<(&'a Query, usize)> {
    let members: Vec<Member<'a>> =
        reads.iter().flat_map(|query| members(query, catalogue.get(query))).collect();
    let value = clue.value.to_lowercase();
    let odd: BTreeSet<char> = value.chars().filter(|c| unusual(*c)).collect();
    let any = |test: &dyn Fn(&str) -> bool| -> Vec<&Member<'a>> {
        members.iter().filter(|member| member.fields.iter().any(|field| test(field))).collect()
    };
    let is = any(&|field| field == value);
    let part = any(&|field| !odd.is_empty() && field.contains(&value));
    let all_odd = any(&|field| !odd.is_empty() && odd.iter().all(|c| field.contains(*c)));
    let some_odd = any(&|field| odd.iter().any(|c| field.contains(*c)));
    let found = [is, part, all_odd, some_odd].into_iter().find(|found| !found.is_empty());
    let narrow = narrowed(found.unwrap_or_default(), &clue.beside);
    narrow.into_iter().map(|member| (member.query, member.index)).collect()
}

/// One instance or listed service, with everything of it that a template can print, in lower case: templates change
/// letter case, and it tells nobody from another.
#[derive(Debug)]
struct Member<'a> {
    query: &'a Query,
    index: usize,
    fields: Vec<String>,
}

fn members<'a>(query: &'a Query, answer: Option<&Answer>) -> Vec<Member<'a>> {
    let all: Vec<Vec<String>> = match answer {
        Some(Answer::Instances(instances)) => instances.iter().map(instance_fields).collect(),
        Some(Answer::Services(entries)) => entries.iter().map(entry_fields).collect(),
        Some(Answer::Value(_) | Answer::Pairs(_)) | None => Vec::new(),
    };
    let lower = |fields: Vec<String>| fields.iter().map(|field| field.to_lowercase()).collect();
    let member = |(index, fields)| Member { query, index, fields: lower(fields) };
    all.into_iter().enumerate().map(member).collect()
}

/// Those who explain everything that the template printed on one line. Nobody, where that is not certain.
pub(crate) fn on_line(
    printout: &Printout<'_>,
    line: usize,
    catalogue: &Catalogue,
    reason: &str,
) -> Vec<Banned> {
    let start = printout.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    let length = printout.text.get(start..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    let inside = |span: &&Range<usize>| span.start >= start && span.end <= start + length;
    let values = printout.printed.iter().filter(inside).filter_map(|span| printout.text.get(span.clone()));
    let values: Vec<String> = values.filter(|value| !number(value)).map(str::to_lowercase).collect();
    if values.is_empty() {
        return Vec::new();
    }
    let place = format!("{}:{line}", printout.destination.display());
    let members = printout.reads.iter().flat_map(|query| members(query, catalogue.get(query)));
    let explains = |member: &Member<'_>| values.iter().all(|value| member.fields.contains(value));
    members.filter(explains).filter_map(|member| banned(&member, catalogue, &place, reason)).collect()
}

fn banned(member: &Member<'_>, catalogue: &Catalogue, place: &str, reason: &str) -> Option<Banned> {
    let suspect = Suspect::member(member.query, catalogue.get(member.query)?, member.index)?;
    let left_out = suspect.left_out(place, reason);
    Some(Banned { suspect, left_out })
}

fn without(answer: &Answer, out: &BTreeSet<usize>) -> Answer {
    match answer {
        Answer::Instances(instances) => Answer::Instances(rest(instances, out).into()),
        Answer::Services(entries) => Answer::Services(rest(entries, out).into()),
        Answer::Value(_) | Answer::Pairs(_) => answer.clone(),
    }
}

fn rest<T: Clone>(list: &[T], out: &BTreeSet<usize>) -> Vec<T> {
    list.iter().enumerate().filter(|(index, _)| !out.contains(index)).map(|(_, item)| item.clone()).collect()
}

fn narrowed<'m, 'a>(found: Vec<&'m Member<'a>>, beside: &[&str]) -> Vec<&'m Member<'a>> {
    let by = |telling: &dyn Fn(&str) -> bool| -> Vec<&'m Member<'a>> {
        let values: Vec<String> =
            beside.iter().filter(|value| telling(value)).map(|value| value.to_lowercase()).collect();
        let explains = |member: &&&Member<'a>| values.iter().all(|value| member.fields.contains(value));
        found.iter().filter(explains).copied().collect()
    };
    let narrow = [by(&|_| true), by(&|value| !number(value))].into_iter().find(|narrow| !narrow.is_empty());
    narrow.unwrap_or(found)
}

/// Whether a value is a number. One may be computed, such as `ServerId`: then it says nothing about whose it is.
fn number(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a character is beyond what names, addresses and numbers are made of.
fn unusual(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || "._:/=+,~-".contains(c))
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
    // Names of checks are left out: every node has "Serf Health Status", and hardly a template prints it.
    let all = words.into_iter().chain(&instance.tags).chain(entries);
    let mut fields: Vec<String> = all.cloned().collect();
    fields.extend([instance.port.to_string(), instance.server(), instance.status.as_str().to_owned()]);
    fields
}

fn entry_fields(entry: &ServiceEntry) -> Vec<String> {
    std::iter::once(&entry.name).chain(&entry.tags).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::path::Path;

    use weir_pools::places::{OutputKind, check};
    use weir_pools::{Status, Weights};

    use super::*;

    fn instance(id: &str, address: &str, version: &str) -> Instance {
        Instance {
            id: id.into(),
            name: "web".into(),
            address: address.into(),
            port: 80,
            tags: vec![],
            service_meta: [("version".to_owned(), version.to_owned())].into(),
            service_tagged_addresses: BTreeMap::new(),
            weights: Weights::default(),
            node: "n1".into(),
            node_id: String::new(),
            node_address: "10.0.0.9".into(),
            node_meta: BTreeMap::new(),
            node_tagged_addresses: BTreeMap::new(),
            datacenter: "dc1".into(),
            status: Status::Passing,
            checks: vec![weir_pools::Check {
                check_id: "serfHealth".into(),
                name: "Serf Health Status".into(),
                status: Status::Passing,
            }],
        }
    }

    /// Prints `server SERVER ADDRESS:80 #VALUE`, one for each instance, with `change` applied to the value.
    fn left_out_of(instances: &[Instance], change: impl Fn(&str) -> String) -> Vec<String> {
        let mut text = String::from("backend web\n");
        let mut printed: Vec<Range<usize>> = Vec::new();
        let mut print = |text: &mut String, value: &str| {
            printed.push(text.len()..text.len() + value.len());
            text.push_str(value);
        };
        for instance in instances {
            text.push_str("    server ");
            print(&mut text, &instance.server());
            text.push(' ');
            print(&mut text, &instance.address);
            text.push_str(":80 cookie ");
            print(&mut text, &change(&instance.service_meta["version"]));
            text.push('\n');
        }
        let query = Query::Service { name: "web".into(), datacenter: None };
        let catalogue = Catalogue::from_iter([(query.clone(), Answer::Instances(instances.into()))]);
        let misfits = check(&text, &printed, OutputKind::Haproxy);
        let reads = BTreeSet::from([query.clone()]);
        let printout = Printout {
            destination: Path::new("/h.cfg"),
            text: &text,
            printed: &printed,
            reads: &reads,
            misfits,
        };
        let (cleaner, culprits) = without_culprits(&[printout], &catalogue);
        let left = cleaner.instances(&query).unwrap().len();
        assert_eq!(left + culprits.len(), instances.len());
        culprits.into_iter().map(|left| left.instance).collect()
    }

    #[test]
    fn one_hostile_registration_takes_nobody_else_along() {
        for hostile in ["1\n server evil 10.9.9.9:80", "1 backup", "1#", "\"1", "${HOME}", "1\u{b}2", "é"] {
            let three = [
                instance("a", "10.0.0.1", "1"),
                instance("b", "10.0.0.2", hostile),
                instance("c", "10.0.0.3", "1"),
            ];
            assert_eq!(left_out_of(&three, str::to_owned), ["b"], "{hostile:?}");
            assert_eq!(left_out_of(&three, str::to_uppercase), ["b"], "{hostile:?}");
        }
    }

    #[test]
    fn a_hostile_address_is_traced_through_every_value_made_of_it() {
        let three = [
            instance("a", "10.0.0.1", "1"),
            instance("b", "10.0.0.2\n server evil 10.9.9.9:80", "1"),
            instance("c", "/etc/passwd", "1"),
        ];
        assert_eq!(left_out_of(&three, str::to_owned), ["b", "c"]);
    }

    #[test]
    fn a_hostile_value_of_one_service_accuses_nobody_of_another() {
        let query = |name: &str| Query::Service { name: name.into(), datacenter: None };
        let (web, api) = (query("web"), query("api"));
        let mut evil = instance("evil", "10.0.0.2", "1 backup");
        evil.name = "api".into();
        let catalogue = Catalogue::from_iter([
            (web.clone(), Answer::Instances([instance("a", "10.0.0.1", "a note with blanks")].into())),
            (api.clone(), Answer::Instances([evil].into())),
        ]);
        let text = "backend web\n  server x 10.0.0.1:80 weight 1 BACKUP\n";
        let at = text.find("1 BACKUP").unwrap();
        let printed: Vec<Range<usize>> = std::iter::once(at..at + 8).collect();
        let misfits = check(text, &printed, OutputKind::Haproxy);
        let reads = BTreeSet::from([web.clone(), api.clone()]);
        let destination = Path::new("/h.cfg");
        let printout = Printout { destination, text, printed: &printed, reads: &reads, misfits };
        let (cleaner, culprits) = without_culprits(&[printout], &catalogue);
        assert_eq!(culprits.iter().map(|left| left.instance.as_str()).collect::<Vec<_>>(), ["evil"]);
        assert_eq!(cleaner.instances(&web).unwrap().len(), 1);
        assert_eq!(cleaner.instances(&api).unwrap().len(), 0);
    }

    #[test]
    fn nobody_is_left_out_where_all_fits() {
        assert!(left_out_of(&[instance("a", "10.0.0.1", "1.2")], str::to_owned).is_empty());
    }
}
