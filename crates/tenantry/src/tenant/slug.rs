use std::sync::Arc;

use super::text::{serde_as_text, text};

/// The short name a customer chose, as in `acme.example.com`: one DNS label.
///
/// Lower-case letters, digits and hyphens, a letter or digit at both ends, at most 63 bytes. Capitals are
/// accepted and lowered. `xn--…` is refused because it is how another script looks in DNS: allowing it
/// would allow look-alikes. Slugs an application keeps for itself are a separate, configurable set,
/// [`ReservedSlugs`](super::ReservedSlugs).
///
/// ```
/// use tenantry::tenant::{InvalidSlug, Slug};
///
/// assert_eq!(Slug::parse("ACME-eu")?.as_str(), "acme-eu");
/// assert_eq!(
///     Slug::parse("z'; drop schema public;--").unwrap_err().to_string(),
///     "slug has '\\'' at byte 1: only letters a-z, digits and - may appear",
/// );
/// # Ok::<(), InvalidSlug>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(Arc<str>);

/// The reason why a text is not a [`Slug`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSlug {
    /// There is no text at all.
    #[error("slug is empty")]
    Empty,
    /// It has more than 63 bytes, the most a DNS label can have.
    #[error("slug is {bytes} bytes long, at most {} are allowed", Slug::MAX_BYTES)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A character that is not an ASCII letter, a digit or a hyphen.
    #[error("slug has {character:?} at byte {at}: only letters a-z, digits and - may appear")]
    Character {
        /// The character.
        character: char,
        /// The byte where it starts.
        at: usize,
    },
    /// It starts or ends with a hyphen.
    #[error("slug has a hyphen at byte {at}: it must start and end with a letter or digit")]
    Hyphen {
        /// The byte where it is.
        at: usize,
    },
    /// It starts with `xn--`.
    #[error("slug starts with `xn--`, which stands for another script in domain names")]
    Punycode,
}

impl Slug {
    /// The longest slug, in bytes.
    pub const MAX_BYTES: usize = 63;

    /// Accepts a DNS label in either case and lowers it.
    ///
    /// # Errors
    /// [`InvalidSlug`] names the rule that was broken and the byte where it broke.
    pub fn parse(slug: &str) -> Result<Self, InvalidSlug> {
        if slug.is_empty() {
            return Err(InvalidSlug::Empty);
        }
        if slug.len() > Self::MAX_BYTES {
            return Err(InvalidSlug::TooLong { bytes: slug.len() });
        }
        if let Some((at, character)) = slug.char_indices().find(|&(_, character)| !is_allowed(character)) {
            return Err(InvalidSlug::Character { character, at });
        }
        if let Some(at) = hyphen_at_an_end(slug) {
            return Err(InvalidSlug::Hyphen { at });
        }
        let slug = slug.to_ascii_lowercase();
        if slug.starts_with("xn--") { Err(InvalidSlug::Punycode) } else { Ok(Self(slug.into())) }
    }

    /// The slug as text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text!(Slug, InvalidSlug);
serde_as_text!(Slug);

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '-'
}

fn hyphen_at_an_end(slug: &str) -> Option<usize> {
    match slug {
        _ if slug.starts_with('-') => Some(0),
        _ if slug.ends_with('-') => Some(slug.len() - 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(slug: &str, expect: Result<&str, InvalidSlug>) {
        assert_eq!(Slug::parse(slug).as_ref().map(Slug::as_str), expect.as_ref().copied());
    }

    #[test]
    fn dns_labels_are_accepted_and_lowered() {
        check("acme", Ok("acme"));
        check("ACME", Ok("acme"));
        check("a", Ok("a"));
        check("7", Ok("7"));
        check("a--b", Ok("a--b"));
        check("2024-acme-eu", Ok("2024-acme-eu"));
        check(&"a".repeat(63), Ok(&"a".repeat(63)));
    }

    #[test]
    fn anything_else_is_refused_with_its_place() {
        check("", Err(InvalidSlug::Empty));
        check(&"a".repeat(64), Err(InvalidSlug::TooLong { bytes: 64 }));
        check("z'; drop schema public;--", Err(InvalidSlug::Character { character: '\'', at: 1 }));
        check("a.b", Err(InvalidSlug::Character { character: '.', at: 1 }));
        check("a_b", Err(InvalidSlug::Character { character: '_', at: 1 }));
        check("a b", Err(InvalidSlug::Character { character: ' ', at: 1 }));
        check("a\0", Err(InvalidSlug::Character { character: '\0', at: 1 }));
        check("café", Err(InvalidSlug::Character { character: 'é', at: 3 }));
        check("\u{212a}elvin", Err(InvalidSlug::Character { character: '\u{212a}', at: 0 }));
        check("-a", Err(InvalidSlug::Hyphen { at: 0 }));
        check("a-", Err(InvalidSlug::Hyphen { at: 1 }));
        check("-", Err(InvalidSlug::Hyphen { at: 0 }));
    }

    #[test]
    fn punycode_is_refused_in_any_case() {
        check("xn--80ak6aa92e", Err(InvalidSlug::Punycode));
        check("XN--80ak6aa92e", Err(InvalidSlug::Punycode));
        check("xn-a", Ok("xn-a"));
    }

    proptest! {
        #[test]
        fn no_input_panics(slug: String) {
            let _ = Slug::parse(&slug);
        }

        #[test]
        fn parsing_is_idempotent(slug in "[A-Za-z0-9-]{1,63}") {
            if let Ok(slug) = Slug::parse(&slug) {
                prop_assert_eq!(Slug::parse(slug.as_str()), Ok(slug));
            }
        }
    }
}
