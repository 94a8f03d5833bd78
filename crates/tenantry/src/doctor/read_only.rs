//! Tells whether a way leads to a server that takes no writes.

use sqlx::Row as _;

use super::{Check, Finding, Patient, Session};
use crate::database::Route;

/// Asks the server at the end of a way. One that does not answer is somebody else's finding.
pub(super) async fn server(patient: &Patient<'_>, route: &Route, key: &str) -> Option<Finding> {
    let mut session = Session::new(route);
    let rows = session.rows(QUESTION).await;
    session.close().await;
    let row = rows.ok()?.pop()?;
    let why = "no tenant can be made, changed or migrated there, and no request can write";
    if row.try_get("is_standby").unwrap_or_default() {
        let what = format!("`{key}` leads to a standby, which takes no writes");
        let mend = format!(
            "let `{key}` lead to the primary; it may name several hosts, with `target_session_attrs=read-write`"
        );
        return Some(patient.error(Check::ReadOnly, what, why).mend_by(mend));
    }
    if row.try_get("is_read_only").unwrap_or_default() {
        let what = format!("sessions that `{key}` leads to are read-only (`default_transaction_read_only`)");
        let mend = "turn it off for the server, the database or the role: ALTER … RESET default_transaction_read_only";
        return Some(patient.error(Check::ReadOnly, what, why).mend_by(mend));
    }
    None
}

const QUESTION: &str = "SELECT pg_catalog.pg_is_in_recovery() AS is_standby, \
    pg_catalog.current_setting('default_transaction_read_only')::bool AS is_read_only";
