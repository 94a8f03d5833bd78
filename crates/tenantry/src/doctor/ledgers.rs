//! Compares what each schema says it has applied with what `tenantry.applied` says.
//!
//! The ledger in the schema is the truth. The row in `tenantry.applied` is what a run looks at first, so
//! where that one says more than the truth, a tenant is left behind for ever.

use sqlx::Row as _;

use super::finding::Told;
use super::roster::{Entry, Roster};
use super::{Check, Finding, Patient, Session, list};
use crate::error::sqlstate;
use crate::migrate::LEDGER_DIGEST;
use crate::registry::LEDGER;
use crate::registry::examination::{self, APPLIED, APPLIED_SCHEMA};
use crate::sql::{Identifier, Literal};
use crate::tenant::Status;

/// The number of times a page is read whose schemas come and go.
const ATTEMPTS: u32 = 10;

/// Ledgers that are read before the connections are replaced: each stays in the memory of its session.
const REMEMBERED: usize = 2_000;

/// A ledger and its summary.
struct Comparison {
    schema: String,
    /// The version of a migration that began and did not end.
    interrupted: Option<i64>,
    has_summary: bool,
    /// True if the summary says what the ledger says.
    is_equal: bool,
}

pub(super) async fn compare(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut told = Told::default();
    let (mut unreadable, mut read, mut remembered) = (0, 0, 0);
    let mut after = String::new();
    loop {
        let page = roster.page_after(patient.alias, &after).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.schema);
        // One that is being dropped may have lost its ledger first.
        let page: Vec<_> = page.into_iter().filter(|entry| entry.status() != Some(Status::Purging)).collect();
        let (suspects, closed) = read_page(patient, &page).await?;
        unreadable += closed;
        told.extend(confirmed(patient, roster, &suspects).await?);
        told.extend(lost(patient, roster, &page).await?);
        read += page.len();
        patient.step("reading ledgers", read);
        remembered += page.len();
        if remembered >= REMEMBERED {
            patient.rest().await;
            remembered = 0;
        }
    }
    let mut findings = told.finish();
    findings.extend((unreadable > 0).then(|| not_compared(patient, unreadable)));
    Ok(findings)
}

/// Schemas that have applied something and say nothing of it.
async fn lost(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    page: &[Entry],
) -> Result<Vec<Finding>, sqlx::Error> {
    let query = format!(
        "SELECT applied.schema_name AS schema, \
            (SELECT min(other.schema_name) FROM {APPLIED} AS other \
             WHERE other.digest = applied.digest AND {OTHER_HAS_LEDGER}) AS model \
         FROM pg_catalog.pg_namespace JOIN {APPLIED} ON {APPLIED_SCHEMA} = nspname::text COLLATE \"default\" \
         WHERE version IS NOT NULL AND nspname IN ({}) AND NOT EXISTS (SELECT FROM pg_catalog.pg_class \
             WHERE relname = {} AND relnamespace = pg_namespace.oid)",
        list(page.iter().map(|entry| entry.schema.as_str())),
        Literal(LEDGER),
    );
    let mut findings = Vec::new();
    for row in patient.catalog.rows_by_index(&query).await? {
        let (schema, model): (&str, Option<&str>) = (row.try_get("schema")?, row.try_get("model")?);
        // A spare that became a tenant while this was asked is not there any more.
        for entry in roster.entries_of(patient.alias, &[schema]).await? {
            let what = format!("{} has no ledger, and a row in `tenantry.applied`", entry.whose());
            let why = "the next migration begins with the first file, and fails on what is there";
            findings
                .push(patient.error(Check::Ledger, what, why).mend_by(copy_ledger(patient, schema, model)));
        }
    }
    Ok(findings)
}

/// Asked only where a ledger is lost.
const OTHER_HAS_LEDGER: &str = "EXISTS (SELECT FROM pg_catalog.pg_class \
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace \
    WHERE relname = '_sqlx_migrations' AND nspname::text = other.schema_name)";

/// Schemas that have applied the same have the same ledger.
fn copy_ledger(patient: &Patient<'_>, schema: &str, model: Option<&str>) -> String {
    let Some(model) = model else { return format!("restore `{schema}.{LEDGER}` from a backup") };
    let [own, other] = [schema, model].map(|schema| format!("{}.{LEDGER}", Identifier(schema)));
    // By default the application may work with what its owner creates.
    let hide = if patient.has_two_logins() {
        format!("; REVOKE ALL ON {own} FROM {}", Identifier(patient.config.application_role()))
    } else {
        String::new()
    };
    format!("CREATE TABLE {own} (LIKE {other} INCLUDING ALL); INSERT INTO {own} SELECT * FROM {other}{hide}")
}

/// Looks again. A migration that was at work is idle only after it has ended, and then its mark is gone; and
/// a spare that became a tenant meanwhile is no row any more.
async fn confirmed(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    suspects: &[Comparison],
) -> Result<Vec<Finding>, sqlx::Error> {
    let schemas: Vec<_> = suspects.iter().map(|comparison| comparison.schema.as_str()).collect();
    let idle = patient.idle(&schemas).await?;
    let entries = roster.entries_of(patient.alias, &schemas).await?;
    let (comparisons, _) = read_page(patient, &entries).await?;
    let mut findings = Vec::new();
    for entry in roster.entries_of(patient.alias, &schemas).await? {
        patient.told_of_ledger.insert(entry.schema.clone());
        let is_its = |comparison: &&Comparison| comparison.schema == entry.schema;
        let Some(comparison) = comparisons.iter().find(is_its) else { continue };
        let has_ended =
            suspects.iter().find(is_its).is_none_or(|was| was.interrupted != comparison.interrupted);
        let is_idle = idle.contains(&entry.schema) && !has_ended;
        findings.extend(judge(patient, &entry, comparison, is_idle));
    }
    Ok(findings)
}

/// The ledgers of a page that say something else than their summaries, and the number of those that may not
/// be read.
async fn read_page(
    patient: &mut Patient<'_>,
    page: &[Entry],
) -> Result<(Vec<Comparison>, usize), sqlx::Error> {
    let ask = async |session: &mut Session, page: &[Entry]| {
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            let (schemas, closed) = ledgers_of(session, page).await?;
            match read(session, &schemas).await {
                // A spare became a tenant in between, or a tenant is gone.
                Err(error) if attempts > 0 && is_missing(&error) => {}
                comparisons => return Ok(vec![(comparisons?, closed)]),
            }
        }
    };
    let halves = patient.ask_in_halves(page, ask).await?;
    let closed = halves.iter().map(|(_, closed)| closed).sum();
    Ok((halves.into_iter().flat_map(|(comparisons, _)| comparisons).collect(), closed))
}

/// The ledger or its schema is not there any more.
fn is_missing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| sqlstate::is_missing(&code))
}

/// The schemas of a page that have a ledger, and the number of those whose ledger may not be read.
async fn ledgers_of(session: &mut Session, page: &[Entry]) -> Result<(Vec<String>, usize), sqlx::Error> {
    let query = format!(
        "SELECT nspname::text AS schema, pg_catalog.has_schema_privilege(relnamespace, 'USAGE') \
            AND pg_catalog.has_table_privilege(pg_class.oid, 'SELECT') AS is_readable \
         FROM pg_catalog.pg_namespace JOIN pg_catalog.pg_class ON pg_namespace.oid = relnamespace \
         WHERE relname = {} AND relkind = 'r' AND nspname IN ({})",
        Literal(LEDGER),
        list(page.iter().map(|entry| entry.schema.as_str())),
    );
    let (mut readable, mut closed) = (Vec::new(), 0);
    for row in session.rows_by_index(&query).await? {
        if row.try_get("is_readable")? {
            readable.push(row.try_get("schema")?);
        } else {
            closed += 1;
        }
    }
    Ok((readable, closed))
}

/// Reads ledgers and summaries in one statement, so that no migration commits in between.
async fn read(session: &mut Session, schemas: &[String]) -> Result<Vec<Comparison>, sqlx::Error> {
    if schemas.is_empty() {
        return Ok(Vec::new());
    }
    let ledgers: Vec<_> = schemas
        .iter()
        .map(|schema| {
            format!(
                "SELECT {}::text AS schema, version, success, checksum FROM {}.{LEDGER}",
                Literal(schema),
                Identifier(schema),
            )
        })
        .collect();
    // Plain scans under one aggregate: to plan one for each would take twice as long.
    let query = format!(
        "SELECT ledger.schema, ledger.interrupted, applied.schema_name IS NOT NULL AS has_summary, \
            applied.digest IS NOT DISTINCT FROM ledger.digest AS is_equal \
         FROM (SELECT schema, min(version) FILTER (WHERE NOT success) AS interrupted, {LEDGER_DIGEST} AS digest \
             FROM (SELECT schema, version, success IS TRUE AS success, checksum FROM \
                 pg_catalog.unnest(ARRAY[{}]) AS name (schema) LEFT JOIN ({}) AS row USING (schema)) AS row \
             GROUP BY schema) AS ledger \
         LEFT JOIN {APPLIED} ON {APPLIED_SCHEMA} = ledger.schema \
         WHERE ledger.interrupted IS NOT NULL OR applied.digest IS DISTINCT FROM ledger.digest",
        list(schemas.iter().map(String::as_str)),
        ledgers.join(" UNION ALL "),
    );
    let comparison = |row: &sqlx::postgres::PgRow| {
        Ok(Comparison {
            schema: row.try_get("schema")?,
            interrupted: row.try_get("interrupted")?,
            has_summary: row.try_get("has_summary")?,
            is_equal: row.try_get("is_equal")?,
        })
    };
    session.rows(&query).await?.iter().map(comparison).collect()
}

fn judge(patient: &Patient<'_>, entry: &Entry, comparison: &Comparison, is_idle: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(version) = comparison.interrupted.filter(|_| is_idle) {
        let what = format!("version {version} began in {} and did not end", entry.whose());
        let why = format!(
            "nothing after it is applied; where a run cannot tell how far it came, `--mark-applied {version}` or \
             `--mark-pending {version}` says so"
        );
        let finding = patient.error(Check::InterruptedMigration, what, &why);
        findings.push(finding.mend_by(migrate(entry)));
    }
    // Of one that is half made it is told that it is.
    let is_half_made = matches!(entry.status(), Some(Status::Provisioning | Status::Purging));
    if !comparison.is_equal && !is_half_made {
        findings.push(disagreement(patient, entry, comparison));
    }
    findings
}

fn migrate(entry: &Entry) -> String {
    match &entry.tenant {
        Some(tenant) => format!("tenantry migrate --tenant {}", tenant.slug),
        None => "tenantry spare fill".to_owned(),
    }
}

fn disagreement(patient: &Patient<'_>, entry: &Entry, comparison: &Comparison) -> Finding {
    let schema = &entry.schema;
    if !comparison.has_summary {
        let what = format!("{} has a ledger, and no row in `tenantry.applied`", entry.whose());
        let why = "`status` does not show what it has applied, and a run asks its ledger each time";
        return patient.warning(Check::Ledger, what, why).mend_by(migrate(entry));
    }
    let what =
        format!("the ledger of {} and its row in `tenantry.applied` say different things", entry.whose());
    let why = "a run believes the row: what is missing in the schema would never be applied";
    let summary = format!(
        "SELECT max(version) FILTER (WHERE success), {LEDGER_DIGEST}, now() FROM {}.{LEDGER}",
        Identifier(schema),
    );
    patient.error(Check::Ledger, what, why).mend_by(examination::believe_ledger(schema, &summary))
}

fn not_compared(patient: &Patient<'_>, count: usize) -> Finding {
    let what = format!("the ledgers of {count} schemas may not be read, so they were not compared");
    let why = "only the owner of the schemas may read what they have applied";
    patient.warning(Check::Unexamined, what, why).mend_by(format!(
        "set `owner_url` under `[databases.{}]` in tenantry.toml, at least for this command",
        patient.alias
    ))
}
