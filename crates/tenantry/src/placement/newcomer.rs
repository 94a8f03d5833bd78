use serde_json::{Map, Value};

use crate::tenant::{Slug, Tenant, TypeName};

/// A tenant that looks for a database: a new one, or one that is to leave the database it is in.
///
/// ```
/// use serde_json::json;
/// use tenantry::placement::Newcomer;
/// use tenantry::tenant::Slug;
///
/// let (slug, settings) = (Slug::parse("acme")?, json!({ "region": "eu" }));
/// let newcomer = Newcomer::new(&slug).with_settings(&settings);
/// assert_eq!(newcomer.setting("region"), Some(&json!("eu")));
/// # Ok::<(), tenantry::tenant::InvalidSlug>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Newcomer<'a> {
    slug: &'a Slug,
    type_name: Option<&'a TypeName>,
    settings: Option<&'a Map<String, Value>>,
}

impl<'a> Newcomer<'a> {
    /// A tenant with this slug, without a type and without settings.
    pub const fn new(slug: &'a Slug) -> Self {
        Self { slug, type_name: None, settings: None }
    }

    /// The same with the settings of a JSON object.
    #[must_use]
    pub fn with_settings(self, settings: &'a Value) -> Self {
        Self { settings: settings.as_object(), ..self }
    }

    /// The slug.
    pub fn slug(&self) -> &'a Slug {
        self.slug
    }

    /// The type, if it has one.
    pub fn type_name(&self) -> Option<&'a TypeName> {
        self.type_name
    }

    /// The setting of this name.
    pub fn setting(&self, name: &str) -> Option<&'a Value> {
        self.settings?.get(name)
    }
}

impl<'a> From<&'a Tenant> for Newcomer<'a> {
    fn from(tenant: &'a Tenant) -> Self {
        Self { type_name: tenant.type_name(), ..Self::new(tenant.slug()).with_settings(tenant.settings()) }
    }
}
