//! One tenant against another, and against the files: schemas that have applied the same should be the same, and what
//! the files make.
//!
//! The server computes one hash per schema over the rows of catalogs that say what is in it, page by page. Where
//! some have another, the objects themselves are read of one of each, and groups that are the same are one. The files
//! say which is right (`files`); where that is not known, what most schemas have is taken for it.

mod difference;
mod files;
mod groups;
mod question;
mod telling;

use sqlx::Row as _;

use self::difference::{Object, Objects, differences};
use self::files::KnownVersions;
pub(crate) use self::files::ReplayMode;
use self::groups::{Alike, Kind, is_settled};
use self::question::{Roles, about_objects, chunks, sizes, without_schema};
use self::telling::{names, sentence, statements_for};
use super::finding::{TOLD, Told};
use super::roster::Roster;
use super::{Check, Finding, Patient};
use crate::migrate::Migrations;
use crate::structure;

pub(super) async fn compare(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    files: &Migrations,
    replay: ReplayMode,
) -> crate::Result<Vec<Finding>> {
    let mut told = Told::default();
    let config = patient.config;
    let roles = Roles { application: config.application_role(), of_tenants: patient.role };
    let all = groups::read(patient, roster, roles).await?;
    let measure = KnownVersions::take(patient, files, replay, &all).await;
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
    differences: Option<Vec<structure::Deviation>>,
}

/// Compares one schema of each group with what the files make, as far as it will be told.
async fn judge(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    measure: &KnownVersions<'_>,
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
    let rest = format!(
        "SELECT rank, position::int, kind, parent, name, {} FROM object WHERE kind <> 'owner'",
        columns.join(", ")
    );
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
