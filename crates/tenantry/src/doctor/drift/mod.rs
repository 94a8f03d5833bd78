//! One tenant against another: schemas that have applied the same should be the same.
//!
//! The server computes one hash per schema over what is in it, page by page. Which hash is right nobody
//! knows, so the one that most schemas have is taken for it. Only where a schema has another are the
//! objects themselves read, of that schema and of one of the majority.

mod difference;

use std::collections::{BTreeMap, HashMap};

use sqlx::Row as _;

use self::difference::{Difference, Object, Objects, differences};
use super::finding::{TOLD, Told};
use super::roster::{Entry, Roster};
use super::{Check, Finding, Patient, list};
use crate::registry::examination::{self, APPLIED};
use crate::sql::{Identifier, Literal};
use crate::tenant::Status;

/// Opens a query about `object`s of the schemas that are put into it.
const OBJECTS: &str = include_str!("objects.sql");

/// Tables, views, functions and types that one question is about. Their indexes and columns come with them.
/// What it reads of them stays in the memory of the session, and a view keeps a lock until the question ends.
const MOST_MEMBERS: i64 = 2_000;

/// Stands for the schema's own name where it is not in front of another name.
const OWN_NAME: &str = "__own_schema__";

/// Schemas with the same difference that a finding names.
const NAMED: usize = 3;

/// Differences of one schema that a finding tells of.
const MOST_DIFFERENCES: usize = 5;

/// Schemas that have applied the same and are the same.
#[derive(Default)]
struct Alike {
    count: usize,
    /// The first few of them: name of the schema, and whose it is.
    first: Vec<(String, String)>,
}

/// Schemas by what was applied, then by what is there.
type Groups = BTreeMap<String, HashMap<String, Alike>>;

pub(super) async fn compare(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut told = Told::default();
    for (digest, same_files) in read_groups(patient, roster).await? {
        let mut groups: Vec<_> = same_files.into_values().collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.first.cmp(&b.first)));
        let Some((majority, others)) = groups.split_first() else { continue };
        for other in others.iter().take(TOLD) {
            told.extend(tell(patient, roster, &digest, other, majority).await?);
        }
        told.leave_out(others.len().saturating_sub(TOLD));
    }
    Ok(told.finish())
}

async fn read_groups(patient: &mut Patient<'_>, roster: &mut Roster) -> Result<Groups, sqlx::Error> {
    let mut groups = Groups::new();
    let mut after = String::new();
    loop {
        let page = roster.page_after(patient.alias, &after).await?;
        let Some(last) = page.last() else { return Ok(groups) };
        after.clone_from(&last.schema);
        // One that is being dropped has less and less in it.
        let stays = |entry: &&Entry| entry.status() != Some(Status::Purging);
        let whose: HashMap<_, _> =
            page.iter().filter(stays).map(|entry| (entry.schema.as_str(), entry.whose())).collect();
        for chunk in chunks(sizes(patient, whose.keys().copied()).await?) {
            for (schema, digest, fingerprint) in fingerprints(patient, &chunk).await? {
                let group = groups.entry(digest).or_default().entry(fingerprint).or_default();
                group.count += 1;
                if group.first.len() < NAMED {
                    let owner = whose.get(schema.as_str()).cloned().unwrap_or_default();
                    group.first.push((schema, owner));
                }
            }
        }
    }
}

/// A schema and how much there is in it.
struct Size {
    schema: String,
    /// Tables, views, functions and types.
    members: i64,
    /// True if something in it goes by the same name. Then `note.title` may be a column as well as a table, and
    /// only a `search_path` with the schema in it tells which.
    is_ambiguous: bool,
}

async fn sizes<'a>(
    patient: &mut Patient<'_>,
    schemas: impl Iterator<Item = &'a str>,
) -> Result<Vec<Size>, sqlx::Error> {
    let query = format!(
        "SELECT nspname::text AS schema, count(objid) AS members, EXISTS (SELECT FROM pg_catalog.pg_class \
             WHERE relname = nspname AND relnamespace = pg_namespace.oid) AS is_ambiguous \
         FROM pg_catalog.pg_namespace LEFT JOIN pg_catalog.pg_depend ON refobjid = pg_namespace.oid \
             AND refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass \
         WHERE nspname IN ({}) GROUP BY pg_namespace.oid, nspname ORDER BY 1",
        list(schemas),
    );
    let size = |row: &sqlx::postgres::PgRow| {
        Ok(Size {
            schema: row.try_get("schema")?,
            members: row.try_get("members")?,
            is_ambiguous: row.try_get("is_ambiguous")?,
        })
    };
    patient.catalog.rows(&query).await?.iter().map(size).collect()
}

/// The schemas that one question is about.
struct Chunk {
    schemas: Vec<String>,
    members: i64,
    is_ambiguous: bool,
}

fn chunks(sizes: Vec<Size>) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for Size { schema, members, is_ambiguous } in sizes {
        match chunks.last_mut() {
            Some(chunk)
                if chunk.members + members <= MOST_MEMBERS && !chunk.is_ambiguous && !is_ambiguous =>
            {
                chunk.schemas.push(schema);
                chunk.members += members;
            }
            _ => chunks.push(Chunk { schemas: vec![schema], members, is_ambiguous }),
        }
    }
    chunks
}

/// Of each schema its name, what it has applied and a hash over what is in it.
async fn fingerprints(
    patient: &mut Patient<'_>,
    chunk: &Chunk,
) -> Result<Vec<(String, String, String)>, sqlx::Error> {
    let rest = format!(
        "SELECT schema_name, pg_catalog.encode(applied.digest, 'hex') AS digest, \
             coalesce(fingerprint, '') AS fingerprint \
         FROM schema JOIN {APPLIED} USING (schema_name) LEFT JOIN ( \
             SELECT schema, pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.string_agg( \
                 pg_catalog.concat_ws(' ', kind, name, {}), E'\\n' \
                 ORDER BY kind COLLATE \"C\", name COLLATE \"C\"), 'UTF8')), 'hex') AS fingerprint \
             FROM object GROUP BY 1) AS hashed USING (schema)",
        without_schema("definition"),
    );
    let rows = patient.catalog.rows(&question(chunk, &rest)).await?;
    patient.catalog.close().await;
    let read = |row: &sqlx::postgres::PgRow| {
        Ok((row.try_get("schema_name")?, row.try_get("digest")?, row.try_get("fingerprint")?))
    };
    rows.iter().map(read).collect()
}

/// A query about the objects of some schemas.
fn question(chunk: &Chunk, rest: &str) -> String {
    let objects = OBJECTS.replace("/* schemas */", &list(chunk.schemas.iter().map(String::as_str)));
    let Some(schema) = chunk.schemas.first().filter(|_| chunk.is_ambiguous) else {
        return format!("{objects} {rest}");
    };
    // Where the path shows the schema, nothing has its name in front, so there is nothing to take away.
    let objects = objects.replace("/* pattern */", "'(?!)' ||");
    let path = format!("SET LOCAL search_path TO {}, \"$user\", public", Identifier(schema));
    format!("BEGIN; {path}; {objects} {rest}; COMMIT")
}

/// The column without the schema's own name: in front of other names, and where it is one that nobody else
/// has, anywhere.
fn without_schema(column: &str) -> String {
    format!(
        "CASE WHEN is_unique AND pg_catalog.strpos({column}, schema_name) > 0 THEN pg_catalog.replace( \
             pg_catalog.regexp_replace({column}, pattern, '', 'g'), schema_name, '{OWN_NAME}') \
         WHEN pg_catalog.strpos({column}, prefix) > 0 THEN pg_catalog.regexp_replace({column}, pattern, '', 'g') \
         ELSE {column} END"
    )
}

async fn tell(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    digest: &str,
    group: &Alike,
    majority: &Alike,
) -> Result<Option<Finding>, sqlx::Error> {
    let Some((schema, _)) = group.first.first() else { return Ok(None) };
    let Some(is) = read_objects(patient, roster, digest, schema).await? else { return Ok(None) };
    let mut should_be = None;
    for (model, _) in &majority.first {
        if should_be.is_none() {
            should_be = read_objects(patient, roster, digest, model).await?;
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
    for chunk in chunks(sizes(patient, std::iter::once(schema)).await?) {
        for row in patient.catalog.rows(&question(&chunk, &rest)).await? {
            let object = read(&row)?;
            objects.insert((object.rank, object.name.clone()), object);
        }
    }
    // What has this digest now, and had it when it was hashed, had it in between, too.
    let is_settled = patient.catalog.column(&examination::digest_of(schema)).await? == [digest]
        && !patient.idle(&[schema]).await?.is_empty()
        && !roster.entries_of(patient.alias, &[schema]).await?.is_empty();
    Ok(is_settled.then_some(objects))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(members: i64) -> Size {
        Size { schema: "schema".to_owned(), members, is_ambiguous: false }
    }

    #[track_caller]
    fn check_chunks(sizes: impl IntoIterator<Item = Size>, expect: &[usize]) {
        let chunks: Vec<_> =
            chunks(sizes.into_iter().collect()).iter().map(|chunk| chunk.schemas.len()).collect();
        assert_eq!(chunks, expect);
    }

    #[test]
    fn a_question_is_about_few_large_schemas_or_many_small_ones() {
        check_chunks([], &[]);
        check_chunks([4; 250].map(size), &[250]);
        check_chunks([900; 5].map(size), &[2, 2, 1]);
        check_chunks([9_000, 1, 9_000].map(size), &[1, 1, 1]);
        check_chunks([0, 2_000, 0, 1].map(size), &[3, 1]);
    }

    #[test]
    fn an_ambiguous_schema_is_asked_about_alone() {
        let ambiguous = || Size { is_ambiguous: true, ..size(1) };
        check_chunks([size(1), size(1), ambiguous(), ambiguous(), size(1), size(1)], &[2, 1, 1, 2]);
    }

    #[test]
    fn a_group_is_named_by_its_first() {
        let first = vec![("t_a".to_owned(), "tenant `a`".to_owned())];
        assert_eq!(names(&Alike { count: 1, first: first.clone() }), "tenant `a`");
        assert_eq!(names(&Alike { count: 5, first }), "tenant `a` and 4 more");
    }
}
