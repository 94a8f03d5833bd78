use std::sync::Arc;

use super::text::{serde_as_text, text};

/// The name of a type of tenants, whose schemas have files of their own beside those of all.
///
/// A lower-case letter, then lower-case letters, digits and `_`; at most 31 bytes. `none` is not a name: it says on
/// the command line that a tenant has no type.
///
/// ```
/// use tenantry::tenant::TypeName;
///
/// assert_eq!(TypeName::parse("pro")?.as_str(), "pro");
/// assert!(TypeName::parse("none").is_err());
/// # Ok::<(), tenantry::tenant::InvalidTypeName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeName(Arc<str>);

/// The reason why a text is not a [`TypeName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTypeName {
    /// There is no text at all.
    #[error("the name of a type is empty")]
    Empty,
    /// It has more than 31 bytes.
    #[error("the name of a type is {bytes} bytes long, at most {} are allowed", TypeName::MAX_BYTES)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A character other than `a-z`, `0-9`, `_`, or a first one that is not a letter.
    #[error(
        "the name of a type has {character:?} at byte {at}: only a-z, 0-9 and _ may appear, a letter first"
    )]
    Character {
        /// The character.
        character: char,
        /// The byte where it starts.
        at: usize,
    },
    /// It is `none`.
    #[error("`none` says that a tenant has no type, and is the name of none")]
    None,
}

impl TypeName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 31;

    /// The word for a tenant without a type.
    pub const NONE: &str = "none";

    /// Accepts `[a-z][a-z0-9_]{0,30}`, but for `none`.
    ///
    /// # Errors
    /// [`InvalidTypeName`] names the rule that was broken and the byte where it broke.
    pub fn parse(name: &str) -> Result<Self, InvalidTypeName> {
        if name.is_empty() {
            return Err(InvalidTypeName::Empty);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(InvalidTypeName::TooLong { bytes: name.len() });
        }
        if name == Self::NONE {
            return Err(InvalidTypeName::None);
        }
        match name.char_indices().find(|&(at, character)| !is_allowed(at, character)) {
            Some((at, character)) => Err(InvalidTypeName::Character { character, at }),
            None => Ok(Self(name.into())),
        }
    }

    /// Reads a name, or `none` for no type.
    ///
    /// # Errors
    /// Like [`parse`](Self::parse).
    pub fn parse_or_none(name: &str) -> Result<Option<Self>, InvalidTypeName> {
        if name == Self::NONE { Ok(None) } else { Self::parse(name).map(Some) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text!(TypeName, InvalidTypeName);
serde_as_text!(TypeName);

fn is_allowed(at: usize, character: char) -> bool {
    match character {
        'a'..='z' => true,
        '0'..='9' | '_' => at > 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_letters_digits_and_underscores_pass() {
        assert!(TypeName::parse(&"a".repeat(31)).is_ok());
        for (name, expect) in [
            ("", InvalidTypeName::Empty),
            ("none", InvalidTypeName::None),
            ("Pro", InvalidTypeName::Character { character: 'P', at: 0 }),
            ("1a", InvalidTypeName::Character { character: '1', at: 0 }),
            ("a-b", InvalidTypeName::Character { character: '-', at: 1 }),
            (&"a".repeat(32), InvalidTypeName::TooLong { bytes: 32 }),
        ] {
            assert_eq!(TypeName::parse(name), Err(expect), "{name}");
        }
    }

    #[test]
    fn none_is_no_type() {
        assert_eq!(TypeName::parse_or_none("none"), Ok(None));
        assert_eq!(TypeName::parse_or_none("pro"), TypeName::parse("pro").map(Some));
    }
}
