//! The statements that say who may work with the tables of a tenant.
//!
//! Each takes its names as they are to stand in the text: as an [`Identifier`](super::Identifier), or as `%I` for
//! the server's `format()`, where doctor does not know them.

use std::fmt::Display;

/// From this version on, a membership can be for `SET ROLE` alone.
pub(crate) const SET_ONLY_SINCE: i32 = 160_000;
pub(crate) const SET_ONLY: &str = " WITH SET TRUE, INHERIT FALSE";

/// Lets a role work with the tables of a schema, those there and those to come.
///
/// Default privileges belong to who creates the objects, so the migrating role must send them.
pub(crate) fn privileges(schema: impl Display, role: impl Display) -> Vec<String> {
    let usage = format!("GRANT USAGE ON SCHEMA {schema} TO {role}");
    let present = RIGHTS
        .map(|(rights, objects)| format!("GRANT {rights} ON ALL {objects} IN SCHEMA {schema} TO {role}"));
    std::iter::once(usage).chain(present).chain(default_privileges(&schema, &role)).collect()
}

/// Lets a role work with what the migrating role will make in a schema, which may belong to somebody else.
pub(crate) fn default_privileges(schema: impl Display, role: impl Display) -> [String; 3] {
    RIGHTS.map(|(rights, objects)| {
        format!("ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT {rights} ON {objects} TO {role}")
    })
}

const RIGHTS: [(&str, &str); 3] =
    [(TABLE_RIGHTS, "TABLES"), (SEQUENCE_RIGHTS, "SEQUENCES"), (FUNCTION_RIGHTS, "FUNCTIONS")];

/// The rights that the application has on an object: its kinds, and what stands in a `GRANT`.
pub(crate) const OBJECT_PRIVILEGES: [(&[&str], &str, &str); 3] = [
    (&["TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"], TABLE_RIGHTS, "TABLE"),
    (&["SEQUENCE"], SEQUENCE_RIGHTS, "SEQUENCE"),
    (&["ROUTINE"], FUNCTION_RIGHTS, "ROUTINE"),
];

const TABLE_RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE";
const SEQUENCE_RIGHTS: &str = "USAGE, SELECT, UPDATE";
const FUNCTION_RIGHTS: &str = "EXECUTE";

/// Takes a table away from a role that default privileges gave it to.
pub(crate) fn revocation(table: impl Display, role: impl Display) -> String {
    format!("REVOKE ALL ON {table} FROM {role}")
}

/// Makes a tenant's own role, which is no login unless the server itself logs in with it elsewhere.
pub(crate) fn role(role: impl Display, logs_in: bool) -> String {
    format!("CREATE ROLE {role} {}", if logs_in { "LOGIN" } else { "NOLOGIN" })
}

/// Lets the application become a tenant's role. From [`SET_ONLY_SINCE`] on, [`SET_ONLY`] goes behind it.
pub(crate) fn membership(role: impl Display, application: impl Display) -> String {
    format!("GRANT {role} TO {application}")
}
