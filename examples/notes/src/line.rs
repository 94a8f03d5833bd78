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
        if text.chars().any(char::is_control) {
            return Err("must be a single line of text");
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
