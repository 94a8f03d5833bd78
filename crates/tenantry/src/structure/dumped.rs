//! From the text of a dump to the two texts of a structure.

use std::iter;

use super::casts::Cast;
use super::origin::DumpOrigin;
use super::placeholder::{MARK, SCHEMA};
use super::rename::OwnNames;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::{is_complete, without_meta_commands};
use crate::registry::structures::KeptStructure;
use crate::sql::lexer::{Statements, Token, TokenKind, begins_with};

/// The objects behind the rows in a dump, as its comments call them. All before the first of them comes before the
/// rows.
const BEHIND_ROWS: [&str; 15] = [
    "ACL",
    "CHECK CONSTRAINT",
    "CONSTRAINT",
    "DEFAULT ACL",
    "EVENT TRIGGER",
    "FK CONSTRAINT",
    "INDEX",
    "INDEX ATTACH",
    "MATERIALIZED VIEW DATA",
    "POLICY",
    "ROW SECURITY",
    "RULE",
    "STATISTICS",
    "STATISTICS DATA",
    "TRIGGER",
];

/// Statements that an error tells of.
const TOLD: usize = 3;

/// Divides a dump of one schema, and puts placeholders in the place of its names. The schema itself, settings of the
/// session and psql's commands are left out. What points outside of the schema comes last, for it locks what it points
/// to.
pub(super) fn divided(dump: &str, names: OwnNames<'_>, casts: Vec<Cast>) -> Result<KeptStructure> {
    if !is_complete(dump) {
        let hint = "check which program runs as `pg_dump`";
        return Err(refused("the dump of its structure was cut off before its end").with_hint(hint));
    }
    let sql = without_meta_commands(dump);
    if sql.contains(MARK) {
        return Err(refused(format!("a name or a text in it contains `{MARK}`")));
    }
    let (mut pre_data, mut post_data, mut pointing_out) = (Vec::new(), Vec::new(), Vec::new());
    let mut statements = Statements::of(&sql);
    let (mut comments, mut is_behind) = (0, false);
    let mut naming_itself = Vec::new();
    while let Some(statement) = statements.next() {
        let statement =
            statement.map_err(|error| refused("its dump is not complete SQL").with_source(error))?;
        is_behind |= statements.comments()[comments..].iter().any(is_head_behind_rows);
        comments = statements.comments().len();
        let is_of_here = names.origin.is_none_or(|origin| origin.keeps(&statement.tokens));
        if !is_kept(&statement.tokens) || !is_of_here {
            continue;
        }
        let Some(text) = names.replaced(&sql, &statement.tokens) else {
            naming_itself.push(first_line(&sql, &statement.tokens));
            continue;
        };
        match (is_behind, points_out(&statement.tokens, names)) {
            (false, _) => pre_data.push(text),
            (true, false) => post_data.push(text),
            (true, true) => pointing_out.push(text),
        }
    }
    if !naming_itself.is_empty() {
        return Err(names_itself(&naming_itself));
    }
    insert_casts(&mut pre_data, casts, names.origin.map(DumpOrigin::path).unwrap_or_default());
    post_data.extend(pointing_out);
    Ok(KeptStructure { pre_data: joined(&pre_data), post_data: joined(&post_data) })
}

fn joined(statements: &[String]) -> String {
    statements.iter().flat_map(|statement| [statement.as_str(), ";\n"]).collect()
}

/// From `-- Name: note_pkey; Type: CONSTRAINT; Schema: acme; Owner: -`.
fn is_head_behind_rows(comment: &Token<'_>) -> bool {
    let kind = || {
        let (_, rest) = comment.text.strip_prefix("-- Name: ")?.rsplit_once("; Type: ")?;
        rest.split_once("; Schema: ").map(|(kind, _)| kind)
    };
    comment.kind == TokenKind::LineComment && kind().is_some_and(|kind| BEHIND_ROWS.contains(&kind))
}

/// Leaves out what the session is told, but for where tables are to be stored. `pg_attver` is an option that one
/// version of the server gives to every column, and that another refuses.
fn is_kept(tokens: &[Token<'_>]) -> bool {
    match tokens {
        [set, setting, ..] if set.is_keyword("set") => {
            setting.is_one_of("default_tablespace default_table_access_method")
        }
        [select, _, _, function, ..] if select.is_keyword("select") && function.is_keyword("set_config") => {
            false
        }
        [create, schema, ..] if create.is_keyword("create") && schema.is_keyword("schema") => false,
        _ => {
            !(begins_with(tokens, "alter table")
                && tokens
                    .windows(2)
                    .any(|pair| pair[0].is_punctuation("(") && pair[1].is_keyword("pg_attver")))
        }
    }
}

/// Returns true for a foreign key to a table of another schema.
fn points_out(tokens: &[Token<'_>], names: OwnNames<'_>) -> bool {
    let own = |token: &Token<'_>| {
        token.name().map(|name| name.replace("\"\"", "\"")) == Some(names.schema.to_string())
    };
    begins_with(tokens, "alter table")
        && tokens
            .windows(3)
            .any(|part| part[0].is_keyword("references") && part[2].is_punctuation(".") && !own(&part[1]))
}

/// Puts each cast behind the last of its own types and functions: a view or a default that uses it comes later.
fn insert_casts(statements: &mut Vec<String>, casts: Vec<Cast>, extensions: &[String]) {
    if casts.is_empty() {
        return;
    }
    let makes = |statement: &String, name: &String| {
        let begins = ["CREATE FUNCTION ", "CREATE TYPE ", "CREATE DOMAIN "];
        begins.iter().any(|begin| {
            let rest =
                statement.strip_prefix(begin).and_then(|rest| rest.strip_prefix(SCHEMA)?.strip_prefix('.'));
            let quoted = crate::sql::Identifier(name).to_string();
            let is_end = |rest: &str| rest.starts_with(['(', ' ', ';']);
            rest.is_some_and(|rest| {
                [name, &quoted].into_iter().any(|form| rest.strip_prefix(form.as_str()).is_some_and(is_end))
            })
        })
    };
    let is_needed =
        |statement: &String| casts.iter().flat_map(|cast| &cast.needs).any(|name| makes(statement, name));
    let place = statements.iter().rposition(is_needed).map_or(0, |last| last + 1);
    let extensions = extensions.iter().map(|schema| crate::sql::Identifier(schema).to_string());
    let path: Vec<_> =
        iter::once(SCHEMA.to_owned()).chain(extensions).chain(iter::once("pg_catalog".to_owned())).collect();
    let mut made = vec![format!("SET LOCAL search_path TO {}", path.join(", "))];
    made.extend(casts.into_iter().flat_map(|cast| iter::once(cast.statement).chain(cast.comment)));
    made.push("SET LOCAL search_path TO pg_catalog".to_owned());
    statements.splice(place..place, made);
}

fn first_line(sql: &str, tokens: &[Token<'_>]) -> String {
    let range = tokens.first().map_or(0, |token| token.start)..tokens.last().map_or(0, Token::end);
    sql[range].lines().next().unwrap_or_default().to_owned()
}

fn names_itself(statements: &[String]) -> Error {
    let told: Vec<_> = statements.iter().take(TOLD).map(|line| format!("`{line} …`")).collect();
    let verb = if told.len() == 1 { "has" } else { "have" };
    let more = match statements.len() - told.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let told = told.join(", ");
    refused(format!("{told}{more} {verb} the name of its own schema in a body, a string or an alias"))
        .with_hint("let it use unqualified names; `search_path` leads to the tenant's schema")
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the schema cannot be copied: {}", message.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::tenant::SchemaName;

    fn divide(sql: &str, casts: Vec<Cast>) -> Result<KeptStructure> {
        let schema = SchemaName::parse("acme").unwrap();
        let dump = format!("{sql}\n-- PostgreSQL database dump complete\n");
        divided(&dump, OwnNames { schema: &schema, own_role: None, origin: None }, casts)
    }

    #[test]
    fn a_dump_is_divided_where_the_first_object_behind_the_rows_begins() {
        let structure = divide(
            "\\restrict a1\nSET statement_timeout = 0;\nSELECT pg_catalog.set_config('search_path', '', false);\n\
             -- Name: acme; Type: SCHEMA; Schema: -; Owner: -\nCREATE SCHEMA acme;\n\
             -- Name: note; Type: TABLE; Schema: acme; Owner: -\nCREATE TABLE acme.note (id integer);\n\
             ALTER TABLE ONLY acme.note ALTER COLUMN id SET (pg_attver=2);\n\
             -- Name: f(); Type: FUNCTION; Schema: acme; Owner: -\n\
             CREATE FUNCTION acme.f() AS $$\n-- Name: x; Type: INDEX; Schema: acme; Owner: -\n$$;\n\
             -- Name: note plan_fk; Type: FK CONSTRAINT; Schema: acme; Owner: -\n\
             ALTER TABLE ONLY acme.note ADD FOREIGN KEY (id) REFERENCES public.plan(id);\n\
             -- Name: SCHEMA acme; Type: ACL; Schema: -; Owner: -\nGRANT USAGE ON SCHEMA acme TO app;\n\\unrestrict a1",
            Vec::new(),
        )
        .unwrap();
        assert_eq!(
            structure.pre_data,
            "CREATE TABLE __tenant__.note (id integer);\n\
             CREATE FUNCTION __tenant__.f() AS $$\n-- Name: x; Type: INDEX; Schema: acme; Owner: -\n$$;\n"
        );
        assert_eq!(
            structure.post_data,
            "GRANT USAGE ON SCHEMA __tenant__ TO app;\n\
             ALTER TABLE ONLY __tenant__.note ADD FOREIGN KEY (id) REFERENCES public.plan(id);\n"
        );
    }

    #[test]
    fn a_cast_stands_behind_what_it_needs() {
        let cast = Cast {
            statement: "CREATE CAST (mood AS text) WITH FUNCTION told(mood)".to_owned(),
            needs: vec!["mood".to_owned(), "told".to_owned()],
            comment: Some("COMMENT ON CAST (mood AS text) IS 'x'".to_owned()),
        };
        let sql = "CREATE TYPE acme.mood AS ENUM ();\nCREATE FUNCTION acme.told(acme.mood) AS 'x';\n\
                   CREATE FUNCTION acme.told2() AS 'x';\nCREATE VIEW acme.v AS SELECT 1;";
        let structure = divide(sql, vec![cast]).unwrap();
        let lines: Vec<_> = structure.pre_data.lines().collect();
        assert!(lines[1].contains("told(") && lines[2].starts_with("SET LOCAL"), "{lines:?}");
        assert!(lines[3].starts_with("CREATE CAST") && lines[4].starts_with("COMMENT ON CAST"), "{lines:?}");
        assert!(lines[6].contains("told2"), "{lines:?}");
    }

    #[test]
    fn what_names_its_schema_is_named() {
        let error = divide("CREATE FUNCTION acme.f() AS $$SELECT FROM acme.t$$;", Vec::new()).unwrap_err();
        assert!(error.to_string().contains("`CREATE FUNCTION acme.f() "), "{error}");
    }
}
