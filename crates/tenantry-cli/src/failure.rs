//! The failure of a command: what went wrong, why, and what to do about it.
//!
//! An error arrives as a chain, from whatever layer. [`Report`] is what a person reads of it: the
//! message, the causes that add something, one hint.
use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use sqlx::postgres::PgDatabaseError;
use tenantry::ErrorKind;
use tenantry::tenant::{Slug, Tenant};

use crate::alike::without_names;
use crate::visible::visible;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// An error of the command line itself.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: &'static str,
    message: String,
    hint: Option<String>,
    tenant: Option<String>,
}

impl Failure {
    /// The command was called in a way that is not possible.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", message)
    }

    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, tenant: None }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn with_tenant(self, tenant: impl Into<String>) -> Self {
        Self { tenant: Some(tenant.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

/// 2 for what is wrong with the command, 1 for what is wrong with the world.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    let is_usage = error.downcast_ref::<Failure>().is_some_and(|failure| failure.kind == "usage");
    if is_usage { 2 } else { 1 }
}

/// An error as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    error: String,
    kind: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// The schema of the tenant, where it is known.
    #[serde(skip)]
    schema: Option<String>,
}

impl Report {
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut report = Self {
            error: message(error),
            kind: "failed".to_owned(),
            causes: Vec::new(),
            slug: None,
            hint: None,
            schema: None,
        };
        let mut next = Some(error);
        let mut said = String::new();
        let mut is_first = true;
        while let Some(error) = next {
            let text = message(error);
            // Many errors repeat the text of their source.
            if !is_first && !said.contains(&text) {
                report.causes.push(text.clone());
            }
            said.push_str(&text);
            report.take_details(error, is_first);
            is_first = false;
            // Below PostgreSQL's answer there is only the same one in sqlx's words.
            next = if refusal(error).is_some() { None } else { error.source() };
        }
        report
    }

    /// Names the tenant, where the error itself does not.
    pub(crate) fn of_tenant(self, tenant: &Tenant) -> Self {
        let schema = Some(tenant.schema().to_string());
        Self { slug: Some(tenant.slug().to_string()), schema, ..self }
    }

    /// Names the tenant that is to be made, where the error itself does not.
    pub(crate) fn of_slug(self, slug: &Slug) -> Self {
        Self { slug: Some(slug.to_string()), ..self }
    }

    /// The outermost layer names the kind, the first layer that has one gives the hint.
    fn take_details(&mut self, error: &(dyn Error + 'static), is_first: bool) {
        let (kind, hint, tenant) = if let Some(own) = error.downcast_ref::<Failure>() {
            (own.kind.to_owned(), own.hint.clone(), own.tenant.clone())
        } else if let Some(error) = error.downcast_ref::<tenantry::Error>() {
            let tenant = error.tenant().map(ToString::to_string);
            (snake_case(&error.kind()), hint_of(error), tenant)
        } else if let Some(error) = error.downcast_ref::<tenantry_embedded::Error>() {
            (snake_case(&error.kind()), error.hint().map(str::to_owned), None)
        } else if let Some(refusal) = refusal(error) {
            (self.kind.clone(), refusal.hint().or_else(|| refusal.detail()).map(str::to_owned), None)
        } else {
            return;
        };
        if is_first {
            self.kind = kind;
        }
        self.hint = self.hint.take().or(hint);
        self.slug = self.slug.take().or(tenant);
    }

    pub(crate) fn error(&self) -> &str {
        &self.error
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    pub(crate) fn slug(&self) -> Option<&str> {
        self.slug.as_deref()
    }

    /// The same text for all tenants that fail alike.
    pub(crate) fn cause(&self) -> String {
        let texts = std::iter::once(&self.error).chain(&self.causes);
        let texts = texts.map(|text| without_names(text, self.slug(), self.schema.as_deref()));
        std::iter::once(self.kind.clone()).chain(texts).collect::<Vec<_>>().join("\n")
    }

    /// The message, which must say whose error it is.
    fn headline(&self) -> String {
        match &self.slug {
            Some(tenant) if !self.error.contains(&format!("`{tenant}`")) => {
                format!("tenant `{tenant}`: {}", self.error)
            }
            _ => self.error.clone(),
        }
    }

    /// The lines a person reads, coloured; the stream takes colour away where it is not wanted.
    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{ERROR}error:{ERROR:#} {}\n", visible(&self.headline()));
        for cause in &self.causes {
            let _ = writeln!(text, "  because: {}", visible(cause));
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "{HINT}hint:{HINT:#} {}", visible(hint));
        }
        text
    }
}

/// The hint of the library, or what helps on a command line.
fn hint_of(error: &tenantry::Error) -> Option<String> {
    if let Some(hint) = error.hint().filter(|hint| !hint.is_empty()) {
        return Some(hint.to_owned());
    }
    let hint = match error.kind() {
        ErrorKind::UnknownTenant => "`tenantry list` shows the tenants there are",
        ErrorKind::DatabaseUnavailable => "check that PostgreSQL runs there and that the URL is right",
        ErrorKind::Suspended => {
            "`tenantry show SLUG` says why, and `tenantry resume SLUG` has it served again"
        }
        ErrorKind::TenantUnavailable => "`tenantry list` shows the status of each tenant",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// PostgreSQL's own words, without what sqlx puts in front of them.
fn message(error: &(dyn Error + 'static)) -> String {
    match refusal(error) {
        Some(refusal) => without_urls(&abridged(refusal.message())),
        None => without_urls(&error.to_string()),
    }
}

/// The first 500 characters: PostgreSQL repeats values, of whatever length.
pub(crate) fn abridged(text: &str) -> Cow<'_, str> {
    const LENGTH: usize = 500;
    match text.char_indices().nth(LENGTH) {
        Some((cut, _)) => format!("{}…", &text[..cut]).into(),
        None => text.into(),
    }
}

/// Leaves out each URL of a database, which may hold a password, wherever it was put by mistake. A path made of it
/// has one slash.
pub(crate) fn without_urls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("postgres") {
        let scheme = ["postgres:/", "postgresql:/"].iter().find(|scheme| rest[start..].starts_with(**scheme));
        let (behind, is_url) = match scheme {
            Some(scheme) => (start + scheme.len(), true),
            None => (start + "postgres".len(), false),
        };
        shown.push_str(&rest[..behind]);
        rest = &rest[behind..];
        if is_url {
            let address = rest.trim_start_matches('/');
            shown.push_str(&rest[..rest.len() - address.len()]);
            let ends = |character: char| character.is_whitespace() || "`'\"".contains(character);
            rest = &address[address.find(ends).unwrap_or(address.len())..];
            if address.len() > rest.len() {
                shown.push('…');
            }
        }
    }
    shown + rest
}

/// The answer of PostgreSQL, if this is such an error.
pub(crate) fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a PgDatabaseError> {
    match error.downcast_ref::<sqlx::Error>()? {
        sqlx::Error::Database(refusal) => refusal.try_downcast_ref(),
        _ => None,
    }
}

/// `UnknownTenant` as `unknown_tenant`.
fn snake_case(kind: &impl fmt::Debug) -> String {
    let mut text = String::new();
    for character in format!("{kind:?}").chars() {
        if character.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(character.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_like_a_key() {
        assert_eq!(snake_case(&ErrorKind::UnknownTenant), "unknown_tenant");
        assert_eq!(snake_case(&ErrorKind::Registry), "registry");
    }

    #[test]
    fn no_url_is_shown() {
        for (text, shown) in [
            ("`postgres://u:secret@h/d` is no file", "`postgres://…` is no file"),
            ("`/a/postgres:/u:secret@h/d` is no file", "`/a/postgres:/…` is no file"),
            ("a postgresql://u:p@h b postgres://", "a postgresql://… b postgres://"),
            ("does not start with `postgres://`", "does not start with `postgres://`"),
            ("run as `postgres` or postgresql", "run as `postgres` or postgresql"),
            ("", ""),
        ] {
            assert_eq!(without_urls(text), shown);
        }
    }

    #[test]
    fn a_chain_does_not_stutter() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = anyhow::Error::from(source).context("cannot read it: no such file").context("no luck");
        let report = Report::of(error.as_ref());
        assert_eq!(report.causes, ["cannot read it: no such file"]);
        assert_eq!(report.error, "no luck");
    }

    #[test]
    fn usage_has_a_code_of_its_own() {
        assert_eq!(exit_code(&Failure::usage("no").into()), 2);
        assert_eq!(exit_code(&Failure::new("failed", "no").into()), 1);
        assert_eq!(exit_code(&anyhow::anyhow!("no")), 1);
    }
}
