//! A tenant that `create` makes.
use tenantry::NewTenant;
use tenantry::tenant::{SchemaName, Slug};

use crate::order::Order;

pub(super) fn new_tenant(order: &Order) -> tenantry::Result<NewTenant> {
    let new = order.named()?;
    Ok(match &order.schema {
        Some(schema) => new.existing_schema(SchemaName::parse(schema)?),
        None => new,
    })
}

/// Reads one line: a slug, or an object with the rest.
///
/// All that can be known of it without a database is checked here, before the first tenant is made.
pub(super) fn parse(line: &str) -> Result<(Slug, Order), String> {
    let order = if line.starts_with('{') {
        serde_json::from_str(line).map_err(|error| error.to_string())?
    } else {
        Order { slug: line.to_owned(), ..Order::default() }
    };
    for (key, is_given) in
        [("url", order.url.is_some()), ("applied_through", order.applied_through.is_some())]
    {
        if is_given {
            return Err(format!("`{key}` is for `tenantry import --from-file`"));
        }
    }
    let slug = order.check()?;
    new_tenant(&order).map_err(|error| error.to_string())?;
    Ok((slug, order))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_a_slug_or_an_object() {
        let (slug, order) = parse("Acme").expect("a slug");
        assert_eq!((slug.as_str(), order.name), ("acme", None));
        let line = json!({ "slug": "globex", "name": "Globex", "settings": { "plan": "gold" }, "domains": ["a.org"] });
        let (slug, order) = parse(&line.to_string()).expect("an object");
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
            ("{\"slug\": \"acme\", \"domain\": \"a b\"}", "host has ' '"),
            ("{\"slug\": \"acme\", \"database\": \"\"}", "alias"),
            (
                "{\"slug\": \"acme\", \"url\": \"postgres://h/a\"}",
                "`url` is for `tenantry import --from-file`",
            ),
            ("{\"slug\": \"acme\", \"applied_through\": 7}", "`applied_through` is for"),
        ] {
            let error = parse(line).err().expect(line);
            assert!(error.contains(expect), "{line}: {error}");
        }
    }
}
