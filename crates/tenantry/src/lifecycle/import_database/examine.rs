//! Looks at a database before anything is made of it.

use std::collections::BTreeSet;

use sqlx::{Connection as _, FromRow, PgConnection};

use super::extensions::{Extensions, installed};
use super::refused::ImportRefusal;
use super::source::{SourceDatabase, enter};
use crate::database::Layout;
use crate::error::Result;
use crate::lifecycle::contents::{leading_out, tables};
use crate::structure::DumpOrigin;
use crate::tenant::SchemaName;

const FACTS: &str = include_str!("facts.sql");
/// The oldest version of a server whose catalogs are read.
const OLDEST: i32 = 14;

/// The findings of a look.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) refused: Vec<ImportRefusal>,
    pub(super) notes: Vec<String>,
    pub(super) tables: usize,
    pub(super) origin: DumpOrigin,
    /// The schemas of extensions there.
    pub(super) extensions: Vec<String>,
    /// Both servers are of one major version.
    pub(super) is_one_version: bool,
}

/// A database of a server.
#[derive(Debug, FromRow)]
struct Server {
    major: i32,
    encoding: String,
    collation: String,
    has_schema: bool,
    bypasses_policies: bool,
}

impl Server {
    async fn of(connection: &mut PgConnection, schema: &SchemaName) -> Result<Self> {
        let server = sqlx::query_as(
            "SELECT pg_catalog.current_setting('server_version_num')::int / 10000 AS major,
                 pg_catalog.pg_encoding_to_char(encoding)::text AS encoding, datcollate::text AS collation,
                 EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1) AS has_schema,
                 (SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = current_user)
                     AS bypasses_policies
             FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()",
        );
        Ok(server.bind(schema.as_str()).persistent(false).fetch_one(connection).await?)
    }

    /// Finds reasons against reading this database into another one.
    fn refused(&self, here: &Self, schema: &SchemaName) -> Vec<ImportRefusal> {
        let mut refused = Vec::new();
        if self.major < OLDEST {
            let what = format!("its server is PostgreSQL {}, older than {OLDEST}", self.major);
            refused.push(
                ImportRefusal::new(what).with_hint("upgrade it, or restore a dump of it on a newer one"),
            );
        }
        if self.major > here.major {
            let (there, here) = (self.major, here.major);
            let what = format!("its server is PostgreSQL {there}, newer than this one, which is {here}");
            refused.push(ImportRefusal::new(what).with_hint("upgrade this one first"));
        }
        if !self.has_schema {
            refused.push(ImportRefusal::new(format!("there is no schema `{schema}` in it")));
        }
        if self.encoding == "SQL_ASCII" {
            let what = "its encoding is SQL_ASCII: nobody knows what its texts mean";
            let hint = "restore a dump of it into a database with the encoding that its programs use";
            refused.push(ImportRefusal::new(what).with_hint(hint));
        }
        refused
    }
}

/// The facts of one kind.
fn of_kind<'a>(facts: &'a [(String, String)], kind: &str) -> Vec<&'a str> {
    facts.iter().filter(|(of, _)| of == kind).map(|(_, what)| what.as_str()).collect()
}

/// Finds what of a database cannot be imported, and what will be left out.
pub(super) async fn examine(
    reader: &mut PgConnection,
    writer: &mut PgConnection,
    layout: &Layout,
    source: &SourceDatabase,
) -> Result<Findings> {
    let schema = source.name();
    let (there, here) = (Server::of(reader, schema).await?, Server::of(writer, schema).await?);
    let mut findings = Findings {
        refused: there.refused(&here, schema),
        is_one_version: there.major == here.major,
        ..Findings::default()
    };
    if !findings.refused.is_empty() {
        return Ok(findings);
    }
    if there.collation != here.collation {
        findings.notes.push(format!(
            "texts are sorted by `{}` there and by `{}` here",
            there.collation, here.collation
        ));
    }
    let mut glance = reader.begin().await?;
    let extensions = Extensions::of(&mut glance, schema).await?;
    findings.extensions = extensions.schemas(schema);
    enter(&mut glance, schema, &findings.extensions).await?;
    let facts: Vec<(String, String)> = sqlx::query_as(FACTS)
        .bind(schema.as_str())
        .bind(source.is_without_large_objects())
        .bind(source.is_without_other_schemas())
        .persistent(false)
        .fetch_all(&mut *glance)
        .await?;
    findings.tables = tables(&mut glance, schema).await?.len();
    let shared: Vec<_> = findings.extensions.iter().map(String::as_str).collect();
    let leading_out = leading_out(&mut glance, &shared, schema).await?;
    glance.rollback().await?;
    findings.notes.extend(of_kind(&facts, "note").into_iter().map(str::to_owned));
    findings.refused.extend(of_kind(&facts, "refusal").into_iter().map(ImportRefusal::new));
    findings.refused.extend(leading_out.into_iter().map(ImportRefusal::new));
    let own: BTreeSet<_> = of_kind(&facts, "object").into_iter().collect();
    let visible: Vec<_> = layout.extension_schemas.iter().map(ToString::to_string).collect();
    let installed = installed(writer).await?;
    let mut members = Vec::new();
    match extensions.moved(schema, &own, &installed, &visible, &mut findings.notes) {
        Ok(moved) => members = moved,
        Err(refused) => findings.refused.extend(refused),
    }
    let roles = compare_names(writer, &facts, &mut findings).await?;
    if !here.bypasses_policies {
        let hidden = |table| {
            let what =
                format!("the owner here may not see the rows of table `{table}` (FORCE ROW LEVEL SECURITY)");
            ImportRefusal::new(what).with_hint("give the owner BYPASSRLS while it is imported")
        };
        findings.refused.extend(of_kind(&facts, "forced").into_iter().map(hidden));
    }
    findings.origin = DumpOrigin::new(members, visible, roles);
    Ok(findings)
}

/// Looks for the roles, collations and foreign servers of there among those of here. Answers with the roles.
async fn compare_names(
    writer: &mut PgConnection,
    facts: &[(String, String)],
    findings: &mut Findings,
) -> Result<Vec<String>> {
    let here = "SELECT 'role', rolname::text FROM pg_catalog.pg_roles
                UNION ALL SELECT 'collation', collname FROM pg_catalog.pg_collation
                UNION ALL SELECT 'server', srvname FROM pg_catalog.pg_foreign_server";
    let here: Vec<(String, String)> = sqlx::query_as(here).persistent(false).fetch_all(writer).await?;
    let here: BTreeSet<_> = here.into_iter().collect();
    let is_here = |kind: &str, name: &str| here.contains(&(kind.to_owned(), name.to_owned()));
    for (kind, says) in
        [("role", "policies name"), ("collation", "columns have"), ("server", "tables are of")]
    {
        for name in of_kind(facts, kind).into_iter().filter(|name| !is_here(kind, name)) {
            let refused = ImportRefusal::new(format!("{says} the {kind} `{name}`, which is not here"));
            let hint = format!("CREATE {} {} …", kind.to_uppercase(), crate::sql::Identifier(name));
            findings.refused.push(refused.with_hint(hint));
        }
    }
    let (present, missing): (Vec<_>, Vec<_>) =
        of_kind(facts, "grantee").into_iter().partition(|name| is_here("role", name));
    let left_out = missing
        .iter()
        .map(|name| format!("privileges of role `{name}` are left out: there is no such role here"));
    findings.notes.extend(left_out);
    let named = of_kind(facts, "role");
    let noted = named.iter().map(|name| format!("policies name role `{name}`, which is another one here"));
    findings.notes.extend(noted);
    Ok(present.into_iter().chain(named).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_server_is_neither_too_old_nor_newer_than_this_one() {
        let server = |major, encoding: &str, has_schema| Server {
            major,
            encoding: encoding.to_owned(),
            collation: "C".to_owned(),
            has_schema,
            bypasses_policies: false,
        };
        let public = SchemaName::parse("public").unwrap();
        let here = server(16, "UTF8", true);
        for (there, says) in [
            (server(16, "LATIN1", true), None),
            (server(14, "UTF8", true), None),
            (server(13, "UTF8", true), Some("older than 14")),
            (server(17, "UTF8", true), Some("newer than this one")),
            (server(16, "SQL_ASCII", true), Some("SQL_ASCII")),
            (server(16, "UTF8", false), Some("no schema `public`")),
        ] {
            let refused = there.refused(&here, &public);
            assert_eq!(refused.len(), usize::from(says.is_some()), "{refused:?}");
            assert!(refused.iter().all(|it| it.what.contains(says.unwrap())), "{refused:?}");
        }
    }
}
