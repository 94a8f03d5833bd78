//! Finds tenants whose type is half changed.

use super::finding::Told;
use super::roster::Roster;
use super::{Check, Finding, Patient};

/// Changes of type that were begun, and that nobody is working on.
pub(super) async fn half_changed(
    patient: &mut Patient<'_>,
    roster: &mut Roster,
) -> Result<Vec<Finding>, sqlx::Error> {
    let begun = roster.begun_type_changes(patient.alias).await?;
    let schemas: Vec<_> = begun.iter().map(|change| change.schema.as_str()).collect();
    let idle = patient.idle(&schemas).await?;
    // One that ended just now had no lock any more.
    let still = roster.begun_type_changes(patient.alias).await?;
    let mut told = Told::default();
    for change in begun.iter().filter(|change| idle.contains(&change.schema) && still.contains(change)) {
        let reason = change.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let what = format!(
            "the change of tenant `{}` to type `{}` was begun, and nobody is working on it{reason}",
            change.slug, change.new
        );
        let why = "its schema may have some of the files of both types, and runs may leave it alone";
        let undo = if change.undoes { " --undo --yes" } else { "" };
        let mend = format!("tenantry set {} --type {}{undo}", change.slug, change.new);
        told.push(patient.warning(Check::HalfMade, what, why).mend_by(mend));
    }
    Ok(told.finish())
}
