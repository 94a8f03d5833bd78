use serde::Serialize;
use tenantry::Adoption;
use tenantry::lifecycle::Adoptable;
use tenantry::tenant::{DomainName, Slug};

use crate::context::Context;
use crate::failure::{Failure, Report};
use crate::output::{Format, note};

/// Differences that a row tells of.
const TOLD: usize = 3;

/// The schemas that are to be adopted.
#[derive(Default)]
pub(super) struct Plans {
    pub(super) found: Vec<Plan>,
    /// The number of those that are already.
    pub(super) taken: usize,
    /// The schemas that were named in vain.
    pub(super) missing: Vec<Failure>,
}

/// A schema, and what is to become of it.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    #[serde(flatten)]
    found: Adoptable,
    domain: Option<DomainName>,
    /// The reason why it cannot be adopted as it is.
    pub(super) refused: Option<String>,
    #[serde(skip)]
    adoption: Adoption,
}

impl Plan {
    /// Takes the slug that is given for it, or else the one that its name suggests.
    pub(super) fn new(
        mut found: Adoptable,
        slug: Option<Result<Slug, String>>,
        domain: Option<DomainName>,
    ) -> Self {
        let refused = match slug {
            Some(Ok(slug)) => {
                found.slug = Some(slug);
                None
            }
            Some(Err(refused)) => {
                found.slug = None;
                Some(refused)
            }
            None => None,
        };
        let mut adoption = Adoption::of(found.clone());
        if let Some(domain) = &domain {
            adoption = adoption.domain(domain.clone());
        }
        Self { found, domain, refused, adoption }
    }

    pub(super) fn decide(&mut self, applied_through: Option<i64>, allows_differences: bool) {
        let adoption = self.adoption.clone();
        self.adoption = adoption.applied_through(applied_through).allow_differences(allows_differences);
        let refused = self.adoption.check().err();
        if refused.is_none() {
            let nearest = self.found.nearest.filter(|_| allows_differences);
            self.found.version = applied_through.or(self.found.version).or(nearest);
        }
        let refused = refused.map(|error| match (&self.found.slug, &self.found.unknown) {
            (None, _) => "its name suggests no slug".to_owned(),
            (_, Some(unknown)) => unknown.clone(),
            (_, None) if self.found.differences.is_empty() => error.to_string(),
            (_, None) => "it is not what the files make".to_owned(),
        });
        self.refused = self.refused.take().or(refused);
    }

    pub(super) fn adoption(&self) -> &Adoption {
        &self.adoption
    }

    /// The report on what is in the way. Schemas without a slug are told by their names.
    pub(super) fn report(&self, error: &tenantry::Error) -> Report {
        match (&self.found.slug, &self.refused) {
            (Some(slug), _) => Report::of(error).of_slug(slug),
            (None, Some(refused)) => {
                let message = format!("schema `{}`: {refused}", self.found.schema);
                Report::of(
                    &Failure::new("invalid_input", message).with_hint("name a slug for it with `--query`"),
                )
            }
            (None, None) => Report::of(error),
        }
    }

    fn cells(&self) -> Vec<String> {
        let Self { found, domain, refused, .. } = self;
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let noted = found.tool.as_ref().map(|tool| format!("{} ({tool})", or_none(found.noted.clone())));
        vec![
            found.schema.to_string(),
            or_none(found.slug.as_ref().map(ToString::to_string)),
            or_none(domain.as_ref().map(ToString::to_string)),
            found.tables.to_string(),
            or_none(noted),
            or_none(found.version.map(|version| version.to_string())),
            differences(found),
            refused.clone().unwrap_or_default(),
        ]
    }
}

/// The first few differences, and from which version.
fn differences(found: &Adoptable) -> String {
    if found.differences.is_empty() {
        return "-".to_owned();
    }
    let from = found.nearest.map_or_else(|| "nothing".to_owned(), |version| version.to_string());
    let told: Vec<_> = found.differences.iter().take(TOLD).map(String::as_str).collect();
    let more = found.differences.len().saturating_sub(TOLD);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("from {from}: {}{more}", told.join("; "))
}

pub(super) fn print(cx: &mut Context, plans: &[Plan], is_plan: bool) {
    if cx.output.format() == Format::Json {
        cx.output.json(&plans);
        return;
    }
    if plans.is_empty() {
        note(Format::Table, if is_plan { "there are no such schemas" } else { "nothing was adopted" });
        return;
    }
    let header = ["SCHEMA", "SLUG", "DOMAIN", "TABLES", "NOTED", "VERSION", "DIFFERENCES", "REFUSED"];
    cx.output.table(&header, plans.iter().map(Plan::cells));
}

/// Tells of owners and privileges, with what mends them, and of rows, which nobody compares.
pub(super) fn note_more(cx: &Context, plans: &[Plan]) {
    let format = cx.output.format();
    for Plan { found, .. } in plans.iter().filter(|_| format == Format::Table) {
        for line in &found.notes {
            note(format, &format!("warning: {}: {line}", found.schema));
        }
        if let Some(mend) = &found.mend {
            note(format, &format!("mend: {mend}"));
        }
    }
    let is_ambiguous = |plan: &&Plan| plan.refused.is_none() && !plan.found.also.is_empty();
    let ambiguous = plans.iter().filter(is_ambiguous).count();
    if ambiguous > 0 {
        let what = "like the files make them at several versions, which differ in rows only: the version that the \
                    schema's own tool has noted was taken, or else the newest";
        counted(cx.output.format(), ambiguous, what);
    }
}

/// Says what nobody has compared.
fn counted(format: Format, plans: usize, what: &str) {
    let verb = if plans == 1 { "schema is" } else { "schemas are" };
    note(format, &format!("{plans} {verb} {what}"));
}
