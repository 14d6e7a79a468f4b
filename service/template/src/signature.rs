//! Every helper: its names, what it takes, what it gives, and what it does.
//!
//! This one table registers the helpers, checks their calls before anything is rendered, and is what
//! `docs/templates.md` describes.

use serde_json::Value;

use self::Takes::{Any, List, Many, Number, Text};
use crate::args::Args;
use crate::{lists, numbers, texts};

/// One helper.
#[derive(Debug)]
pub(crate) struct Signature {
    /// How it is called: the first name is Weir's, the others are known from elsewhere.
    pub(crate) names: &'static [&'static str],
    /// What a call looks like, for messages.
    pub(crate) usage: &'static str,
    /// How many parameters it needs at least.
    pub(crate) min: usize,
    /// What the parameters must be. The last one may repeat if `usage` ends in an ellipsis.
    pub(crate) takes: &'static [Takes],
    /// Which `name=value` parameters it knows.
    pub(crate) hash: &'static [&'static str],
    /// What it gives.
    pub(crate) gives: Gives,
    /// What it does.
    pub(crate) does: Does,
}

/// What a parameter must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Any,
    /// A text, a number or a truth value.
    Text,
    /// A number or a text that spells one.
    Number,
    List,
    /// A list, a map or a text.
    Many,
}

/// What a helper gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    Unknown,
    Text,
    Number,
    /// A truth value; such a helper may also be a block.
    Truth,
    /// What its first parameter is.
    Same,
    /// What its parameters are, if they are all alike.
    Either,
    /// One item of its first parameter.
    Item,
    /// Lists of items of its first parameter, by text.
    Groups,
    Texts,
    Numbers,
    Instances,
    Services,
    Pairs,
    /// It is a block.
    Block,
}

/// What a helper does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Does {
    /// handlebars itself implements it.
    Builtin,
    /// It computes a value from its parameters.
    Computes(fn(&Args<'_>) -> Result<Value, String>),
    /// It reads the catalogue or the environment.
    Reads(Reading),
}

/// What a helper reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Service,
    Services,
    Key,
    KeyOrDefault,
    KeyExists,
    Keys,
    Tree,
    Env,
    EnvOrDefault,
}

impl Signature {
    /// Weir's name of the helper.
    pub(crate) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }

    /// Whether a call may have any number of parameters.
    pub(crate) fn is_variadic(&self) -> bool {
        self.usage.ends_with('…')
    }

    /// What the parameter at `index` must be.
    pub(crate) fn takes_at(&self, index: usize) -> Takes {
        self.takes.get(index).or(self.takes.last()).copied().unwrap_or(Any)
    }

    /// Whether what a call of this helper prints is trusted: written by whoever administers the node or the
    /// key, or let through by the template's author.
    pub(crate) fn is_trusted(&self) -> bool {
        matches!(self.name(), "key" | "key_or_default" | "env" | "env_or_default" | "raw")
    }
}

/// The helper of that name.
pub(crate) fn find(name: &str) -> Option<&'static Signature> {
    SIGNATURES.iter().find(|signature| signature.names.contains(&name))
}

/// The names of all helpers.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SIGNATURES.iter().flat_map(|signature| signature.names.iter().copied())
}

const fn block(
    names: &'static [&'static str],
    usage: &'static str,
    hash: &'static [&'static str],
) -> Signature {
    let takes = &[Any];
    Signature { names, usage, min: 1, takes, hash, gives: Gives::Block, does: Does::Builtin }
}

const fn reads(
    names: &'static [&'static str],
    usage: &'static str,
    takes: &'static [Takes],
    hash: &'static [&'static str],
    gives: Gives,
    reading: Reading,
) -> Signature {
    Signature { names, usage, min: takes.len(), takes, hash, gives, does: Does::Reads(reading) }
}

const fn computes(
    names: &'static [&'static str],
    usage: &'static str,
    min: usize,
    takes: &'static [Takes],
    gives: Gives,
    run: fn(&Args<'_>) -> Result<Value, String>,
) -> Signature {
    Signature { names, usage, min, takes, hash: &[], gives, does: Does::Computes(run) }
}

const DATACENTER: &[&str] = &["datacenter"];

/// Every helper there is.
pub(crate) static SIGNATURES: &[Signature] = &[
    // Blocks.
    block(&["each"], "#each LIST", &[]),
    block(&["if"], "#if VALUE", &["includeZero"]),
    block(&["unless"], "#unless VALUE", &["includeZero"]),
    block(&["with"], "#with VALUE", &[]),
    // What is read.
    reads(
        &["service"],
        "service NAME",
        &[Text],
        &["tag", "datacenter", "status"],
        Gives::Instances,
        Reading::Service,
    ),
    reads(&["services"], "services", &[], &["tag", "datacenter"], Gives::Services, Reading::Services),
    reads(&["key"], "key PATH", &[Text], DATACENTER, Gives::Text, Reading::Key),
    reads(
        &["key_or_default", "keyOrDefault"],
        "key_or_default PATH DEFAULT",
        &[Text, Text],
        DATACENTER,
        Gives::Text,
        Reading::KeyOrDefault,
    ),
    reads(
        &["key_exists", "keyExists"],
        "key_exists PATH",
        &[Text],
        DATACENTER,
        Gives::Truth,
        Reading::KeyExists,
    ),
    reads(&["keys", "ls"], "keys PREFIX", &[Text], DATACENTER, Gives::Pairs, Reading::Keys),
    reads(&["tree"], "tree PREFIX", &[Text], DATACENTER, Gives::Pairs, Reading::Tree),
    reads(&["env"], "env NAME", &[Text], &[], Gives::Text, Reading::Env),
    reads(
        &["env_or_default", "envOrDefault"],
        "env_or_default NAME DEFAULT",
        &[Text, Text],
        &[],
        Gives::Text,
        Reading::EnvOrDefault,
    ),
    // Lists.
    computes(&["sort"], "sort LIST [FIELD]", 1, &[List, Text], Gives::Same, lists::sort),
    computes(&["reverse"], "reverse LIST", 1, &[List], Gives::Same, lists::reverse),
    computes(&["unique", "uniq"], "unique LIST [FIELD]", 1, &[List, Text], Gives::Same, lists::unique),
    computes(&["by_tag", "byTag"], "by_tag LIST", 1, &[List], Gives::Groups, lists::by_tag),
    computes(&["by_meta", "byMeta"], "by_meta LIST KEY", 2, &[List, Text], Gives::Groups, lists::by_meta),
    computes(&["with_tag"], "with_tag LIST TAG", 2, &[List, Text], Gives::Same, lists::with_tag),
    computes(
        &["with_meta"],
        "with_meta LIST KEY [VALUE]",
        2,
        &[List, Text, Text],
        Gives::Same,
        lists::with_meta,
    ),
    computes(&["slots"], "slots LIST COUNT", 2, &[List, Number], Gives::Same, lists::slots),
    computes(&["contains", "in"], "contains LIST VALUE", 2, &[Many, Any], Gives::Truth, lists::contains),
    computes(&["first"], "first LIST", 1, &[List], Gives::Item, lists::first),
    computes(&["last"], "last LIST", 1, &[List], Gives::Item, lists::last),
    computes(&["length", "len"], "length LIST", 1, &[Many], Gives::Number, lists::length),
    computes(&["join"], "join LIST [SEPARATOR]", 1, &[List, Text], Gives::Text, lists::join),
    computes(&["split"], "split TEXT SEPARATOR", 2, &[Text, Text], Gives::Texts, lists::split),
    computes(&["range", "loop"], "range [FROM] TO", 1, &[Number, Number], Gives::Numbers, lists::range),
    Signature {
        names: &["lookup", "index"],
        usage: "lookup VALUE KEY",
        min: 2,
        takes: &[Any, Text],
        hash: &[],
        gives: Gives::Item,
        does: Does::Computes(lists::lookup),
    },
    // Values.
    computes(&["default"], "default VALUE OTHERWISE", 2, &[Any, Any], Gives::Either, texts::default),
    computes(&["concat"], "concat VALUE…", 1, &[Any], Gives::Either, texts::concat),
    computes(&["raw"], "raw VALUE", 1, &[Any], Gives::Same, texts::same),
    computes(
        &["json", "to_json", "toJSON", "toUnescapedJSON"],
        "json VALUE",
        1,
        &[Any],
        Gives::Text,
        texts::json,
    ),
    computes(&["parse_json", "parseJSON"], "parse_json TEXT", 1, &[Text], Gives::Unknown, texts::parse_json),
    computes(&["lower", "to_lower", "toLower"], "lower TEXT", 1, &[Text], Gives::Text, texts::lower),
    computes(&["upper", "to_upper", "toUpper"], "upper TEXT", 1, &[Text], Gives::Text, texts::upper),
    computes(&["trim", "trim_space", "trimSpace"], "trim TEXT", 1, &[Text], Gives::Text, texts::trim),
    computes(
        &["trim_prefix", "trimPrefix"],
        "trim_prefix TEXT PREFIX",
        2,
        &[Text, Text],
        Gives::Text,
        texts::trim_prefix,
    ),
    computes(
        &["trim_suffix", "trimSuffix"],
        "trim_suffix TEXT SUFFIX",
        2,
        &[Text, Text],
        Gives::Text,
        texts::trim_suffix,
    ),
    computes(
        &["replace", "replace_all", "replaceAll"],
        "replace TEXT FROM TO",
        3,
        &[Text, Text, Text],
        Gives::Text,
        texts::replace,
    ),
    computes(
        &["regex_replace", "regexReplaceAll"],
        "regex_replace TEXT PATTERN TO",
        3,
        &[Text, Text, Text],
        Gives::Text,
        texts::regex_replace,
    ),
    computes(
        &["regex_match", "regexMatch"],
        "regex_match TEXT PATTERN",
        2,
        &[Text, Text],
        Gives::Truth,
        texts::regex_match,
    ),
    computes(&["fail"], "fail MESSAGE", 1, &[Text], Gives::Text, texts::fail),
    // Comparisons.
    computes(&["eq"], "eq A B", 2, &[Any, Any], Gives::Truth, numbers::eq),
    computes(&["ne"], "ne A B", 2, &[Any, Any], Gives::Truth, numbers::ne),
    computes(&["gt"], "gt A B", 2, &[Text, Text], Gives::Truth, numbers::gt),
    computes(&["gte", "ge"], "gte A B", 2, &[Text, Text], Gives::Truth, numbers::gte),
    computes(&["lt"], "lt A B", 2, &[Text, Text], Gives::Truth, numbers::lt),
    computes(&["lte", "le"], "lte A B", 2, &[Text, Text], Gives::Truth, numbers::lte),
    computes(&["and"], "and VALUE…", 1, &[Any], Gives::Either, numbers::and),
    computes(&["or"], "or VALUE…", 1, &[Any], Gives::Either, numbers::or),
    computes(&["not"], "not VALUE", 1, &[Any], Gives::Truth, numbers::not),
    // Numbers.
    computes(
        &["number", "parse_int", "parseInt", "parseFloat"],
        "number TEXT",
        1,
        &[Number],
        Gives::Number,
        numbers::number,
    ),
    computes(&["add"], "add A B", 2, &[Number, Number], Gives::Number, numbers::add),
    computes(&["subtract"], "subtract A B", 2, &[Number, Number], Gives::Number, numbers::subtract),
    computes(&["multiply"], "multiply A B", 2, &[Number, Number], Gives::Number, numbers::multiply),
    computes(&["divide"], "divide A B", 2, &[Number, Number], Gives::Number, numbers::divide),
    computes(&["ceil_div"], "ceil_div A B", 2, &[Number, Number], Gives::Number, numbers::ceil_div),
    computes(&["modulo"], "modulo A B", 2, &[Number, Number], Gives::Number, numbers::modulo),
    computes(&["min", "minimum"], "min NUMBER…", 1, &[Number], Gives::Number, numbers::min),
    computes(&["max", "maximum"], "max NUMBER…", 1, &[Number], Gives::Number, numbers::max),
];
