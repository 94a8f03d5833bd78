//! Extensions of one database, and where they are in another.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::refused::ImportRefusal;
use crate::error::Result;
use crate::lifecycle::contents::reasons;
use crate::sql::Identifier;
use crate::structure::ExtensionMember;
use crate::tenant::SchemaName;

const MEMBERS: &str = include_str!("members.sql");

/// The extensions on whose objects something of the schema depends, if only by an array of them.
const USED: &str = "
    SELECT extname::text FROM edge JOIN pg_depend AS e ON e.classid = edge.refclassid AND e.objid = edge.refobjid
    JOIN pg_extension AS x ON x.oid = e.refobjid WHERE e.deptype = 'e'
    UNION
    SELECT extname FROM edge JOIN pg_type AS t ON edge.refclassid = 'pg_type'::regclass AND t.oid = edge.refobjid
    JOIN pg_depend AS e ON e.classid = 'pg_type'::regclass AND e.objid = t.typelem
    JOIN pg_extension AS x ON x.oid = e.refobjid WHERE e.deptype = 'e' AND t.typelem <> 0";

/// An object of an extension by its name in a schema.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Named {
    extension: String,
    schema: String,
    name: String,
}

/// The extensions of the database that is imported.
#[derive(Debug)]
pub(super) struct Extensions {
    /// By name, with the schema.
    pub(super) there: BTreeMap<String, String>,
    used: BTreeSet<String>,
    members: Vec<Named>,
}

/// The schema of each extension of a database.
pub(super) async fn installed(connection: &mut PgConnection) -> Result<BTreeMap<String, String>> {
    let installed = sqlx::query_as::<_, (String, String)>(
        "SELECT extname::text, nspname::text FROM pg_catalog.pg_extension
         JOIN pg_catalog.pg_namespace AS n ON n.oid = extnamespace",
    );
    Ok(installed.fetch_all(connection).await?.into_iter().collect())
}

impl Extensions {
    /// Reads them, in a transaction.
    pub(super) async fn of(connection: &mut PgConnection, schema: &SchemaName) -> Result<Self> {
        let there = installed(connection).await?;
        let used = reasons(connection, &[], schema, USED).await?.into_iter().collect();
        let members = sqlx::query_as(MEMBERS).persistent(false).fetch_all(connection).await?;
        Ok(Self { there, used, members })
    }

    /// The schemas they are in, but for this one and the server's.
    pub(super) fn schemas(&self, own: &SchemaName) -> Vec<String> {
        let schemas: BTreeSet<_> = self.there.values().collect();
        let is_other = |schema: &&String| **schema != own.as_str() && **schema != "pg_catalog";
        schemas.into_iter().filter(is_other).cloned().collect()
    }

    /// Finds each object's schema here. What cannot be is refused, what may matter noted.
    pub(super) fn moved(
        &self,
        own: &SchemaName,
        own_objects: &BTreeSet<&str>,
        here: &BTreeMap<String, String>,
        visible: &[String],
        notes: &mut Vec<String>,
    ) -> Result<Vec<ExtensionMember>, Vec<ImportRefusal>> {
        let mut refused = Vec::new();
        let target = visible.first().map_or("extensions", String::as_str);
        let is_visible = |home: &String| home == "pg_catalog" || visible.contains(home);
        for extension in self.there.keys() {
            let name = Identifier(extension);
            match (here.get(extension), self.used.contains(extension)) {
                (Some(home), _) if is_visible(home) => {}
                (None, true) => refused.push(
                    ImportRefusal::new(format!("extension `{extension}` is not installed here"))
                        .with_hint(format!("CREATE EXTENSION {name} SCHEMA {}", Identifier(target))),
                ),
                (Some(home), true) => refused.push(
                    ImportRefusal::new(format!(
                        "extension `{extension}` is in schema `{home}` here, which tenants do not see"
                    ))
                    .with_hint(format!("ALTER EXTENSION {name} SET SCHEMA {}", Identifier(target))),
                ),
                (_, false) => notes.push(format!(
                    "extension `{extension}` is not where tenants see it: the bodies of functions may need it"
                )),
            }
        }
        let mut members = Vec::new();
        for Named { extension, schema, name } in &self.members {
            let Some(home) = here.get(extension).filter(|home| is_visible(home)) else { continue };
            if schema == own.as_str() && own_objects.contains(name.as_str()) {
                let what = format!("`{name}` is its own and one of extension `{extension}` in one schema");
                refused.push(
                    ImportRefusal::new(what).with_hint("rename its own, or move the extension to a schema"),
                );
            }
            members.push(ExtensionMember { schema: schema.clone(), name: name.clone(), home: home.clone() });
        }
        if refused.is_empty() { Ok(members) } else { Err(refused) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, schema)| ((*name).to_owned(), (*schema).to_owned())).collect()
    }

    fn moved(
        used: &[&str],
        own: &[&str],
        here: &[(&str, &str)],
    ) -> (Result<usize, Vec<ImportRefusal>>, Vec<String>) {
        let extensions = Extensions {
            there: map(&[("citext", "public"), ("plpgsql", "pg_catalog")]),
            used: used.iter().map(|name| (*name).to_owned()).collect(),
            members: vec![Named {
                extension: "citext".to_owned(),
                schema: "public".to_owned(),
                name: "citext".to_owned(),
            }],
        };
        let mut notes = Vec::new();
        let mut here = map(here);
        here.insert("plpgsql".to_owned(), "pg_catalog".to_owned());
        let public = SchemaName::parse("public").unwrap();
        let own = own.iter().copied().collect();
        let moved = extensions.moved(&public, &own, &here, &["extensions".to_owned()], &mut notes);
        (moved.map(|members| members.len()), notes)
    }

    #[test]
    fn an_extension_has_to_be_where_tenants_see_it() {
        assert_eq!(moved(&["citext"], &[], &[("citext", "extensions")]), (Ok(1), Vec::new()));
        for (used, own, here, says, hint) in [
            (&["citext"][..], &[][..], &[][..], "not installed here", "CREATE EXTENSION \"citext\""),
            (&["citext"], &[], &[("citext", "public")], "in schema `public` here", "ALTER EXTENSION"),
            (&[], &["citext"], &[("citext", "extensions")], "`citext` is its own and one of", "rename"),
        ] {
            let refused = moved(used, own, here).0.unwrap_err();
            assert!(refused[0].what.contains(says), "{refused:?}");
            assert!(refused[0].hint.as_deref().is_some_and(|it| it.contains(hint)), "{refused:?}");
        }
        let (moved, notes) = moved(&[], &[], &[]);
        assert_eq!((moved, notes.len()), (Ok(0), 1));
    }
}
