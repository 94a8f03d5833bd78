//! Actions on tenants that were begun and have not ended, by the audit.

use sqlx::Row as _;

use super::finding::Told;
use super::roster::Roster;
use super::{Check, Finding, Patient};
use crate::registry::examination;
use crate::tenant::{Alias, Status, Verb};

/// An action that was begun a while ago.
struct Begun {
    id: i64,
    slug: String,
    verb: String,
    operator: String,
    at: String,
    /// `None` if the tenant is gone.
    schema: Option<String>,
    status: Option<Status>,
}

pub(super) async fn unfinished(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut told = Told::default();
    if *patient.alias != Alias::default() {
        return Ok(told.finish());
    }
    for begun in roster.begun(&examination::begun(None)).await?.iter().map(read) {
        let begun = begun?;
        // Told as half-made, with its reason.
        let is_told = begun.verb == Verb::SetType.as_str() && begun.schema.is_some();
        if is_told || matches!(begun.status, Some(Status::Provisioning | Status::Purging | Status::Moving)) {
            continue;
        }
        if let Some(schema) = &begun.schema
            && patient.idle(&[schema]).await?.is_empty()
        {
            continue;
        }
        // One that ended just now is not told of.
        if !roster.begun(&examination::begun(Some(begun.id))).await?.is_empty() {
            told.push(tell(patient, &begun));
        }
    }
    Ok(told.finish())
}

fn read(row: &sqlx::postgres::PgRow) -> Result<Begun, sqlx::Error> {
    Ok(Begun {
        id: row.try_get("id")?,
        slug: row.try_get("slug")?,
        verb: row.try_get("verb")?,
        operator: row.try_get("operator")?,
        at: row.try_get("begun_at")?,
        schema: row.try_get("schema_name")?,
        status: row.try_get::<Option<&str>, _>("status")?.and_then(|status| Status::parse(status).ok()),
    })
}

fn tell(patient: &Patient<'_>, begun: &Begun) -> Finding {
    let Begun { id, slug, verb, operator, at, .. } = begun;
    let what = format!("`{verb}` of tenant `{slug}` was begun by {operator} at {at}, and has not ended");
    let why = "unless it is still at work, what it was to do may be done by half";
    let forget = examination::forget_begun(*id);
    let mend = match begun.schema.as_ref().and_then(|_| again(verb, slug)) {
        // Its replication slot keeps the log of the server.
        _ if verb == Verb::Move.as_str() && begun.schema.is_some() => {
            format!("tenantry move {slug}   # or, to have it where it was: tenantry move {slug} --abort")
        }
        Some(again) => format!("{again}   # or, if it is not wanted any more: {forget}"),
        None => forget,
    };
    patient.warning(Check::Unfinished, what, why).mend_by(mend)
}

/// The command that goes on with what a tenant is missing. None does that with an entry of something that is made in
/// one piece, or of a verb that a newer program knows.
fn again(verb: &str, slug: &str) -> Option<String> {
    match Verb::parse(verb) {
        Ok(Verb::Purge | Verb::Release | Verb::Delete) => Some(format!("tenantry {verb} {slug} --yes")),
        Ok(Verb::Suspend | Verb::Resume | Verb::Undelete) => Some(format!("tenantry {verb} {slug}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::again;
    use crate::tenant::Verb;

    #[test]
    fn a_command_is_one_that_takes_nothing_but_the_slug() {
        let proposed = Verb::ALL.map(|verb| again(verb.as_str(), "acme").unwrap_or_default());
        let proposed: Vec<_> = proposed.iter().filter(|command| !command.is_empty()).collect();
        let expect = [
            "tenantry suspend acme",
            "tenantry resume acme",
            "tenantry release acme --yes",
            "tenantry delete acme --yes",
            "tenantry undelete acme",
            "tenantry purge acme --yes",
        ];
        assert_eq!(proposed, expect);
        assert_eq!(again("teleport", "acme"), None);
    }
}
