//! Tells whether sessions can be opened as the application does, and where they fall back to when they are reset.

use super::{Check, Finding, Patient};
use crate::database::{Route, Way};
use crate::error::Error;
use crate::pool::{Opener, open_client};
use crate::sql::{Identifier, VOID_SCHEMA};

/// Opens a connection of the application's, in the way its pool does.
pub(super) async fn application(patient: &Patient<'_>) -> Option<Finding> {
    let opener = Opener::of_application(patient.alias, patient.config);
    let finding = look(patient, &opener, patient.config.application(), "url").await;
    if finding.as_ref().is_some_and(|finding| finding.check == Check::Unreachable) {
        return finding;
    }
    // The other driver negotiates by itself, where it is part of the program.
    match open_client(&opener, patient.config).await {
        Ok(()) => finding,
        Err(error) => {
            let refused = refused(patient, "url", &error);
            let what = format!("tokio-postgres cannot go where sqlx can: {}", refused.what);
            Some(Finding { what, ..refused })
        }
    }
}

/// The same for one of the other ways.
pub(super) async fn way(patient: &Patient<'_>, way: Way) -> Option<Finding> {
    let opener = Opener::of_way(patient.alias, patient.config, way)?;
    look(patient, &opener, patient.config.way(way)?, way.key()).await
}

async fn look(patient: &Patient<'_>, opener: &Opener, route: &Route, key: &str) -> Option<Finding> {
    match opener.open().await {
        Err(error) => Some(refused(patient, key, &error)),
        Ok(_) if !opener.defaults().resets_elsewhere() => None,
        Ok(_) => {
            let what =
                format!("`{key}` passes a pooler that does not take the start-up options of a session");
            let why = "a session that is reset would see tables outside of the tenant's schema, so a statement \
                       that does that is refused";
            let finding = patient.warning(Check::StartUp, what, why);
            let (role, database) = (Identifier(route.role()), Identifier(route.database()));
            Some(finding.mend_by(format!(
                "ALTER ROLE {role} IN DATABASE {database} SET search_path TO {VOID_SCHEMA}; \
                 -- then restart the pooler and the application"
            )))
        }
    }
}

fn refused(patient: &Patient<'_>, key: &str, error: &Error) -> Finding {
    let what = format!("`{key}` leads to no session as the application needs it: {error:#}");
    let hint = error.hint().unwrap_or("check what stands between this program and the server");
    patient.error(Check::Unreachable, what, "what goes that way does not work").mend_by(hint)
}
