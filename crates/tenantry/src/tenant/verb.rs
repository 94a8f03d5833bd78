use super::text::{serde_as_text, text};

/// A thing that is done to a tenant in its life, as the audit and the events call it.
///
/// ```
/// use tenantry::tenant::Verb;
///
/// assert_eq!(Verb::Suspend.to_string(), "suspend");
/// assert_eq!("undelete".parse(), Ok(Verb::Undelete));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// It was made, with a schema of its own.
    Create,
    /// It is not served any more, or may only read, until it is resumed.
    Suspend,
    /// A way to it was signed for somebody, for the time of its suspension.
    Bypass,
    /// It is served again.
    Resume,
    /// It has another slug.
    Rename,
    /// It has another type, and its schema the files of that.
    SetType,
    /// It was made as a copy of another tenant.
    Clone,
    /// An archive of it was written.
    Export,
    /// It was made from an archive or from a database of its own.
    Import,
    /// A schema that was there already became its schema.
    Adopt,
    /// It went to another database.
    Move,
    /// It left the registry, and its schema stayed.
    Release,
    /// It is hidden, and due to be purged.
    Delete,
    /// It came back after it was deleted.
    Undelete,
    /// Its schema is dropped, for good.
    Purge,
}

/// A text that is no [`Verb`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown verb `{0}`")]
pub struct InvalidVerb(String);

impl Verb {
    /// Every verb, in the order of a tenant's life.
    pub const ALL: [Self; 15] = [
        Self::Create,
        Self::Suspend,
        Self::Bypass,
        Self::Resume,
        Self::Rename,
        Self::SetType,
        Self::Clone,
        Self::Export,
        Self::Import,
        Self::Adopt,
        Self::Move,
        Self::Release,
        Self::Delete,
        Self::Undelete,
        Self::Purge,
    ];

    /// The verb as the registry and the command line write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Suspend => "suspend",
            Self::Bypass => "bypass",
            Self::Resume => "resume",
            Self::Rename => "rename",
            Self::SetType => "set-type",
            Self::Clone => "clone",
            Self::Export => "export",
            Self::Import => "import",
            Self::Adopt => "adopt",
            Self::Move => "move",
            Self::Release => "release",
            Self::Delete => "delete",
            Self::Undelete => "undelete",
            Self::Purge => "purge",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    ///
    /// # Errors
    /// [`InvalidVerb`] holds the unknown text.
    pub fn parse(text: &str) -> Result<Self, InvalidVerb> {
        let known = Self::ALL.into_iter().find(|verb| verb.as_str() == text);
        known.ok_or_else(|| InvalidVerb(text.to_owned()))
    }
}

text!(Verb, InvalidVerb);
serde_as_text!(Verb);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for verb in Verb::ALL {
            assert_eq!(Verb::parse(verb.as_str()), Ok(verb));
        }
        assert_eq!(Verb::parse("Create"), Err(InvalidVerb("Create".into())));
    }
}
