//! A mistake in the configuration, told without the value: that may be a URL, and hold a password.

use std::error::Error as StdError;
use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::error::{Error, ErrorKind};

/// A mistake, and the key or variable that has it.
#[derive(Debug)]
pub(super) struct Mistake {
    /// The key with file and line, or the variable.
    setting: Option<String>,
    message: String,
    hint: Option<String>,
}

impl Mistake {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { setting: None, message: message.into(), hint: None }
    }

    /// Names the setting, unless a deeper layer has named it more precisely.
    pub(super) fn of(self, setting: impl FnOnce() -> String) -> Self {
        Self { setting: self.setting.or_else(|| Some(setting())), ..self }
    }

    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// The names, each in backticks.
pub(super) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The candidate that looks most like a misspelt name, if one does.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.75;
    let scored = candidates.into_iter().map(|candidate| (strsim::jaro(name, candidate), candidate));
    let (score, candidate) = scored.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (score >= ALIKE).then_some(candidate)
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.setting {
            Some(setting) => write!(f, "{setting}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl StdError for Mistake {}

impl From<Mistake> for Error {
    fn from(mistake: Mistake) -> Self {
        let error = Self::new(ErrorKind::Configuration, mistake.to_string());
        match mistake.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

// serde's own words repeat the value.
impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("{expected} is expected"))
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::new("the number is too small or too large")
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("one of {} is expected", quoted(expected)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_recognised_and_another_name_is_not() {
        #[track_caller]
        fn check(name: &str, expect: Option<&str>) {
            const KNOWN: &[&str] = &[
                "DATABASES_DEFAULT_DIRECT_URL",
                "DATABASES_DEFAULT_URL",
                "INSTALLATION",
                "MASTER_SCHEMA",
                "MIGRATIONS_MASTER",
                "PG_BIN",
                "POOL_MAX_CONNECTIONS",
                "POOL_MIN_CONNECTIONS",
                "POOL_MODE",
            ];
            assert_eq!(nearest(name, KNOWN.iter().copied()), expect, "{name}");
        }
        check("POOL_MOED", Some("POOL_MODE"));
        check("POOLMODE", Some("POOL_MODE"));
        check("POOL_MAX_CONNECTION", Some("POOL_MAX_CONNECTIONS"));
        check("MAX_CONNECTIONS", Some("POOL_MAX_CONNECTIONS"));
        check("MASTER_SHEMA", Some("MASTER_SCHEMA"));
        check("INSTALATION", Some("INSTALLATION"));
        check("PGBIN", Some("PG_BIN"));
        check("DATABASE_URL", Some("DATABASES_DEFAULT_URL"));
        check("LOG_LEVEL", None);
        check("URL", None);
        check("SECRET_KEY", None);
        check("PORT", None);
        check("", None);
    }
}
