//! Reasons against an import.

use crate::error::{Error, ErrorKind};

/// Reasons that an error tells of.
const TOLD: usize = 3;

/// A reason why a database cannot be imported as it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ImportRefusal {
    /// The thing that is in the way.
    pub what: String,
    /// The way to get it out of the way.
    pub hint: Option<String>,
}

impl ImportRefusal {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// One error of all reasons, with the first hint.
pub(super) fn refusal(refused: &[ImportRefusal]) -> Error {
    let told: Vec<_> = refused.iter().take(TOLD).map(|it| it.what.as_str()).collect();
    let more = match refused.len() - told.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let message = format!("its database cannot be imported: {}{more}", told.join("; "));
    let error = Error::new(ErrorKind::Unsupported, message);
    match refused.iter().find_map(|it| it.hint.clone()) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_of_three_reasons_and_has_the_first_hint() {
        let mut refused: Vec<_> = ["a", "b", "c", "d"].into_iter().map(ImportRefusal::new).collect();
        refused[1] = ImportRefusal::new("b").with_hint("mend b");
        let error = refusal(&refused);
        assert_eq!(error.to_string(), "its database cannot be imported: a; b; c; and 1 more");
        assert_eq!(error.hint(), Some("mend b"));
    }
}
