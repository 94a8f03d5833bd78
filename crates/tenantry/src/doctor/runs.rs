//! Tells whether the last run over the fleet came to its end.

use sqlx::Row as _;

use super::{Check, Finding, Patient};
use crate::registry::examination;
use crate::tenant::Alias;

pub(super) async fn interrupted(patient: &mut Patient<'_>) -> Result<Option<Finding>, sqlx::Error> {
    if *patient.alias != Alias::default() {
        return Ok(None);
    }
    let Some((id, _)) = abandoned(patient).await? else { return Ok(None) };
    // One that ended just now was still running, and had no lock any more.
    let again = abandoned(patient).await?.filter(|(now, _)| *now == id);
    Ok(again.map(|(id, operator)| {
        let what = format!("run {id}, begun by {operator}, was interrupted");
        let why = "some of its tenants are migrated, and the others are not";
        patient.warning(Check::InterruptedRun, what, why).mend_by("tenantry migrate --resume")
    }))
}

/// The newest run, if it has not ended and nobody is at it.
async fn abandoned(patient: &mut Patient<'_>) -> Result<Option<(i64, String)>, sqlx::Error> {
    let rows = patient.catalog.rows(&examination::abandoned_run()).await?;
    rows.first().map(|row| Ok((row.try_get("id")?, row.try_get("operator")?))).transpose()
}
