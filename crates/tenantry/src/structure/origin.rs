//! The database that a dump comes from, where that is another one than this.

use std::collections::{BTreeSet, HashMap};

use crate::sql::lexer::{Token, begins_with};

/// The places that objects of extensions have here, and the roles that are here.
#[derive(Clone, Debug, Default)]
pub(crate) struct DumpOrigin {
    /// The schema of each here, by its schema and name there.
    homes: HashMap<(String, String), String>,
    /// The schemas there whose extensions are in other schemas here.
    moved: BTreeSet<String>,
    /// The schemas that stand behind the tenant's own in a path.
    path: Vec<String>,
    roles: BTreeSet<String>,
}

/// An object of an extension, and the schema in which that extension is here.
#[derive(Clone, Debug)]
pub(crate) struct ExtensionMember {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) home: String,
}

impl DumpOrigin {
    /// Takes the extensions' objects, the schemas of extensions here, and the roles here that the dump may name.
    pub(crate) fn new(
        members: impl IntoIterator<Item = ExtensionMember>,
        path: Vec<String>,
        roles: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut origin = Self { path, roles: roles.into_iter().collect(), ..Self::default() };
        for ExtensionMember { schema, name, home } in members {
            if schema != home {
                origin.moved.insert(schema.clone());
            }
            origin.homes.insert((schema, name), home);
        }
        origin
    }

    /// The schema here of what goes by this name there, if it is an extension's.
    pub(super) fn home(&self, schema: &str, name: &str) -> Option<&str> {
        // A key of two borrowed parts is none that the map takes.
        self.homes.get(&(schema.to_owned(), name.to_owned())).map(String::as_str)
    }

    pub(super) fn moved(&self) -> impl Iterator<Item = &str> {
        self.moved.iter().map(String::as_str)
    }

    pub(super) fn path(&self) -> &[String] {
        &self.path
    }

    /// Returns false for a privilege of a role that is not here, and for one of everybody on the schema itself.
    pub(super) fn keeps(&self, tokens: &[Token<'_>]) -> bool {
        let Some(first) = tokens.first() else { return false };
        if first.is_keyword("alter") && tokens.get(1).is_some_and(|token| token.is_keyword("default")) {
            return false;
        }
        // Every schema `public` has this one.
        let is_standard_comment = begins_with(tokens, "comment on schema")
            && tokens.last().is_some_and(|token| token.text == "'standard public schema'");
        if first.is_keyword("reset") || is_standard_comment {
            return false;
        }
        if !first.is_one_of("grant revoke") {
            return true;
        }
        let grantee = tokens.iter().rposition(|token| token.is_one_of("to from"));
        let Some(grantee) = grantee.and_then(|place| tokens.get(place + 1)) else { return false };
        let is_on_schema =
            tokens.windows(2).any(|pair| pair[0].is_keyword("on") && pair[1].is_keyword("schema"));
        if grantee.is_keyword("public") {
            return !is_on_schema;
        }
        grantee.name().is_some_and(|name| self.roles.contains(&name.replace("\"\"", "\"")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::sql::lexer::Lexer;

    #[test]
    fn privileges_of_roles_that_are_here_are_kept() {
        let origin = DumpOrigin::new([], Vec::new(), ["app".to_owned(), "Odd \"one".to_owned()]);
        for (sql, is_kept) in [
            ("GRANT SELECT ON TABLE public.t TO app", true),
            ("GRANT SELECT(id),UPDATE(\"to\") ON TABLE public.t TO \"Odd \"\"one\" WITH GRANT OPTION", true),
            ("GRANT SELECT ON TABLE public.t TO other", false),
            ("GRANT USAGE ON SCHEMA public TO app", true),
            ("GRANT ALL ON SCHEMA public TO PUBLIC", false),
            ("REVOKE ALL ON FUNCTION public.f() FROM PUBLIC", true),
            ("REVOKE ALL ON TABLE public.t FROM postgres", false),
            ("ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA public GRANT SELECT ON TABLES TO app", false),
            ("RESET SESSION AUTHORIZATION", false),
            ("COMMENT ON SCHEMA public IS 'standard public schema'", false),
            ("COMMENT ON SCHEMA public IS 'ours'", true),
            ("CREATE TABLE public.t ()", true),
        ] {
            let tokens: Vec<_> = Lexer::new(sql).map(Result::unwrap).collect();
            assert_eq!(origin.keeps(&tokens), is_kept, "{sql}");
        }
    }
}
