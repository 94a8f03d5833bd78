//! Tenants against the migration files: what failed, what is behind, what was changed or is missing.
//!
//! Tenants that are of one type and have applied the same are one question, however many they are.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::roster::{Entry, Roster, TenantEntry};
use super::{Check, Finding, Patient, list};
use crate::error::Error;
use crate::migrate::{Applied, Conflict, Goal, Migrations, plan};
use crate::migration::{MigrationSet, digest_of};
use crate::registry::LEDGER;
use crate::registry::examination::{self, APPLIED};
use crate::sql::Identifier;
use crate::tenant::{Status, TypeName};

/// Files, and errors of tenants, that a finding names.
const NAMED: usize = 3;

/// Different ledgers that are read. There are as many as there are releases at work, and a few more.
const MOST_LEDGERS: usize = 100;

/// Tenants of which the same is true.
struct Tenants {
    count: usize,
    /// The first of them.
    slug: String,
    schema: String,
}

/// Tenants of one type that have applied the same, as a digest in hexadecimal digits.
type Key = (Option<TypeName>, String);

/// The tenants of a database that are served or suspended.
#[derive(Default)]
struct Tally {
    by_digest: BTreeMap<Key, Tenants>,
    /// The same, without those of whom something else is told.
    keeping_up: BTreeMap<Key, Tenants>,
    /// By the error of the last command.
    failed: BTreeMap<String, Tenants>,
}

pub(super) async fn compare(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    files: &Migrations,
) -> Result<Vec<Finding>, sqlx::Error> {
    let tally = read(patient, roster).await?;
    let mut findings: Vec<_> = failed(patient, &tally.failed).into_iter().collect();
    // Without files, or where it is not known which there are, nothing can be compared with them.
    if !files.is_none() && files.check_files().is_ok() {
        findings.extend(against_files(patient, roster, files, &tally).await?);
    }
    Ok(findings)
}

async fn read(patient: &mut Patient<'_>, roster: &mut Roster) -> Result<Tally, sqlx::Error> {
    let mut tally = Tally::default();
    let mut after = String::new();
    loop {
        let page = roster.page_after(patient.alias, &after).await?;
        let Some(last) = page.last() else { return Ok(tally) };
        after.clone_from(&last.schema);
        let is_kept_up = |entry: &&Entry| matches!(entry.status(), Some(Status::Active | Status::Suspended));
        let page: BTreeMap<_, _> = page
            .iter()
            .filter(is_kept_up)
            .filter_map(|entry| Some((entry.schema.as_str(), entry.tenant.as_ref()?)))
            .collect();
        let query = format!(
            "SELECT schema_name, pg_catalog.encode(digest, 'hex') AS digest FROM {APPLIED} WHERE schema_name IN ({})",
            list(page.keys().copied()),
        );
        for row in patient.catalog.rows_by_index(&query).await? {
            let (schema, digest): (&str, &str) = (row.try_get("schema_name")?, row.try_get("digest")?);
            let Some(tenant) = page.get(schema) else { continue };
            if patient.told_of_ledger.contains(schema) {
                continue;
            }
            let key = (tenant.type_name.clone(), digest.to_owned());
            note(&mut tally.by_digest, key.clone(), schema, tenant);
            match &tenant.last_error {
                Some(error) => note(&mut tally.failed, error.clone(), schema, tenant),
                None => note(&mut tally.keeping_up, key, schema, tenant),
            }
        }
    }
}

fn note<K: Ord>(groups: &mut BTreeMap<K, Tenants>, key: K, schema: &str, tenant: &TenantEntry) {
    let first = || Tenants { count: 0, slug: tenant.slug.clone(), schema: schema.to_owned() };
    groups.entry(key).or_insert_with(first).count += 1;
}

impl Tenants {
    /// ``tenant `acme` `` or ``12 tenants, the first is `acme` ``.
    fn to_text(&self) -> String {
        match self.count {
            1 => format!("tenant `{}`", self.slug),
            count => format!("{count} tenants, the first is `{}`", self.slug),
        }
    }
}

fn failed(patient: &Patient<'_>, failed: &BTreeMap<String, Tenants>) -> Option<Finding> {
    let mut groups: Vec<_> = failed.iter().collect();
    groups.sort_by_key(|(_, tenants)| std::cmp::Reverse(tenants.count));
    let count: usize = groups.iter().map(|(_, tenants)| tenants.count).sum();
    let told: Vec<_> = groups
        .iter()
        .take(NAMED)
        .map(|(error, tenants)| format!("{} ({error})", tenants.to_text()))
        .collect();
    if told.is_empty() {
        return None;
    }
    let of = if count == 1 { "one tenant".to_owned() } else { format!("{count} tenants") };
    let what = format!("the last migration of {of} failed: {}", and_more(&told, groups.len()));
    let why = "they have not applied what the others have, so what the application expects may not be there";
    Some(
        patient
            .error(Check::Failed, what, why)
            .mend_by("mend what the error says, then run `tenantry migrate`"),
    )
}

fn and_more(told: &[String], count: usize) -> String {
    match count.saturating_sub(told.len()) {
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}

async fn against_files(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    files: &Migrations,
    tally: &Tally,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut unusable = BTreeMap::<_, (_, Vec<_>)>::new();
    let (mut changed, mut missing, mut behind) = (Files::default(), Files::default(), Vec::new());
    let mut ledgers = 0;
    for (key, tenants) in &tally.by_digest {
        let (type_name, digest) = key;
        let set = match files.files_of(type_name.as_ref()) {
            Ok(files) => files.set(),
            Err(error) => {
                let (_, all) = unusable.entry(type_name).or_insert_with(|| (error, Vec::new()));
                all.push(tenants);
                continue;
            }
        };
        let goal = Goal::latest(set);
        if *digest == goal.digest().to_string() {
            continue;
        }
        let is_known = digest.parse().is_ok_and(|digest| set.version_of(&digest).is_some());
        let keep_up = tally.keeping_up.get(key).map(|tenants| (key, tenants));
        if is_known {
            behind.extend(keep_up);
            continue;
        }
        ledgers += 1;
        if ledgers > MOST_LEDGERS {
            break;
        }
        let Some(applied) = ledger(patient, digest, tenants).await? else { continue };
        let conflicts = plan(goal, &applied).err().unwrap_or_default();
        let past: Vec<_> = conflicts.into_iter().filter(Conflict::is_of_the_past).collect();
        if past.is_empty() {
            behind.extend(keep_up);
        }
        for conflict in past {
            let files =
                if matches!(conflict, Conflict::Missing { .. }) { &mut missing } else { &mut changed };
            files.add(conflict, tenants);
        }
    }
    let unusable = unusable.into_values().map(|(error, tenants)| unusable_type(patient, &error, &tenants));
    let mut findings: Vec<_> = unusable.collect();
    findings.extend(changed.changed(patient));
    findings.extend(missing.missing(patient));
    findings.extend(tell_behind(patient, roster, files, &behind).await?);
    Ok(findings)
}

/// Tenants whose type is not known here, or has files that cannot be told apart.
fn unusable_type(patient: &Patient<'_>, error: &Error, tenants: &[&Tenants]) -> Finding {
    let count = tenants.iter().map(|tenants| tenants.count).sum();
    let (slug, schema) =
        tenants.first().map(|first| (first.slug.clone(), first.schema.clone())).unwrap_or_default();
    let what = format!("{}: {error}", Tenants { count, slug, schema }.to_text());
    let why = "they are served, and cannot be migrated";
    patient.error(Check::UnusableType, what, why).mend_by(error.hint().unwrap_or_default())
}

/// The rows of the ledger that all of these tenants have. `None` if that of the first says something else, which
/// another check tells, or may not be read.
async fn ledger(
    patient: &mut Patient<'_>,
    digest: &str,
    tenants: &Tenants,
) -> Result<Option<Vec<Applied>>, sqlx::Error> {
    let query = format!(
        "SELECT version, checksum, success FROM {}.{LEDGER} ORDER BY version",
        Identifier(&tenants.schema)
    );
    let Ok(rows) = patient.catalog.rows(&query).await else { return Ok(None) };
    let row = |row: &sqlx::postgres::PgRow| {
        let (version, checksum, success) =
            (row.try_get("version")?, row.try_get("checksum")?, row.try_get("success")?);
        Ok::<_, sqlx::Error>(Applied { version, checksum, success })
    };
    let applied = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let done = applied.iter().filter(|row| row.success);
    let is_its = digest_of(done.map(|row| (row.version, row.checksum.as_slice()))).to_string() == digest;
    Ok(is_its.then_some(applied))
}

/// Files that are not what was applied, and by how many tenants.
#[derive(Default)]
struct Files(Vec<(Conflict, usize)>);

impl Files {
    fn add(&mut self, conflict: Conflict, tenants: &Tenants) {
        match self.0.iter_mut().find(|(known, _)| *known == conflict) {
            Some((_, count)) => *count += tenants.count,
            None => self.0.push((conflict, tenants.count)),
        }
    }

    fn to_text(&self) -> Option<String> {
        let told = self.0.iter().take(NAMED).map(|(conflict, count)| match count {
            1 => format!("{conflict} (one tenant)"),
            count => format!("{conflict} ({count} tenants)"),
        });
        let told: Vec<_> = told.collect();
        (!told.is_empty()).then(|| and_more(&told, self.0.len()))
    }

    fn changed(mut self, patient: &Patient<'_>) -> Option<Finding> {
        self.0.sort_by_key(|(conflict, _)| conflict.version());
        let what = self.to_text()?;
        let (first, _) = self.0.first()?;
        let mend = if self.0.len() == 1 {
            first.hint().into_owned()
        } else {
            let marks: Vec<_> = self.0.iter().map(|(conflict, _)| conflict.version().to_string()).collect();
            format!(
                "restore the files, and put the changes into a new migration; where they do not matter, \
                 `tenantry migrate --mark-applied VERSION` says so, for each of {}",
                marks.join(", ")
            )
        };
        let why = "no tenant is migrated before that is settled, and none is made";
        Some(patient.error(Check::ChangedFile, what, why).mend_by(mend))
    }

    fn missing(mut self, patient: &Patient<'_>) -> Option<Finding> {
        self.0.sort_by_key(|(conflict, _)| conflict.version());
        let what = self.to_text()?;
        let why =
            "these tenants cannot be migrated with the files that are here, and no tenant is made of them";
        let mend = "restore the files, or deploy the release that has them";
        Some(patient.error(Check::MissingFile, what, why).mend_by(mend))
    }
}

async fn tell_behind(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
    files: &Migrations,
    behind: &[(&Key, &Tenants)],
) -> Result<Option<Finding>, sqlx::Error> {
    let count: usize = behind.iter().map(|(_, tenants)| tenants.count).sum();
    let Some(((type_name, digest), first)) = behind.first() else { return Ok(None) };
    // What a run is at, or was at a moment ago, is not behind for long.
    let digest_now = patient.catalog.column(&examination::digest_of(&first.schema)).await?;
    if roster.is_run_at_work().await? || digest_now.first() != Some(digest) {
        return Ok(None);
    }
    let all = Tenants { count, slug: first.slug.clone(), schema: first.schema.clone() };
    let verb = if count == 1 { "has" } else { "have" };
    let newest = files.of_type(type_name.as_ref()).and_then(MigrationSet::latest);
    let newest = newest.map(|newest| format!(", of which {newest} is the newest"));
    let what = format!("{} {verb} not applied all files{}", all.to_text(), newest.unwrap_or_default());
    let why = "a release that counts on the files does not work for them";
    Ok(Some(patient.warning(Check::Behind, what, why).mend_by("tenantry migrate")))
}
