//! Makes tenants of schemas that are there.
//!
//! 1. `look` finds schemas that nobody owns, and compares each with what the files make at each version. Undo: none is
//!    needed.
//! 2. The ledger is written for the version that was found to be equal, after the schema was compared once more, in the
//!    transaction that enters the tenant. In another database than the registry's it comes before that, and the same
//!    call goes on with it. Undo: `release`, which leaves the ledger to the next adoption.

mod adoptable;
mod compare;
mod look;
mod noted;
mod noted_file;
mod strangers;

pub use self::adoptable::{Adoptable, SchemaChoice};
pub(crate) use self::look::{adoptable, owned};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::provision::{NewTenant, create};
use crate::tenant::{DomainName, Slug, Tenant};

/// The order to make a tenant of a schema that was found.
///
/// A schema is adopted at the version whose files make what is in it. One that is not what they make at any version is
/// refused, unless the order says what to do with it.
#[derive(Clone, Debug)]
pub struct Adoption {
    found: Adoptable,
    slug: Option<Slug>,
    domains: Vec<DomainName>,
    applied_through: Option<i64>,
    allows_differences: bool,
}

impl Adoption {
    /// Adopts the schema under the slug that its name suggests.
    pub fn of(found: Adoptable) -> Self {
        let slug = found.slug.clone();
        Self { found, slug, domains: Vec::new(), applied_through: None, allows_differences: false }
    }

    /// Gives the tenant another slug.
    pub fn slug(self, slug: Slug) -> Self {
        Self { slug: Some(slug), ..self }
    }

    /// A domain of its own, besides the subdomain its slug gives it.
    pub fn domain(mut self, domain: DomainName) -> Self {
        self.domains.push(domain);
        self
    }

    /// Notes all files up to this version as applied, whatever is in the schema. A schema with a ledger of its own in
    /// sqlx's format knows better.
    pub fn applied_through(self, version: Option<i64>) -> Self {
        Self { applied_through: version, ..self }
    }

    /// Adopts a schema that differs, too, at the nearest version. What differs stays as it is, and
    /// [`doctor`](crate::Tenancy::doctor) tells of it.
    pub fn allow_differences(self, allows: bool) -> Self {
        Self { allows_differences: allows, ..self }
    }

    /// The schema that was found.
    pub fn found(&self) -> &Adoptable {
        &self.found
    }

    /// Tells whether the schema would be adopted, as far as that can be told from what was found.
    ///
    /// # Errors
    /// [`ErrorKind::Migration`] if it differs from what the files make; [`ErrorKind::InvalidInput`] if it has no slug.
    pub fn check(&self) -> Result<()> {
        self.order().map(|_| ())
    }

    pub(crate) fn chosen_slug(&self) -> Option<&str> {
        self.slug.as_ref().map(Slug::as_str)
    }

    fn order(&self) -> Result<NewTenant> {
        let Adoptable { schema, database, type_name, version, nearest, unknown, differences, proof, .. } =
            &self.found;
        let slug = self.slug.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("the name of schema `{schema}` suggests no slug"))
                .with_hint("name a slug for it, with `--query`")
        })?;
        let new = NewTenant::new(slug.as_str()).database(database.clone()).existing_schema(schema.clone());
        let new = self.domains.iter().cloned().fold(new, NewTenant::domain);
        let new = type_name.iter().cloned().fold(new, NewTenant::of_type);
        let through = |version: Option<i64>| match version {
            Some(version) => new.clone().applied_through(version),
            None => new.clone(),
        };
        let is_known = unknown.is_none() && differences.is_empty();
        match (self.applied_through, proof) {
            (Some(version), _) => Ok(through(Some(version))),
            (None, Some(proof)) => Ok(through(*version).proven(proof.clone())),
            (None, None) if is_known => Ok(new),
            (None, None) if self.allows_differences && !differences.is_empty() => Ok(through(*nearest)),
            (None, None) => Err(self.refused(slug)),
        }
    }

    fn refused(&self, slug: &Slug) -> Error {
        let Adoptable { schema, nearest, differences, unknown, .. } = &self.found;
        let at = match nearest {
            Some(version) => format!("version {version}"),
            None => "an empty schema".to_owned(),
        };
        let differs = format!("it differs from {at}: {}", differences.join("; "));
        let reasons = unknown.iter().cloned().chain((!differences.is_empty()).then_some(differs));
        let reasons: Vec<_> = reasons.collect();
        let message = format!("schema `{schema}` is not what the files make: {}", reasons.join("; "));
        let hint = "make it what they make; or adopt it at that version with `--allow-differences`, or at another with \
                    `--applied-through`";
        Error::new(ErrorKind::Migration, message).with_tenant(slug).with_hint(hint)
    }
}

/// Makes a tenant of a schema, in one transaction of the registry.
pub(crate) async fn adopt(context: &Context, adoption: &Adoption) -> Result<Tenant> {
    create(context, &adoption.order()?).await
}
