//! The order to make a tenant, as arguments or a line of a list give it.
use serde::Deserialize;
use serde_json::{Map, Value};
use tenantry::NewTenant;
use tenantry::tenant::{Alias, DomainName, Slug, TenantName, TypeName};

use crate::setting::read_settings;

/// The parts that a tenant is to be made of, as they were typed. It is not shown: a URL may hold a password.
#[derive(Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) slug: String,
    pub(crate) name: Option<String>,
    #[serde(deserialize_with = "read_settings")]
    pub(crate) settings: Map<String, Value>,
    pub(crate) domain: Option<String>,
    pub(crate) domains: Vec<String>,
    #[serde(rename = "type")]
    pub(crate) type_name: Option<TypeName>,
    /// A schema that is there: the tenant's own for `create`, that of the customer's database for `import`.
    pub(crate) schema: Option<String>,
    /// The database to make the tenant in, by its alias.
    pub(crate) database: Option<String>,
    /// The database to import.
    pub(crate) url: Option<String>,
    /// The migrations that the database to import has applied.
    pub(crate) applied_through: Option<i64>,
}

impl Order {
    /// The tenant without what is special to a command.
    pub(crate) fn named(&self) -> tenantry::Result<NewTenant> {
        let mut new = NewTenant::new(&self.slug);
        for (key, value) in &self.settings {
            new = new.setting(key, value.clone());
        }
        if let Some(name) = &self.name {
            new = new.name(TenantName::parse(name)?.as_str());
        }
        for domain in self.domains.iter().chain(&self.domain) {
            new = new.domain(DomainName::parse(domain)?);
        }
        if let Some(type_name) = &self.type_name {
            new = new.of_type(type_name.clone());
        }
        Ok(match &self.database {
            Some(alias) => new.database(Alias::parse(alias)?),
            None => new,
        })
    }

    /// Checks all that can be known without a database, but for what is special to a command.
    pub(crate) fn check(&self) -> Result<Slug, String> {
        if self.name.is_some() && self.settings.contains_key("name") {
            return Err("the name is given twice: as `name`, and in `settings`".to_owned());
        }
        let slug = Slug::parse(&self.slug).map_err(|error| error.to_string())?;
        self.named().map_err(|error| error.to_string())?;
        Ok(slug)
    }
}
