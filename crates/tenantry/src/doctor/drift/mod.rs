//! One tenant against another: schemas that have applied the same should be the same.
//!
//! The server computes one hash per schema over the rows of catalogs that say what is in it, page by page. Where
//! some have another, the objects themselves are read of one of each, and groups that are the same are one. Which is
//! right nobody knows, so what most schemas have is taken for it.

mod difference;
mod groups;
mod question;

use sqlx::Row as _;

use self::difference::{Difference, Object, Objects, differences};
use self::groups::Alike;
use self::question::{OWN_NAME, Roles, about_objects, chunks, sizes, without_schema};
use super::finding::{TOLD, Told};
use super::roster::Roster;
use super::{Check, Finding, Patient};
use crate::registry::examination;
use crate::sql::{Identifier, Literal};

/// Differences of one schema that a finding tells of.
const MOST_DIFFERENCES: usize = 5;

pub(super) async fn compare(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut told = Told::default();
    let config = patient.config;
    let roles = Roles { application: config.application_role(), of_tenants: patient.role };
    for (kind, mut groups) in groups::read(patient, roster, roles).await? {
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.first.cmp(&b.first)));
        let Some((majority, others)) = groups.split_first() else { continue };
        for other in others.iter().take(TOLD) {
            told.extend(tell(patient, roster, roles, &kind.digest, other, majority).await?);
        }
        told.leave_out(others.len().saturating_sub(TOLD));
    }
    Ok(told.finish())
}

async fn tell(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    roles: Roles<'_>,
    digest: &str,
    group: &Alike,
    majority: &Alike,
) -> Result<Option<Finding>, sqlx::Error> {
    let Some((schema, _)) = group.first.first() else { return Ok(None) };
    let Some(is) = read_objects(patient, roster, roles, digest, schema).await? else { return Ok(None) };
    let mut should_be = None;
    for (model, _) in &majority.first {
        if should_be.is_none() {
            should_be = read_objects(patient, roster, roles, digest, model).await?;
        }
    }
    let Some(should_be) = should_be else { return Ok(None) };
    let differences = differences(&is, &should_be);
    // A migration was at work when they were hashed.
    if differences.is_empty() {
        return Ok(None);
    }
    let what = format!(
        "{} {} from {}, which {} applied the same: {}",
        names(group),
        if group.count == 1 { "differs" } else { "differ" },
        names(majority),
        if majority.count == 1 { "has" } else { "have" },
        told_of(&differences),
    );
    let why = "a statement or a migration that works for the others can fail there";
    Ok(Some(patient.warning(Check::Drift, what, why).mend_by(mend(group, &differences))))
}

/// ``tenant `a`, tenant `b`, tenant `c` and 4 more``.
fn names(group: &Alike) -> String {
    let owners: Vec<_> = group.first.iter().map(|(_, owner)| owner.as_str()).collect();
    match group.count.saturating_sub(owners.len()) {
        0 => owners.join(", "),
        more => format!("{} and {more} more", owners.join(", ")),
    }
}

fn told_of(differences: &[Difference<'_>]) -> String {
    let told: Vec<_> = differences.iter().take(MOST_DIFFERENCES).map(ToString::to_string).collect();
    match differences.len().saturating_sub(told.len()) {
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}

/// The statements that make the schemas that are named like the majority, for their owner.
fn mend(group: &Alike, differences: &[Difference<'_>]) -> String {
    let each = group.first.iter().map(|(schema, _)| {
        let literal = Literal(schema).to_string();
        let statements = difference::statements(differences)
            .replace(&format!("'{OWN_NAME}'"), &literal)
            .replace(&format!("\"{OWN_NAME}\""), &Identifier(schema).to_string())
            .replace(OWN_NAME, schema);
        format!("SET search_path TO {}; {statements}", Identifier(schema))
    });
    let each: Vec<_> = each.collect();
    let more = match group.count.saturating_sub(group.first.len()) {
        0 => String::new(),
        more => format!(" -- for the {more} more, run `tenantry doctor` again"),
    };
    format!("{}; RESET search_path{more}", each.join("; "))
}

/// The objects of a schema. `None` if that may be half of a migration, or is somebody else's by now.
async fn read_objects(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    roles: Roles<'_>,
    digest: &str,
    schema: &str,
) -> Result<Option<Objects>, sqlx::Error> {
    let columns = ["definition", "make", "alter", "remove"]
        .map(|column| format!("{} AS {column}", without_schema(column)));
    let rest = format!("SELECT rank, position::int, kind, parent, name, {} FROM object", columns.join(", "));
    let read = |row: &sqlx::postgres::PgRow| {
        Ok::<_, sqlx::Error>(Object {
            rank: row.try_get("rank")?,
            position: row.try_get("position")?,
            kind: row.try_get("kind")?,
            parent: row.try_get("parent")?,
            name: row.try_get("name")?,
            definition: row.try_get::<Option<_>, _>("definition")?.unwrap_or_default(),
            make: row.try_get("make")?,
            alter: row.try_get("alter")?,
            remove: row.try_get("remove")?,
        })
    };
    let mut objects = Objects::new();
    for chunk in chunks(sizes(&mut patient.catalog, std::iter::once(schema)).await?) {
        for row in patient.catalog.rows_by_index(&about_objects(&chunk, roles, &rest)).await? {
            let object = read(&row)?;
            objects.insert((object.rank, object.name.clone()), object);
        }
    }
    // What has this digest now, and had it when it was hashed, had it in between, too.
    let is_settled = patient.catalog.column(&examination::applied_and_kept(schema)).await? == [digest]
        && !patient.idle(&[schema]).await?.is_empty()
        && !roster.entries_of(patient.alias, &[schema]).await?.is_empty();
    Ok(is_settled.then_some(objects))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_named_by_its_first() {
        let first = vec![("t_a".to_owned(), "tenant `a`".to_owned())];
        assert_eq!(names(&Alike { count: 1, first: first.clone() }), "tenant `a`");
        assert_eq!(names(&Alike { count: 5, first }), "tenant `a` and 4 more");
    }
}
