//! The order for one tenant, as arguments or a line of a file give it.
use serde::Deserialize;
use serde_json::{Map, Value};
use tenantry::NewTenant;
use tenantry::tenant::{Alias, DomainName, SchemaName, Slug, TenantName, TypeName};

use crate::setting::read_settings;

/// The parts that a tenant is to be made of, as they were typed.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Order {
    pub(super) slug: String,
    pub(super) name: Option<String>,
    #[serde(deserialize_with = "read_settings")]
    pub(super) settings: Map<String, Value>,
    pub(super) domains: Vec<String>,
    #[serde(rename = "type")]
    pub(super) type_name: Option<TypeName>,
    pub(super) database: Option<String>,
    pub(super) schema: Option<String>,
}

impl Order {
    pub(super) fn new_tenant(&self) -> tenantry::Result<NewTenant> {
        let mut new = NewTenant::new(&self.slug);
        for (key, value) in &self.settings {
            new = new.setting(key, value.clone());
        }
        if let Some(name) = &self.name {
            new = new.name(name);
        }
        for domain in &self.domains {
            new = new.domain(DomainName::parse(domain)?);
        }
        if let Some(type_name) = &self.type_name {
            new = new.of_type(type_name.clone());
        }
        if let Some(alias) = &self.database {
            new = new.database(Alias::parse(alias)?);
        }
        if let Some(schema) = &self.schema {
            new = new.existing_schema(SchemaName::parse(schema)?);
        }
        Ok(new)
    }

    /// Reads one line: a slug, or an object with the rest.
    ///
    /// All that can be known of it without a database is checked here, before the first tenant is made.
    pub(super) fn parse(line: &str) -> Result<(Slug, Self), String> {
        let order = if line.starts_with('{') {
            serde_json::from_str(line).map_err(|error| error.to_string())?
        } else {
            Self { slug: line.to_owned(), ..Self::default() }
        };
        if order.name.is_some() && order.settings.contains_key("name") {
            return Err("the name is given twice: as `name`, and in `settings`".to_owned());
        }
        let slug = Slug::parse(&order.slug).map_err(|error| error.to_string())?;
        if let Some(name) = &order.name {
            TenantName::parse(name).map_err(|error| error.to_string())?;
        }
        order.new_tenant().map_err(|error| error.to_string())?;
        Ok((slug, order))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_a_slug_or_an_object() {
        let (slug, order) = Order::parse("Acme").expect("a slug");
        assert_eq!((slug.as_str(), order.name), ("acme", None));
        let line = json!({ "slug": "globex", "name": "Globex", "settings": { "plan": "gold" }, "domains": ["a.org"] });
        let (slug, order) = Order::parse(&line.to_string()).expect("an object");
        assert_eq!((slug.as_str(), &order.settings["plan"]), ("globex", &json!("gold")));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_known_before_anything_is_made() {
        for (line, expect) in [
            ("acme,Acme Ltd", "',' at byte 4"),
            ("{\"name\": \"Acme\"}", "slug is empty"),
            ("{\"slug\": \"acme\", \"nmae\": \"Acme\"}", "unknown field `nmae`"),
            ("{\"slug\": \"acme\"", "EOF"),
            ("{\"slug\": \"acme\", \"name\": \"a\u{202e}b\"}", "name has"),
            (
                "{\"slug\": \"acme\", \"name\": \"A\", \"settings\": {\"name\": \"B\"}}",
                "the name is given twice",
            ),
            ("{\"slug\": \"acme\", \"settings\": {\"a\": 1, \"a\": 2}}", "the setting `a` is given twice"),
            ("{\"slug\": \"acme\", \"slug\": \"globex\"}", "duplicate field `slug`"),
            ("{\"slug\": \"acme\", \"domains\": [\"a b\"]}", "host has ' '"),
            ("{\"slug\": \"acme\", \"database\": \"\"}", "alias"),
        ] {
            let error = Order::parse(line).expect_err(line);
            assert!(error.contains(expect), "{line}: {error}");
        }
    }
}
