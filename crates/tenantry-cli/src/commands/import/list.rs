//! The list of databases that a file holds.
use std::collections::HashMap;

use tenantry::tenant::{Slug, TypeName};

use super::csv::records;
use super::order::{Choices, check};
use crate::failure::{Failure, without_urls};
use crate::order::Order;

/// Reads all lines before the first tenant is made. What is said of a line names its number, and no URL.
pub(super) fn parse(
    text: &str,
    file: &str,
    defaults: &Order,
    choices: Choices,
) -> Result<Vec<(Slug, Order)>, Failure> {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let orders = if first.is_some_and(|line| line.starts_with('{')) { of_json(text) } else { of_csv(text) };
    let refuse = |line: usize, why: &str| {
        Failure::new("invalid_input", format!("{file}:{line}: {}", without_urls(why)))
    };
    let mut lines = HashMap::new();
    let mut checked = Vec::new();
    for (line, mut order) in orders.map_err(|(line, why)| refuse(line, &why))? {
        order.schema = order.schema.or_else(|| defaults.schema.clone());
        order.type_name = order.type_name.or_else(|| defaults.type_name.clone());
        order.database = order.database.or_else(|| defaults.database.clone());
        order.applied_through = order.applied_through.or(defaults.applied_through);
        let slug = check(&order, choices).map_err(|why| refuse(line, &why))?;
        if let Some(first) = lines.insert(slug.clone(), line) {
            return Err(refuse(line, &format!("`{slug}` is on line {first} already")));
        }
        checked.push((slug, order));
    }
    Ok(checked)
}

type Orders = Result<Vec<(usize, Order)>, (usize, String)>;

fn of_json(text: &str) -> Orders {
    let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let order = serde_json::from_str(line).map_err(|error| (number, error.to_string()))?;
            Ok((number, order))
        })
        .collect()
}

fn of_csv(text: &str) -> Orders {
    let records = records(text).map_err(|(line, why)| (line, why.to_owned()))?;
    let Some(((line, header), rows)) = records.split_first() else { return Ok(Vec::new()) };
    for name in ["url", "slug"] {
        if !header.iter().any(|column| column == name) {
            return Err((*line, format!("no column is called `{name}`")));
        }
    }
    rows.iter()
        .map(|(line, values)| Ok((*line, order(header, values).map_err(|why| (*line, why))?)))
        .collect()
}

fn order(header: &[String], values: &[String]) -> Result<Order, String> {
    if values.len() != header.len() {
        return Err(format!("there are {} values for {} columns", values.len(), header.len()));
    }
    let mut order = Order::default();
    for (column, value) in header.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        let value = value.clone();
        match column.as_str() {
            "url" => order.url = Some(value),
            "slug" => order.slug = value,
            "name" => order.name = Some(value),
            "domain" => order.domain = Some(value),
            "schema" => order.schema = Some(value),
            "type" => order.type_name = Some(TypeName::parse(&value).map_err(|error| error.to_string())?),
            "database" => order.database = Some(value),
            "applied_through" => {
                let version = value.parse().map_err(|_| "`applied_through` is no number".to_owned())?;
                order.applied_through = Some(version);
            }
            _ => {
                return Err(
                    "a column is called none of url, slug, name, domain, type, database, schema, applied_through"
                        .to_owned(),
                );
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICES: Choices =
        Choices { is_without_large_objects: false, is_without_other_schemas: false, is_dry_run: false };

    fn read(text: &str) -> Result<Vec<(Slug, Order)>, Failure> {
        parse(text, "f", &Order::default(), CHOICES)
    }

    #[test]
    fn a_list_is_csv_or_json() {
        let csv = "slug,url,name,applied_through\nacme,postgres://u:p@h/a,\"Acme, Ltd\",7\nglobex,postgres://h/g,,\n";
        let json = r#"
            # customers
            {"slug": "acme", "url": "postgres://u:p@h/a", "name": "Acme, Ltd", "applied_through": 7}
            {"slug": "globex", "url": "postgres://h/g"}
        "#;
        let (csv, json) = (read(csv).expect("good CSV"), read(json).expect("good JSON"));
        assert!(csv == json);
        assert_eq!(csv[0].1.name.as_deref(), Some("Acme, Ltd"));
        assert_eq!((csv.len(), csv[1].1.applied_through), (2, None));
    }

    #[test]
    fn what_is_said_of_a_line_holds_no_secret() {
        for (text, says) in [
            ("slug\nacme", "f:1: no column is called `url`"),
            ("slug,url,x\nacme,postgres://u:secret@h/a,1", "f:2: a column is called none of"),
            ("slug,url\nacme,postgres://u:secret@h/a,b", "f:2: there are 3 values for 2 columns"),
            ("slug,url\nacme,secret", "f:2: "),
            ("slug,url\npostgres://u:secret@h/a,acme", "f:2: slug has ':'"),
            ("slug,url\nacme,", "f:2: there is no `url`"),
            ("slug,url,domain\nacme,postgres://u:secret@h/a,postgres://u:secret@h/a", "f:2: host has"),
            (
                "slug,url\nacme,postgres://u:secret@h/a\nACME,postgres://h/b",
                "f:3: `acme` is on line 2 already",
            ),
            ("{\"slug\": \"acme\", \"url\": [\"postgres://u:secret@h/a\"]}", "f:1: invalid type"),
            ("{\"slug\": \"acme\", \"domains\": \"postgres://u:secret@h/a\"}", "f:1: invalid type"),
        ] {
            let error = read(text).err().expect(text).to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
