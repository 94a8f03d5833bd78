use std::sync::Arc;

use super::text::{serde_as_text, text};

/// The name of one PostgreSQL database in the configuration; a tenant lives in exactly one.
///
/// A lower-case letter, then lower-case letters, digits and `_`; at most 31 bytes.
/// [`Alias::default`] is `default`, the database that always exists.
///
/// ```
/// use tenantry::tenant::Alias;
///
/// assert_eq!(Alias::parse("eu_1")?.as_str(), "eu_1");
/// assert_eq!(Alias::default().as_str(), "default");
/// assert!(Alias::parse("EU").is_err());
/// # Ok::<(), tenantry::tenant::InvalidAlias>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias(Arc<str>);

/// The reason why a text is not an [`Alias`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAlias {
    /// There is no text at all.
    #[error("database alias is empty")]
    Empty,
    /// It has more than 31 bytes.
    #[error("database alias is {bytes} bytes long, at most {} are allowed", Alias::MAX_BYTES)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A character other than `a-z`, `0-9`, `_`, or a first one that is not a letter.
    #[error("database alias has {character:?} at byte {at}: only a-z, 0-9 and _ may appear, a letter first")]
    Character {
        /// The character.
        character: char,
        /// The byte where it starts.
        at: usize,
    },
}

impl Alias {
    /// The alias that always exists.
    pub(crate) const DEFAULT: &str = "default";

    /// The longest alias, in bytes.
    pub const MAX_BYTES: usize = 31;

    /// Accepts `[a-z][a-z0-9_]{0,30}`.
    ///
    /// # Errors
    /// [`InvalidAlias`] names the rule that was broken and the byte where it broke.
    pub fn parse(alias: &str) -> Result<Self, InvalidAlias> {
        if alias.is_empty() {
            return Err(InvalidAlias::Empty);
        }
        if alias.len() > Self::MAX_BYTES {
            return Err(InvalidAlias::TooLong { bytes: alias.len() });
        }
        match alias.char_indices().find(|&(at, character)| !is_allowed(at, character)) {
            Some((at, character)) => Err(InvalidAlias::Character { character, at }),
            None => Ok(Self(alias.into())),
        }
    }

    /// The alias as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Alias {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

text!(Alias, InvalidAlias);
serde_as_text!(Alias);

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
    fn default_is_itself_a_valid_alias() {
        assert_eq!(Alias::parse("default"), Ok(Alias::default()));
    }

    #[test]
    fn the_longest_alias_has_31_bytes() {
        assert!(Alias::parse(&"a".repeat(31)).is_ok());
        assert_eq!(Alias::parse(&"a".repeat(32)), Err(InvalidAlias::TooLong { bytes: 32 }));
    }

    #[test]
    fn only_lower_case_letters_digits_and_underscores_pass() {
        assert_eq!(Alias::parse(""), Err(InvalidAlias::Empty));
        assert_eq!(Alias::parse("1a"), Err(InvalidAlias::Character { character: '1', at: 0 }));
        assert_eq!(Alias::parse("_a"), Err(InvalidAlias::Character { character: '_', at: 0 }));
        assert_eq!(Alias::parse("a-b"), Err(InvalidAlias::Character { character: '-', at: 1 }));
        assert_eq!(Alias::parse("aé"), Err(InvalidAlias::Character { character: 'é', at: 1 }));
    }
}
