use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The terms on which a tenant is suspended.
///
/// By default it is not served at all, until somebody resumes it.
///
/// ```
/// use tenantry::tenant::Suspension;
///
/// let unpaid = Suspension::new()
///     .because("invoice 4711 is open")
///     .saying("Please pay your invoice to go on working.");
/// assert_eq!(unpaid.message(), Some("Please pay your invoice to go on working."));
/// assert!(!unpaid.is_read_only());
/// ```
///
/// # The end
///
/// A suspension with an [end](Self::until) is over at that time without anybody's doing. The row in the registry stays
/// as it is: the clock of the process that looks at the tenant decides, at each checkout, so two machines may
/// differ by as much as their clocks do. A handle that is kept follows within a second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Suspension {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    until: Option<OffsetDateTime>,
    read_only: bool,
}

/// The reason why a tenant cannot be suspended on these terms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSuspension {
    /// PostgreSQL stores no text with a NUL in it.
    #[error("the {0} of a suspension holds a NUL, which PostgreSQL cannot store")]
    Nul(&'static str),
    /// A text is too long to be shown.
    #[error("the {0} of a suspension has {1} characters, where {max} is the most", max = Suspension::MOST_CHARACTERS)]
    TooLong(&'static str, usize),
    /// It would be over already.
    #[error("the suspension would end at {0}, which is not in the future")]
    Ended(OffsetDateTime),
}

impl Suspension {
    /// The most characters that a reason or a message may have.
    pub const MOST_CHARACTERS: usize = 2_000;

    /// A suspension without reason, message or end.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes why, for operators. The customer is not told.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Sets what the customer is told.
    #[must_use]
    pub fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Sets the end, at which the tenant is served again by itself.
    #[must_use]
    pub fn until(mut self, end: OffsetDateTime) -> Self {
        self.until = Some(end);
        self
    }

    /// Lets reads go on. What writes is refused by the server, whose sessions are read-only for this tenant.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The reason, for operators.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The text for the customer. It is not HTML: escape it in a page of your own.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The end, if there is one.
    pub fn end(&self) -> Option<OffsetDateTime> {
        self.until
    }

    /// Returns true if reads go on.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Returns true if its end has come.
    pub fn has_ended(&self) -> bool {
        self.until.is_some_and(|end| end <= OffsetDateTime::now_utc())
    }

    /// Refuses what cannot be stored or shown, and what is over already.
    pub(crate) fn check(&self) -> Result<(), InvalidSuspension> {
        for (name, text) in [("reason", self.reason()), ("message", self.message())] {
            let text = text.unwrap_or_default();
            if text.contains('\0') {
                return Err(InvalidSuspension::Nul(name));
            }
            let length = text.chars().count();
            if length > Self::MOST_CHARACTERS {
                return Err(InvalidSuspension::TooLong(name, length));
            }
        }
        match self.until {
            Some(end) if self.has_ended() => Err(InvalidSuspension::Ended(end)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;
    use time::Duration;

    use super::*;

    fn in_an_hour() -> OffsetDateTime {
        OffsetDateTime::now_utc() + Duration::HOUR
    }

    #[test]
    fn what_is_stored_is_what_is_read() {
        let all = Suspension::new().because("unpaid").saying("<b>").until(in_an_hour()).read_only();
        for suspension in [Suspension::new(), all] {
            let json = serde_json::to_value(&suspension).unwrap();
            assert_eq!(serde_json::from_value::<Suspension>(json).unwrap(), suspension);
        }
        assert_eq!(serde_json::to_value(Suspension::new()).unwrap(), json!({ "read_only": false }));
        // A newer version may write more, and somebody by hand less.
        let read: Suspension = serde_json::from_value(json!({ "colour": "red" })).unwrap();
        assert_eq!(read, Suspension::new());
        serde_json::from_value::<Suspension>(json!({ "until": "tomorrow" })).unwrap_err();
    }

    #[test]
    fn what_cannot_be_stored_or_shown_or_is_over_is_refused() {
        let (long, fits) = ("ä".repeat(2_001), "ä".repeat(2_000));
        let past = OffsetDateTime::UNIX_EPOCH;
        for (suspension, expect) in [
            (Suspension::new(), Ok(())),
            (Suspension::new().saying(fits).until(in_an_hour()), Ok(())),
            (Suspension::new().because("a\0b"), Err(InvalidSuspension::Nul("reason"))),
            (Suspension::new().saying("\0"), Err(InvalidSuspension::Nul("message"))),
            (Suspension::new().saying(long), Err(InvalidSuspension::TooLong("message", 2_001))),
            (Suspension::new().until(past), Err(InvalidSuspension::Ended(past))),
        ] {
            assert_eq!(suspension.check(), expect);
        }
    }

    #[test]
    fn it_ends_at_its_end() {
        assert!(!Suspension::new().has_ended());
        assert!(!Suspension::new().until(in_an_hour()).has_ended());
        assert!(Suspension::new().until(OffsetDateTime::now_utc()).has_ended());
    }
}
