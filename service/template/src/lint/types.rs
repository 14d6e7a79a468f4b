//! What a template can know of a value before anything is rendered.

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Type {
    /// The outside of every loop: there is no value.
    Nothing,
    /// Anything: what came out of JSON, say. Nothing is checked.
    Unknown,
    Text,
    Number,
    Truth,
    List(Box<Type>),
    /// A map from text; a key that is missing is empty.
    Map(Box<Type>),
    Record(Record),
}

/// A value with known fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    Instance,
    Service,
    KeyPair,
    Check,
    Weights,
}

impl Record {
    pub(crate) fn fields(self) -> Vec<(&'static str, Type)> {
        use Type::{Number, Text};
        match self {
            Self::Instance => instance_fields(),
            Self::Service => vec![("Name", Text), ("Tags", Type::list(Text))],
            Self::KeyPair => vec![("Path", Text), ("Key", Text), ("Value", Text)],
            Self::Check => vec![("CheckID", Text), ("Name", Text), ("Status", Text)],
            Self::Weights => vec![("Passing", Number), ("Warning", Number)],
        }
    }

    /// "an instance", as messages name it.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::Instance => "an instance",
            Self::Service => "a service",
            Self::KeyPair => "a key",
            Self::Check => "a check",
            Self::Weights => "weights",
        }
    }
}

fn instance_fields() -> Vec<(&'static str, Type)> {
    use Type::{Number, Text};
    let texts = || Type::Map(Box::new(Text));
    vec![
        ("ID", Text),
        ("Name", Text),
        ("Address", Text),
        ("Port", Number),
        ("Tags", Type::list(Text)),
        ("ServiceMeta", texts()),
        ("ServiceTaggedAddresses", texts()),
        ("Weights", Type::Record(Record::Weights)),
        ("Node", Text),
        ("NodeID", Text),
        ("NodeAddress", Text),
        ("NodeMeta", texts()),
        ("NodeTaggedAddresses", texts()),
        ("Datacenter", Text),
        ("Status", Text),
        ("Checks", Type::list(Type::Record(Record::Check))),
        ("Server", Text),
        ("ServerId", Number),
    ]
}

impl Type {
    pub(crate) fn list(item: Self) -> Self {
        Self::List(Box::new(item))
    }

    /// "a list", as messages name it.
    pub(crate) fn described(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Unknown => "a value",
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Record(record) => record.described(),
        }
    }

    /// Whether it can be printed.
    pub(crate) fn prints(&self) -> bool {
        matches!(self, Self::Unknown | Self::Text | Self::Number | Self::Truth)
    }

    /// The items of a list or the values of a map.
    pub(crate) fn item(&self) -> Self {
        match self {
            Self::List(item) | Self::Map(item) => (**item).clone(),
            _ => Self::Unknown,
        }
    }

    /// The type of a field, or why there is none.
    pub(crate) fn field(&self, name: &str) -> Result<Self, NoField> {
        match self {
            Self::Unknown => Ok(Self::Unknown),
            Self::Map(item) => Ok((**item).clone()),
            Self::List(item) if name.parse::<usize>().is_ok() => Ok((**item).clone()),
            Self::Record(record) => record
                .fields()
                .into_iter()
                .find_map(|(field, kind)| (field == name).then_some(kind))
                .ok_or_else(|| NoField::unknown(*record, name)),
            Self::Nothing => Err(NoField {
                message: format!("`{name}` outside of every loop: there is nothing that could have it"),
                hint: Some("fields are known inside `{{#each (service \"NAME\")}} … {{/each}}`".to_owned()),
            }),
            Self::Text | Self::Number | Self::Truth | Self::List(_) => Err(NoField {
                message: format!("{} has no field `{name}`", self.described()),
                hint: matches!(self, Self::List(_))
                    .then(|| "loop over it with `#each`, or take `.0`".to_owned()),
            }),
        }
    }
}

/// Why a value has no such field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoField {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl NoField {
    fn unknown(record: Record, name: &str) -> Self {
        let fields = record.fields();
        let names = || fields.iter().map(|(field, _)| *field);
        let nearest = crate::problem::did_you_mean(name, names());
        let all = || format!("it has {}", names().collect::<Vec<_>>().join(", "));
        Self {
            message: format!("unknown field `{name}` of {}", record.described()),
            hint: Some(nearest.unwrap_or_else(all)),
        }
    }
}
