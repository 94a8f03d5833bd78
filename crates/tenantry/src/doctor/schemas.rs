//! The registry against the schemas that are there.

use std::collections::HashSet;

use super::finding::Told;
use super::roster::{Entry, Roster, TenantEntry};
use super::{Check, Finding, Patient, list};
use crate::registry::examination::{self, APPLIED, APPLIED_SCHEMA};
use crate::sql::{Identifier, Literal};
use crate::tenant::{Alias, Slug, Status};

/// The pattern of the names of schemas that Tenantry makes.
const GENERATED: &str = "^(t_.+|tenantry_spare)_[0-9a-f]{10}$|^tenantry_baseline_[0-9a-f]+$";

/// Schemas that look like Tenantry's, or have applied something, and are in no row of the registry.
pub(super) async fn orphans(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut candidates = candidates(patient).await?;
    // The roster has the spares of the default database.
    let spares: HashSet<_> = patient.catalog.column(examination::SPARES).await?.into_iter().collect();
    candidates.retain(|schema| !spares.contains(schema));
    let orphans = roster.without_owner(patient.alias, &candidates).await?;
    let is_nobodys = |schema: &&str| !patient.renamed.contains(*schema);
    let orphans: Vec<_> = orphans.iter().map(String::as_str).filter(is_nobodys).collect();
    let mut told = Told::default();
    // Somebody may have removed them, schema and row, between the two questions.
    for schema in present(patient, &orphans).await? {
        told.push(orphan(patient, &schema));
    }
    Ok(told.finish())
}

/// The names of schemas that should be somebody's. In one question, since each reads all names there are.
async fn candidates(patient: &mut Patient<'_>) -> Result<Vec<String>, sqlx::Error> {
    let shared = list(patient.shared_schemas());
    let query = format!(
        "SELECT nspname::text FROM pg_catalog.pg_namespace \
         WHERE nspname NOT IN ({shared}) AND (nspname::text ~ {} OR EXISTS \
                (SELECT FROM {APPLIED} WHERE {APPLIED_SCHEMA} = nspname::text)) \
         ORDER BY nspname::text COLLATE \"C\"",
        Literal(GENERATED),
    );
    patient.catalog.column(&query).await
}

fn orphan(patient: &Patient<'_>, schema: &str) -> Finding {
    let what = format!("no row of the registry owns the schema `{schema}`");
    let name = Identifier(schema);
    let forget = examination::forget_applied(schema);
    if schema.starts_with("tenantry_") {
        let why = if schema.starts_with("tenantry_baseline_") {
            "unless a command replays the files just now, it takes room for nothing until the next one removes it"
        } else {
            "it takes room for nothing, and no command removes it"
        };
        return patient
            .warning(Check::OrphanSchema, what, why)
            .mend_by(format!("DROP SCHEMA {name} CASCADE; {forget}"));
    }
    // It may hold what a customer believes to be safe, so dropping it is not what is proposed first.
    let why = "nobody is served from it, and it may hold all that is left of a tenant";
    let keep = format!(
        "tenantry create {} --schema '{}'{}",
        slug_in(schema),
        schema.replace('\'', r"'\''"),
        database_option(patient)
    );
    let drop = format!("DROP SCHEMA {name} CASCADE; {forget}");
    let mend = format!("{keep}   # or, if nobody needs its rows: {drop}");
    patient.warning(Check::OrphanSchema, what, why).mend_by(mend)
}

/// The readable part of a name that was made from a slug.
fn slug_in(schema: &str) -> String {
    let readable = schema.strip_prefix("t_").and_then(|name| name.rsplit_once('_'));
    let slug = readable.and_then(|(slug, _)| Slug::parse(&slug.replace('_', "-")).ok());
    slug.map_or_else(|| "SLUG".to_owned(), |slug| slug.to_string())
}

fn database_option(patient: &Patient<'_>) -> String {
    if *patient.alias == Alias::default() { String::new() } else { format!(" --database {}", patient.alias) }
}

/// Rows of the registry whose schema is not there, and tenants that were left half-made.
pub(super) async fn missing(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut told = Told::default();
    let mut after = String::new();
    loop {
        let page = roster.page_after(patient.alias, &after).await?;
        let Some(last) = page.last() else { return Ok(told.finish()) };
        after.clone_from(&last.schema);
        let schemas: Vec<_> = page.iter().map(|entry| entry.schema.as_str()).collect();
        let present: HashSet<_> = present(patient, &schemas).await?.into_iter().collect();
        let is_there = |schema: &String| present.contains(schema) || patient.renamed.contains(schema);
        let has_trouble = |entry: &&Entry| is_half_made(entry) || !is_there(&entry.schema);
        let suspects: Vec<_> = page.iter().filter(has_trouble).map(|entry| entry.schema.as_str()).collect();
        let suspects = patient.idle(&suspects).await?;
        let suspects: Vec<_> = suspects.iter().map(String::as_str).collect();
        // A row that was read may be gone by now, together with its schema.
        let entries = roster.entries_of(patient.alias, &suspects).await?;
        let copies = roster.begun_copies(&entries).await?;
        let filled = if copies.is_empty() { Vec::new() } else { filled(patient, &suspects).await? };
        for entry in entries {
            let slug = entry.tenant.as_ref().map(|tenant| &tenant.slug);
            let slug = slug.filter(|_| !filled.contains(&entry.schema));
            let copy = slug.and_then(|slug| copies.get(slug)).map(String::as_str);
            told.extend(half_made(patient, &entry, copy).or_else(|| without_schema(patient, &entry)));
        }
    }
}

fn is_half_made(entry: &Entry) -> bool {
    matches!(entry.status(), Some(Status::Provisioning | Status::Purging | Status::Moving))
}

/// `copy` is the verb that was to copy it from something, and came to make not all of it.
fn half_made(patient: &Patient<'_>, entry: &Entry, copy: Option<&str>) -> Option<Finding> {
    let TenantEntry { slug, type_name, status, last_error } = entry.tenant.as_ref()?;
    let of_type = type_name.as_ref().map(|type_name| format!(" --type {type_name}")).unwrap_or_default();
    let mend = match status {
        Status::Provisioning => {
            let give_up = format!("tenantry create {slug} --abort --yes");
            let create = format!("tenantry create {slug}{of_type}{}", database_option(patient));
            copy.map_or_else(
                || format!("{create}   # or, to give it up: {give_up}"),
                |verb| format!("{give_up}   # or repeat the `tenantry {verb}` that began it"),
            )
        }
        Status::Purging => format!("tenantry purge {slug} --yes"),
        Status::Moving => {
            format!("tenantry move {slug}   # or, to have it where it was: tenantry move {slug} --abort")
        }
        _ => return None,
    };
    let reason = last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let what = format!("tenant `{slug}` is {status}, and nobody is working on it{reason}");
    let why = "it is not served, and its slug is taken";
    Some(patient.warning(Check::HalfMade, what, why).mend_by(mend))
}

fn without_schema(patient: &Patient<'_>, entry: &Entry) -> Option<Finding> {
    let what = format!("{} has no schema: `{}` is not there", entry.whose(), entry.schema);
    let Some(TenantEntry { slug, type_name, status, .. }) = &entry.tenant else {
        let why = "a sign-up tries it in vain, and takes longer";
        let forget = examination::forget_spare(&entry.schema);
        return Some(patient.warning(Check::MissingSchema, what, why).mend_by(forget));
    };
    match status {
        // There need not be one yet, or any more.
        Status::Provisioning | Status::Purging | Status::Moving => None,
        Status::Deleted => {
            let why = "it cannot come back";
            let purge = format!("tenantry purge {slug} --now --yes");
            let mend = format!("restore the schema from a backup; or forget the tenant: `{purge}`");
            Some(patient.error(Check::MissingSchema, what, why).mend_by(mend))
        }
        Status::Active | Status::Suspended => {
            let why = "every statement of the tenant fails, and so do migrations";
            let begin_anew = examination::begin_anew(slug);
            let of_type = type_name.as_ref().map(|name| format!(" --type {name}")).unwrap_or_default();
            let create = format!("tenantry create {slug}{of_type}{}", database_option(patient));
            let mend = format!(
                "restore the schema from a backup; or begin anew without rows: {begin_anew}; then `{create}`"
            );
            Some(patient.error(Check::MissingSchema, what, why).mend_by(mend))
        }
    }
}

/// Picks the schemas that have noted what they have applied, which a copy does last.
async fn filled(patient: &mut Patient<'_>, schemas: &[&str]) -> Result<Vec<String>, sqlx::Error> {
    let names = list(schemas.iter().copied());
    let query = format!("SELECT schema_name FROM {APPLIED} WHERE schema_name IN ({names})");
    patient.catalog.column(&query).await
}

/// Picks the schemas that are there.
async fn present(patient: &mut Patient<'_>, schemas: &[&str]) -> Result<Vec<String>, sqlx::Error> {
    if schemas.is_empty() {
        return Ok(Vec::new());
    }
    let names = list(schemas.iter().copied());
    let query =
        format!("SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname IN ({names}) ORDER BY 1");
    patient.catalog.column(&query).await
}
