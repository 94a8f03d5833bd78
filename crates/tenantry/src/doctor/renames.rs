//! Schemas of tenants that go by another name than the registry has.

use std::collections::{HashMap, HashSet};

use sqlx::Row as _;

use super::finding::Told;
use super::roster::Roster;
use super::{Check, Finding, Patient};
use crate::migrate::LEDGER_DIGEST;
use crate::registry::{LEDGER, examination};
use crate::sql::{Bytes, Identifier};

/// A schema that has another name than when it was migrated.
struct RenamedSchema {
    /// The name that the registry has.
    old: String,
    new: String,
    digest: Vec<u8>,
    /// True if there is a schema of the old name.
    is_replaced: bool,
}

/// Finds renamed schemas by their numbers. They must also have applied what the tenant has: after a restore from a
/// dump, an old number may be that of another schema.
///
/// Their names are noted, so that nobody is told to drop them or to begin anew.
pub(super) async fn look(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut renamed = Vec::new();
    for candidate in candidates(patient).await? {
        if has_applied(patient, &candidate).await? {
            renamed.push(candidate);
        }
    }
    let new: HashSet<_> = renamed.iter().map(|renamed| renamed.new.clone()).collect();
    // Where something else stands in its place, it was set aside on purpose.
    renamed.retain(|renamed| !renamed.is_replaced || new.contains(&renamed.old));
    let old: Vec<_> = renamed.iter().map(|renamed| renamed.old.as_str()).collect();
    let idle: HashSet<_> = patient.idle(&old).await?.into_iter().collect();
    let owners = roster.entries_of(patient.alias, &old).await?;
    let owners: HashMap<_, _> = owners.iter().map(|entry| (entry.schema.as_str(), entry.whose())).collect();
    renamed.retain(|renamed| owners.contains_key(renamed.old.as_str()) && idle.contains(&renamed.old));
    patient.renamed =
        renamed.iter().flat_map(|RenamedSchema { old, new, .. }| [old.clone(), new.clone()]).collect();
    let mut told = Told::default();
    let (exchanged, renamed): (Vec<_>, Vec<_>) = renamed.iter().partition(|renamed| renamed.is_replaced);
    for RenamedSchema { old, new, .. } in renamed {
        let what = format!("the schema of {} goes by the name `{new}`, not `{old}`", owners[old.as_str()]);
        let why = "every statement of the tenant fails, and so do migrations";
        let mend = format!("ALTER SCHEMA {} RENAME TO {}", Identifier(new), Identifier(old));
        told.push(patient.error(Check::RenamedSchema, what, why).mend_by(mend));
    }
    let mut findings = told.finish();
    findings.extend(exchange(patient, &exchanged, &owners));
    Ok(findings)
}

/// Schemas that have taken each other's names: one finding, since they are mended together.
fn exchange(
    patient: &Patient<'_>,
    exchanged: &[&RenamedSchema],
    owners: &HashMap<&str, String>,
) -> Option<Finding> {
    let told: Vec<_> = exchanged
        .iter()
        .map(|renamed| format!("that of {} goes by the name `{}`", owners[renamed.old.as_str()], renamed.new))
        .collect();
    if told.is_empty() {
        return None;
    }
    let what = format!("schemas have taken each other's names: {}", told.join(", "));
    let why = "a tenant is served with the rows of another";
    let aside = |renamed: &RenamedSchema| Identifier(&format!("{}_aside", renamed.old)).to_string();
    let away = exchanged
        .iter()
        .map(|renamed| format!("ALTER SCHEMA {} RENAME TO {}", Identifier(&renamed.new), aside(renamed)));
    let back = exchanged
        .iter()
        .map(|renamed| format!("ALTER SCHEMA {} RENAME TO {}", aside(renamed), Identifier(&renamed.old)));
    let mend: Vec<_> = away.chain(back).collect();
    Some(patient.error(Check::RenamedSchema, what, why).mend_by(mend.join("; ")))
}

async fn candidates(patient: &mut Patient<'_>) -> Result<Vec<RenamedSchema>, sqlx::Error> {
    let rows = patient.catalog.rows(examination::RENAMED).await?;
    let read = |row: &sqlx::postgres::PgRow| {
        Ok(RenamedSchema {
            old: row.try_get("old")?,
            new: row.try_get("new")?,
            digest: row.try_get("digest")?,
            is_replaced: row.try_get("is_replaced")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Returns true if the ledger is that of the tenant. One that is not there, or may not be read, is not.
async fn has_applied(patient: &mut Patient<'_>, renamed: &RenamedSchema) -> Result<bool, sqlx::Error> {
    let schema = Identifier(&renamed.new);
    let query = format!("SELECT {LEDGER_DIGEST} = {} FROM {schema}.{LEDGER}", Bytes(&renamed.digest));
    match patient.catalog.rows(&query).await {
        Ok(rows) => rows.first().map_or(Ok(false), |row| row.try_get(0)),
        Err(sqlx::Error::Database(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
