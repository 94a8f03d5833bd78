//! Text that people type.

/// One line of text, trimmed. Holding one is the proof that it can be stored and shown.
pub(crate) struct Line(String);

impl Line {
    const MAX_CHARACTERS: usize = 200;

    /// Answers with what is wrong, to follow the name of the field: "The title …".
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("must not be empty");
        }
        if text.chars().count() > Self::MAX_CHARACTERS {
            return Err("must not be longer than 200 characters");
        }
        if text.chars().any(is_unfit) {
            return Err("must be a single line of visible text");
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that end the line, or turn around what stands beside them.
fn is_unfit(character: char) -> bool {
    let is_bidi = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    is_bidi || character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}
