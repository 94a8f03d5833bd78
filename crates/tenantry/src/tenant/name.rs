use std::sync::Arc;

use super::text::{serde_as_text, text};

/// The name of a tenant to show people: one line of text, without characters that change how the rest is read.
///
/// At most 200 characters, without space at either end. Control characters, the separators of lines and
/// paragraphs, and the marks, embeddings, overrides and isolates of bidirectional text are refused: `\u{202e}`
/// turns around what stands behind it, on every page and in every terminal that shows the name. Scripts that are
/// written from right to left need none of them.
///
/// ```
/// use tenantry::tenant::{InvalidTenantName, TenantName};
///
/// assert_eq!(TenantName::parse(" Żabka & Söhne ")?.as_str(), "Żabka & Söhne");
/// assert_eq!(
///     TenantName::parse("Acme\u{202e}Ltd").unwrap_err().to_string(),
///     "name has '\\u{202e}' at byte 4: it must be one line of visible text",
/// );
/// # Ok::<(), InvalidTenantName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(Arc<str>);

/// The reason why a text is not a [`TenantName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTenantName {
    /// There is nothing but space.
    #[error("name is empty")]
    Empty,
    /// It has more than 200 characters.
    #[error("name is {characters} characters long, at most {} are allowed", TenantName::MAX_CHARACTERS)]
    TooLong {
        /// Its length in characters.
        characters: usize,
    },
    /// A character that ends the line, or changes how the rest is read.
    #[error("name has {character:?} at byte {at}: it must be one line of visible text")]
    Character {
        /// The character.
        character: char,
        /// The byte where it starts.
        at: usize,
    },
}

impl TenantName {
    /// The longest name, in characters.
    pub const MAX_CHARACTERS: usize = 200;

    /// Accepts a line of text and takes the space at its ends off.
    ///
    /// # Errors
    /// [`InvalidTenantName`] names the rule that was broken and the byte where it broke.
    pub fn parse(name: &str) -> Result<Self, InvalidTenantName> {
        let trimmed = name.trim();
        if trimmed.is_empty() {
            return Err(InvalidTenantName::Empty);
        }
        let characters = trimmed.chars().count();
        if characters > Self::MAX_CHARACTERS {
            return Err(InvalidTenantName::TooLong { characters });
        }
        if let Some((at, character)) = trimmed.char_indices().find(|&(_, character)| is_unfit(character)) {
            return Err(InvalidTenantName::Character { character, at });
        }
        Ok(Self(trimmed.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text!(TenantName, InvalidTenantName);
serde_as_text!(TenantName);

fn is_unfit(character: char) -> bool {
    let is_bidi = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    is_bidi || character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{InvalidTenantName::*, *};

    #[track_caller]
    fn check(name: &str, expect: Result<&str, InvalidTenantName>) {
        assert_eq!(TenantName::parse(name).as_ref().map(TenantName::as_str), expect.as_ref().copied());
    }

    #[test]
    fn names_are_lines_in_any_script() {
        for name in
            ["Acme Ltd", "株式会社アクメ", "شركة أكمي", "חברת אקמה", "O'Neill & 1", "👩\u{200d}🚀", "a"]
        {
            check(name, Ok(name));
        }
        check("\u{3000} Acme\t\n", Ok("Acme"));
        let longest = "ä".repeat(200);
        check(&longest, Ok(&longest));
        check(&format!("{longest}ä"), Err(TooLong { characters: 201 }));
        check("", Err(Empty));
        check(" \u{a0}\n", Err(Empty));
    }

    #[test]
    fn characters_that_change_how_the_rest_is_read_are_refused() {
        let bidi = ['\u{61c}', '\u{200e}', '\u{200f}'];
        let bidi = bidi.into_iter().chain('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        for character in
            bidi.chain(['\0', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}', '\u{2028}', '\u{2029}'])
        {
            check(&format!("ac{character}me"), Err(Character { character, at: 2 }));
        }
        // Next to the ones that are refused.
        for character in ['\u{200c}', '\u{200d}', '\u{2010}', '\u{2027}', '\u{202f}', '\u{206a}', '\u{61b}'] {
            check(&format!("ac{character}me"), Ok(&format!("ac{character}me")));
        }
    }
}
