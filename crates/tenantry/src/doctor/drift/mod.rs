//! One tenant against another, and against the files: schemas that have applied the same should be the same, and what
//! the files make.
//!
//! The server computes one hash per schema over the rows of catalogs that say what is in it, page by page. Where
//! some have another, the objects themselves are read of one of each, and groups that are the same are one. The files say
//! which is right (`files`); where that is not known, what most schemas have is taken for it.

mod difference;
mod files;
mod groups;
mod question;

use std::fmt;

use sqlx::Row as _;

use self::difference::{Object, Objects, differences};
use self::files::Measure;
pub(crate) use self::files::Replay;
use self::groups::{Alike, Kind};
use self::question::{OWN_NAME, Roles, about_objects, chunks, sizes, without_schema};
use super::finding::{TOLD, Told};
use super::roster::Roster;
use super::{Check, Finding, Patient};
use crate::migrate::Migrations;
use crate::registry::examination;
use crate::sql::{Identifier, Literal};
use crate::structure;

/// Differences of one schema that a finding tells of.
const MOST_DIFFERENCES: usize = 5;

pub(super) async fn compare(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    files: &Migrations,
    replay: Replay,
) -> crate::Result<Vec<Finding>> {
    let mut told = Told::default();
    let config = patient.config;
    let roles = Roles { application: config.application_role(), of_tenants: patient.role };
    let all = groups::read(patient, roster, roles).await?;
    let measure = Measure::take(patient, files, replay, &all).await;
    for (kind, mut groups) in all {
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.first.cmp(&b.first)));
        let judged = judge(patient, roster, &measure, &kind, groups).await?;
        // Where nobody knows what the files make, what most have is taken for right.
        let right = judged.iter().take(TOLD + 1).position(|group| group.differences.is_none());
        let model = right.map(|index| &judged[index].group);
        let others = judged.iter().enumerate().filter(|(index, _)| Some(*index) != right);
        for (_, Judged { group, differences }) in others.take(TOLD) {
            let from_model = match model {
                Some(model) => tell(patient, roster, roles, &kind.digest, group, model).await?,
                None => None,
            };
            let from_files = || Some(measure.tell(patient, &kind, group, differences.as_deref()?));
            told.extend(from_model.or_else(from_files));
        }
        told.leave_out(judged.len().saturating_sub(TOLD + 1));
    }
    let mut findings = told.finish();
    findings.extend(measure.findings);
    Ok(findings)
}

/// Schemas that are the same, and what they have less, more or otherwise than the files make: `None` if it is nothing,
/// or not known.
struct Judged {
    group: Alike,
    differences: Option<Vec<structure::Difference>>,
}

/// Compares one schema of each group with what the files make, as far as it will be told.
async fn judge(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    measure: &Measure<'_>,
    kind: &Kind,
    groups: Vec<Alike>,
) -> crate::Result<Vec<Judged>> {
    let mut judged = Vec::new();
    for (index, group) in groups.into_iter().enumerate() {
        let differences = match index {
            0..=TOLD => measure.differences(patient, roster, kind, &group).await?,
            _ => None,
        };
        judged.push(Judged { group, differences: differences.filter(|differences| !differences.is_empty()) });
    }
    Ok(judged)
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
        sentence(&differences),
    );
    let why = "a statement or a migration that works for the others can fail there";
    Ok(Some(
        patient
            .warning(Check::Drift, what, why)
            .mend_by(statements_for(group, &difference::statements(&differences))),
    ))
}

/// ``tenant `a`, tenant `b`, tenant `c` and 4 more``.
fn names(group: &Alike) -> String {
    let owners: Vec<_> = group.first.iter().map(|(_, owner)| owner.as_str()).collect();
    match group.count.saturating_sub(owners.len()) {
        0 => owners.join(", "),
        more => format!("{} and {more} more", owners.join(", ")),
    }
}

fn sentence(differences: &[impl fmt::Display]) -> String {
    let told: Vec<_> = differences.iter().take(MOST_DIFFERENCES).map(ToString::to_string).collect();
    match differences.len().saturating_sub(told.len()) {
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}

/// The statements that make the schemas that are named what they should be, for their owner.
fn statements_for(group: &Alike, statements: &str) -> String {
    let each = group.first.iter().map(|(schema, _)| {
        let literal = Literal(schema).to_string();
        let statements = statements
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
    Ok(is_settled(patient, roster, digest, schema).await?.then_some(objects))
}

/// Returns true if a schema has been what its digest says all the time: what has this digest now, and had it when it
/// was hashed, had it in between, too.
async fn is_settled(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    digest: &str,
    schema: &str,
) -> Result<bool, sqlx::Error> {
    Ok(patient.catalog.column(&examination::applied_and_kept(schema)).await? == [digest]
        && !patient.idle(&[schema]).await?.is_empty()
        && !roster.entries_of(patient.alias, &[schema]).await?.is_empty())
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
