//! The texts of questions about what is in schemas, and how many schemas one is about.

use sqlx::Row as _;

use crate::doctor::{Session, list};
use crate::pool::Role;
use crate::sql::{Identifier, Literal};

/// Opens a query about what is in the schemas that are put into it.
const MEMBERS: &str = include_str!("members.sql");

/// Goes on with `object`s.
const OBJECTS: &str = include_str!("objects.sql");

/// Goes on with a `row` for each row of a catalog.
const ROWS: &str = include_str!("rows.sql");

/// Tables, views, functions and types that one question is about which may lock them: a view keeps a lock on what it
/// reads until the question ends. Their indexes and columns come with them.
const MOST_MEMBERS: i64 = 2_000;

/// Stands for the schema's own name where it is not in front of another name.
pub(super) const OWN_NAME: &str = "__own_schema__";

/// The names that a question depends on, beside those of schemas.
#[derive(Clone, Copy)]
pub(super) struct Roles<'a> {
    pub(super) application: &'a str,
    /// Set where every tenant has a role of its own.
    pub(super) of_tenants: Option<&'a Role>,
}

/// A schema and how much there is in it.
pub(super) struct Size {
    schema: String,
    /// Tables, views, functions and types.
    members: i64,
    /// True if something in it goes by the same name. Then `note.title` may be a column as well as a table, and
    /// only a `search_path` with the schema in it tells which.
    is_ambiguous: bool,
}

pub(super) async fn sizes<'a>(
    session: &mut Session,
    schemas: impl Iterator<Item = &'a str>,
) -> Result<Vec<Size>, sqlx::Error> {
    let query = format!(
        "SELECT nspname::text AS schema, count(objid) AS members, EXISTS (SELECT FROM pg_catalog.pg_class \
             WHERE relname = nspname AND relnamespace = pg_namespace.oid) AS is_ambiguous \
         FROM pg_catalog.pg_namespace LEFT JOIN pg_catalog.pg_depend ON refobjid = pg_namespace.oid \
             AND refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass \
         WHERE nspname IN ({}) GROUP BY pg_namespace.oid, nspname ORDER BY 1",
        list(schemas),
    );
    let size = |row: &sqlx::postgres::PgRow| {
        Ok(Size {
            schema: row.try_get("schema")?,
            members: row.try_get("members")?,
            is_ambiguous: row.try_get("is_ambiguous")?,
        })
    };
    session.rows_by_index(&query).await?.iter().map(size).collect()
}

/// The schemas that one question is about.
pub(super) struct Chunk {
    schemas: Vec<String>,
    members: i64,
    is_ambiguous: bool,
}

/// Chunks for questions that lock nothing, however much is in the schemas.
pub(super) fn without_locks(sizes: Vec<Size>) -> Vec<Chunk> {
    chunks(sizes.into_iter().map(|size| Size { members: 0, ..size }).collect())
}

pub(super) fn chunks(sizes: Vec<Size>) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for Size { schema, members, is_ambiguous } in sizes {
        match chunks.last_mut() {
            Some(chunk)
                if chunk.members + members <= MOST_MEMBERS && !chunk.is_ambiguous && !is_ambiguous =>
            {
                chunk.schemas.push(schema);
                chunk.members += members;
            }
            _ => chunks.push(Chunk { schemas: vec![schema], members, is_ambiguous }),
        }
    }
    chunks
}

/// A query about the objects of some schemas.
pub(super) fn about_objects(chunk: &Chunk, roles: Roles<'_>, rest: &str) -> String {
    about(chunk, roles, OBJECTS, rest)
}

/// A query about the rows of catalogs.
pub(super) fn about_rows(chunk: &Chunk, roles: Roles<'_>, rest: &str) -> String {
    about(chunk, roles, ROWS, rest)
}

/// A query about views only, since those lock what they read.
pub(super) fn about_views(chunk: &Chunk, roles: Roles<'_>, rest: &str) -> String {
    about(chunk, roles, VIEWS, rest)
}

const VIEWS: &str = "row AS (SELECT schema, prefix, pattern, schema_name, is_unique, \
    pg_catalog.hash_record_extended(ROW(0, relname, relkind), 0) AS hash, pg_catalog.pg_get_viewdef(oid) AS text \
    FROM relation WHERE relkind IN ('v', 'm'))";

fn about(chunk: &Chunk, roles: Roles<'_>, what: &str, rest: &str) -> String {
    let prefix = roles.of_tenants.map(|role| Literal(&role.prefix()).to_string());
    let text = format!("{MEMBERS} {what} {rest}")
        .replace("/* schemas */", &list(chunk.schemas.iter().map(String::as_str)))
        .replace("/* application */", &Literal(roles.application).to_string())
        .replace("/* role prefix */", prefix.as_deref().unwrap_or("NULL::text"));
    let Some(schema) = chunk.schemas.first().filter(|_| chunk.is_ambiguous) else { return text };
    // Where the path shows the schema, nothing has its name in front, so there is nothing to take away.
    let text = text.replace("/* pattern */", "'(?!)' ||");
    format!("SET LOCAL search_path TO {}, \"$user\", public; {text}", Identifier(schema))
}

/// The column without the schema's own name: in front of other names, and where it is one that nobody else
/// has, anywhere.
pub(super) fn without_schema(column: &str) -> String {
    format!(
        "CASE WHEN is_unique AND pg_catalog.strpos({column}, schema_name) > 0 THEN pg_catalog.replace( \
             pg_catalog.regexp_replace({column}, pattern, '', 'g'), schema_name, '{OWN_NAME}') \
         WHEN pg_catalog.strpos({column}, prefix) > 0 THEN pg_catalog.regexp_replace({column}, pattern, '', 'g') \
         ELSE {column} END"
    )
}

/// Says the same of two columns for which [`without_schema`] says the same, and takes less time for it.
pub(super) fn with_own_name(column: &str) -> String {
    format!(
        "CASE WHEN is_unique THEN pg_catalog.replace({column}, schema_name, '{OWN_NAME}') \
         WHEN pg_catalog.strpos({column}, prefix) > 0 THEN pg_catalog.regexp_replace({column}, pattern, '', 'g') \
         ELSE {column} END"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(members: i64) -> Size {
        Size { schema: "schema".to_owned(), members, is_ambiguous: false }
    }

    #[track_caller]
    fn check_chunks(sizes: impl IntoIterator<Item = Size>, expect: &[usize]) {
        let chunks: Vec<_> =
            chunks(sizes.into_iter().collect()).iter().map(|chunk| chunk.schemas.len()).collect();
        assert_eq!(chunks, expect);
    }

    #[test]
    fn a_question_is_about_few_large_schemas_or_many_small_ones() {
        check_chunks([], &[]);
        check_chunks([4; 250].map(size), &[250]);
        check_chunks([900; 5].map(size), &[2, 2, 1]);
        check_chunks([9_000, 1, 9_000].map(size), &[1, 1, 1]);
        check_chunks([0, 2_000, 0, 1].map(size), &[3, 1]);
    }

    #[test]
    fn an_ambiguous_schema_is_asked_about_alone() {
        let ambiguous = || Size { is_ambiguous: true, ..size(1) };
        check_chunks([size(1), size(1), ambiguous(), ambiguous(), size(1), size(1)], &[2, 1, 1, 2]);
    }
}
