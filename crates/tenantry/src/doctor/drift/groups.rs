//! The schemas of a database in groups that have applied the same and are the same.

use std::collections::{BTreeMap, HashMap};

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::question::{
    Roles, about_objects, about_rows, about_views, chunks, sizes, with_own_name, without_locks,
    without_schema,
};
use crate::doctor::Patient;
use crate::doctor::roster::{Entry, PAGE, Roster};
use crate::doctor::session::Session;
use crate::registry::examination::{self, APPLIED, APPLIED_AND_KEPT, APPLIED_SCHEMA};
use crate::tenant::Status;

/// Schemas with the same difference that a finding names.
pub(super) const NAMED: usize = 3;

/// Schemas that are looked at before the connections are replaced: what a server's process has read of each stays
/// in its memory.
const REMEMBERED: usize = 2_000;

/// Schemas that have applied the same and are the same.
#[derive(Default)]
pub(super) struct Alike {
    pub(super) count: usize,
    /// The first few of them: name of the schema, and whose it is.
    pub(super) first: Vec<(String, String)>,
}

impl Alike {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(NAMED);
    }
}

/// Schemas that are compared with each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Kind {
    /// The digest of what was applied, and what is left of types that the tenant had before.
    pub(super) digest: String,
    /// True for those with a role of their own, which nobody has granted anything in the others.
    has_role: bool,
}

/// Schemas by what is there.
type Groups = BTreeMap<Kind, HashMap<i64, Alike>>;

/// The answer about one schema.
struct SchemaRows {
    schema: String,
    kind: Kind,
    fingerprint: i64,
    views: i64,
    rows: i64,
}

/// Reads what is in all schemas: the rows of catalogs of each, and the objects themselves of one of those with the same
/// rows.
pub(super) async fn read(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    roles: Roles<'_>,
) -> Result<BTreeMap<Kind, Vec<Alike>>, sqlx::Error> {
    let by_rows = read_rows(patient, roster, roles).await?;
    patient.rest().await;
    let mut kinds = BTreeMap::new();
    for (kind, groups) in by_rows {
        let groups = if groups.len() == 1 {
            groups.into_values().collect()
        } else {
            by_objects(patient, roles, &kind, groups).await?
        };
        kinds.insert(kind, groups);
    }
    Ok(kinds)
}

async fn read_rows(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    roles: Roles<'_>,
) -> Result<Groups, sqlx::Error> {
    let mut groups = Groups::new();
    let (mut after, mut read, mut remembered) = (String::new(), 0, 0);
    loop {
        let page = roster.page_after(patient.alias, &after).await?;
        let Some(last) = page.last() else { return Ok(groups) };
        after.clone_from(&last.schema);
        // One that is being dropped has less and less in it.
        let page: Vec<_> = page.into_iter().filter(|entry| entry.status() != Some(Status::Purging)).collect();
        let ask = async |session: &mut Session, page: &[Entry]| rows_of(session, page, roles).await;
        let looks = patient.ask_in_halves(&page, ask).await?;
        read += page.len();
        remembered += page.len();
        patient.step("comparing schemas", read);
        let whose: HashMap<_, _> = page.iter().map(|entry| (entry.schema.as_str(), entry)).collect();
        for SchemaRows { schema, kind, fingerprint, rows, .. } in looks {
            if patient.largest.as_ref().is_none_or(|(most, _)| rows > *most) {
                patient.largest = Some((rows, schema.clone()));
            }
            let group: &mut Alike = groups.entry(kind).or_default().entry(fingerprint).or_default();
            group.count += 1;
            if group.first.len() < NAMED {
                let owner = whose.get(schema.as_str()).map(|entry| entry.whose()).unwrap_or_default();
                group.first.push((schema, owner));
            }
        }
        if remembered >= REMEMBERED {
            patient.rest().await;
            remembered = 0;
        }
    }
}

/// Of each schema a hash over the rows of catalogs that say what is in it.
async fn rows_of(
    session: &mut Session,
    page: &[Entry],
    roles: Roles<'_>,
) -> Result<Vec<SchemaRows>, sqlx::Error> {
    let hash = format!(
        "coalesce(pg_catalog.bit_xor(CASE WHEN text IS NULL THEN hash \
             ELSE pg_catalog.hashtextextended({}, hash) END), 0) AS fingerprint",
        with_own_name("text"),
    );
    let rest = format!(
        "SELECT schema.schema_name, has_role, {APPLIED_AND_KEPT} AS digest, \
             fingerprint, rows, views \
         FROM schema JOIN {APPLIED} ON {APPLIED_SCHEMA} = schema.schema_name COLLATE \"default\" \
         LEFT JOIN (SELECT schema, count(*) AS rows, {hash} FROM row GROUP BY 1) AS hashed USING (schema) \
         LEFT JOIN (SELECT schema, count(*) FILTER (WHERE relkind IN ('v', 'm')) AS views \
             FROM relation GROUP BY 1) AS counted USING (schema)"
    );
    let mut looks = Vec::new();
    for chunk in without_locks(sizes(session, page.iter().map(|entry| entry.schema.as_str())).await?) {
        for row in session.rows_by_index(&about_rows(&chunk, roles, &rest)).await? {
            looks.push(look(&row)?);
        }
    }
    let with_views = looks.iter().filter(|look| look.views > 0).map(|look| look.schema.as_str());
    let with_views: Vec<_> = with_views.collect();
    if with_views.is_empty() {
        return Ok(looks);
    }
    let rest = format!("SELECT schema_name, {hash} FROM row GROUP BY 1");
    let mut views = HashMap::new();
    for chunk in chunks(sizes(session, with_views.into_iter()).await?) {
        for row in session.rows_by_index(&about_views(&chunk, roles, &rest)).await? {
            views.insert(row.try_get::<String, _>("schema_name")?, row.try_get::<i64, _>("fingerprint")?);
        }
    }
    for look in &mut looks {
        look.fingerprint ^= views.get(&look.schema).copied().unwrap_or_default();
    }
    Ok(looks)
}

fn look(row: &PgRow) -> Result<SchemaRows, sqlx::Error> {
    Ok(SchemaRows {
        schema: row.try_get("schema_name")?,
        kind: kind(row)?,
        fingerprint: row.try_get::<Option<_>, _>("fingerprint")?.unwrap_or_default(),
        views: row.try_get::<Option<_>, _>("views")?.unwrap_or_default(),
        rows: row.try_get::<Option<_>, _>("rows")?.unwrap_or_default(),
    })
}

fn kind(row: &PgRow) -> Result<Kind, sqlx::Error> {
    Ok(Kind { digest: row.try_get("digest")?, has_role: row.try_get("has_role")? })
}

/// Puts groups together whose rows differ, and whose objects do not. Where a migration is at work, that is found when
/// the finding is told.
async fn by_objects(
    patient: &mut Patient<'_>,
    roles: Roles<'_>,
    kind: &Kind,
    groups: HashMap<i64, Alike>,
) -> Result<Vec<Alike>, sqlx::Error> {
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|a, b| a.first.cmp(&b.first));
    let examples: Vec<_> = groups.iter().filter_map(|group| group.first.first()).collect();
    let examples: Vec<_> = examples.into_iter().map(|(schema, _)| schema.clone()).collect();
    let ask = async |session: &mut Session, schemas: &[String]| objects_of(session, schemas, roles).await;
    let mut fingerprints = HashMap::new();
    for page in examples.chunks(PAGE) {
        for (schema, now, fingerprint) in patient.ask_in_halves(page, ask).await? {
            if now == *kind {
                fingerprints.insert(schema, fingerprint);
            }
        }
        patient.rest().await;
    }
    let mut merged: BTreeMap<String, Alike> = BTreeMap::new();
    for group in groups {
        let Some((schema, _)) = group.first.first() else { continue };
        // One that has moved on is in a group of its own.
        let fingerprint = fingerprints.remove(schema).unwrap_or_else(|| schema.clone());
        merged.entry(fingerprint).or_default().add(group);
    }
    Ok(merged.into_values().collect())
}

/// Of each schema a hash over the objects in it.
async fn objects_of(
    session: &mut Session,
    schemas: &[String],
    roles: Roles<'_>,
) -> Result<Vec<(String, Kind, String)>, sqlx::Error> {
    let rest = format!(
        "SELECT schema.schema_name, has_role, {APPLIED_AND_KEPT} AS digest, \
             coalesce(fingerprint, '') AS fingerprint \
         FROM schema JOIN {APPLIED} ON {APPLIED_SCHEMA} = schema.schema_name COLLATE \"default\" LEFT JOIN ( \
             SELECT schema, pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.string_agg( \
                 pg_catalog.concat_ws(' ', kind, name, {}), E'\\n' \
                 ORDER BY kind COLLATE \"C\", name COLLATE \"C\"), 'UTF8')), 'hex') AS fingerprint \
             FROM object GROUP BY 1) AS hashed USING (schema)",
        without_schema("definition"),
    );
    let mut fingerprints = Vec::new();
    for chunk in chunks(sizes(session, schemas.iter().map(String::as_str)).await?) {
        for row in session.rows_by_index(&about_objects(&chunk, roles, &rest)).await? {
            fingerprints.push((row.try_get("schema_name")?, kind(&row)?, row.try_get("fingerprint")?));
        }
    }
    Ok(fingerprints)
}

/// Returns true if a schema has been what its digest says all the time: what has this digest now, and had it when it
/// was hashed, had it in between, too.
pub(super) async fn is_settled(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    digest: &str,
    schema: &str,
) -> Result<bool, sqlx::Error> {
    Ok(patient.catalog.column(&examination::applied_and_kept(schema)).await? == [digest]
        && !patient.idle(&[schema]).await?.is_empty()
        && !roster.entries_of(patient.alias, &[schema]).await?.is_empty())
}
