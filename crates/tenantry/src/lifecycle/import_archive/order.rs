//! The terms on which an archive becomes a tenant.

use crate::archive::Manifest;
use crate::provision::NewTenant;
use crate::tenant::{Alias, DomainName};

/// The terms on which an archive becomes a tenant. The default makes it what it was.
///
/// ```
/// use tenantry::FromArchive;
///
/// let copy = FromArchive::default().slug("acme-2").name("Acme, as it was in May");
/// # let _ = copy;
/// ```
#[derive(Clone, Debug, Default)]
pub struct FromArchive {
    slug: Option<String>,
    name: Option<String>,
    domains: Vec<DomainName>,
    database: Option<Alias>,
    leaves_out_privileges: bool,
}

impl FromArchive {
    /// Another slug than it had. Name and domains stay with the slug that it had.
    #[must_use]
    pub fn slug(self, slug: impl Into<String>) -> Self {
        Self { slug: Some(slug.into()), ..self }
    }

    /// Another name to show people than it had.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// A domain of its own, in the place of those that it had.
    #[must_use]
    pub fn domain(mut self, domain: DomainName) -> Self {
        self.domains.push(domain);
        self
    }

    /// The database it is made in. Default: the one that the placement has for it.
    #[must_use]
    pub fn database(self, database: Alias) -> Self {
        Self { database: Some(database), ..self }
    }

    /// Leaves out privileges, and policies, of roles other than its owner, for a server that does not have those roles.
    /// The application, and the tenant's own role if there is one, get what they get in a new tenant.
    #[must_use]
    pub fn without_privileges(self) -> Self {
        Self { leaves_out_privileges: true, ..self }
    }

    pub(crate) fn chosen_slug(&self) -> Option<&str> {
        self.slug.as_deref()
    }

    pub(super) fn has_privileges(&self) -> bool {
        !self.leaves_out_privileges
    }

    pub(super) fn tenant_of(&self, manifest: &Manifest) -> NewTenant {
        let slug = self.slug.clone().unwrap_or_else(|| manifest.slug.to_string());
        let is_same = slug == manifest.slug.as_str();
        let mut new = NewTenant::new(slug);
        if let Some(name) = &self.name {
            new = new.name(name);
        }
        if let Some(database) = &self.database {
            new = new.database(database.clone());
        }
        if let Some(type_name) = &manifest.type_name {
            new = new.of_type(type_name.clone());
        }
        let domains = if is_same && self.domains.is_empty() { &manifest.domains } else { &self.domains };
        new = domains.iter().fold(new, |new, domain| new.domain(domain.clone()));
        new.with_defaults(manifest.settings.iter().filter(|(key, _)| is_same || *key != "name"))
    }
}
