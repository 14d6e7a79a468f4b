//! Whether a server's line gives an option. In: a `server` or `default-server` line, which a template may print in part. Out:
//! [`Given`].

use haproxy_cfg::Setting;

use crate::places::options::option_of;

/// What a line says of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    /// Nothing.
    Absent,
    /// It is there.
    On,
    /// Its opposite is there: `no-check`.
    Off,
    /// What is printed there may be it.
    Unknown,
}

impl Given {
    /// This, or what held before where it says nothing.
    pub(super) fn or(self, before: Self) -> Self {
        if self == Self::Absent { before } else { self }
    }
}

/// What the options from word `from` on say of `option`.
pub(super) fn given(setting: &Setting<'_>, from: usize, option: &str) -> Given {
    let options = setting.line.words.get(from..).unwrap_or_default();
    let start = if setting.may_have_other_words() { Given::Unknown } else { Given::Absent };
    let own = options.iter().enumerate().filter(|(index, _)| option_of(options, *index).is_none());
    own.fold(start, |before, (index, word)| match word.value.as_str() {
        word if word == option => Given::On,
        word if word.strip_prefix("no-") == Some(option) => Given::Off,
        _ if setting.is_unknown(from + index) && before == Given::Absent => Given::Unknown,
        _ => before,
    })
}
