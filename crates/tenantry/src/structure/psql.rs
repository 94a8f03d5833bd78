//! The texts of a structure as `psql` reads them, with variables in the place of the names that differ.
//!
//! `:"__tenant__"` is the schema, `:'__tenant__'` the same as the whole of a string, `:"__tenant_role__"` the
//! tenant's own role. psql puts nothing into a string, so one that names something in the schema is a variable of its
//! own: `:'__tenant_1__'` and so on, of which the name behind the schema is kept.

use super::outside::roles_of;
use super::placeholder::{self, MARK, ROLE, SCHEMA, SCHEMA_AS_TEXT, SCHEMA_IN_TEXT};
use crate::error::{Error, ErrorKind, Result};
use crate::registry::structures::KeptStructure;
use crate::sql::lexer::{Statements, Token, TokenKind, begins_with};
use crate::tenant::SchemaName;

/// The texts, and what a reader has to know of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PsqlTexts {
    pub(crate) pre_data: String,
    pub(crate) post_data: String,
    /// The statements that name roles.
    pub(crate) privileges: String,
    /// The text behind the schema in each of the strings, by the number of the variable.
    pub(crate) names: Vec<String>,
    /// The roles that are named, without the tenant's own.
    pub(crate) roles: Vec<String>,
    pub(crate) has_own_role: bool,
}

impl PsqlTexts {
    pub(super) fn of(texts: &KeptStructure) -> Result<Self> {
        let mut all = Self {
            pre_data: String::new(),
            post_data: String::new(),
            privileges: String::new(),
            names: Vec::new(),
            roles: Vec::new(),
            has_own_role: false,
        };
        for (sql, is_behind) in [(&texts.pre_data, false), (&texts.post_data, true)] {
            let statements: Vec<_> = Statements::of(sql).collect::<Result<_, _>>().map_err(|error| {
                Error::new(ErrorKind::Unsupported, "what is kept of its structure is not complete SQL")
                    .with_source(error)
            })?;
            let guarded: Vec<_> = statements.iter().filter_map(|it| guarded_policy(&it.tokens)).collect();
            for statement in &statements {
                all.push(sql, &statement.tokens, is_behind, &guarded);
            }
        }
        all.roles.sort();
        all.roles.dedup();
        Ok(all)
    }

    fn push(&mut self, sql: &str, tokens: &[Token<'_>], is_behind: bool, guarded: &[String]) {
        let roles = roles_of(tokens);
        for role in &roles {
            if role == ROLE {
                self.has_own_role = true;
            } else {
                self.roles.push(role.clone());
            }
        }
        let of_policy = policy_of_comment(tokens).is_some_and(|policy| guarded.contains(&policy));
        let mut text = self.with_variables(sql, tokens);
        text.push_str(";\n");
        match () {
            () if !roles.is_empty() || of_policy => self.privileges.push_str(&text),
            () if is_behind => self.post_data.push_str(&text),
            () => self.pre_data.push_str(&text),
        }
    }

    fn with_variables(&mut self, sql: &str, tokens: &[Token<'_>]) -> String {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return String::new() };
        let mut text = String::new();
        let mut copied = first.start;
        for (index, token) in tokens.iter().enumerate() {
            let Some(other) = self.replacement(tokens, index) else { continue };
            text.push_str(&sql[copied..token.start]);
            text.push_str(&other);
            copied = token.end();
        }
        text.push_str(&sql[copied..last.end()]);
        text
    }

    fn replacement(&mut self, tokens: &[Token<'_>], index: usize) -> Option<String> {
        let token = &tokens[index];
        // Whoever makes the objects gives the privileges, whatever the role is called there.
        if (3..6).contains(&index) && begins_with(tokens, "alter default privileges for role") {
            return Some(String::new());
        }
        match token.kind {
            TokenKind::Word if [SCHEMA, ROLE].contains(&token.text) => Some(format!(":\"{}\"", token.text)),
            TokenKind::String => {
                let inner = token.text.strip_prefix('\'')?.strip_suffix('\'')?;
                if inner == SCHEMA_AS_TEXT {
                    return Some(format!(":'{SCHEMA}'"));
                }
                let name = inner.strip_prefix(SCHEMA_IN_TEXT)?.strip_prefix('.')?.replace("''", "'");
                Some(format!(":'{}'", self.variable_of(name)))
            }
            // A slice of an array, `a[1:n]`, is not to be taken for a variable.
            TokenKind::Punctuation if token.text == ":" => {
                let next = tokens.get(index + 1).filter(|next| next.start == token.end())?;
                let before = index.checked_sub(1).map(|before| &tokens[before]);
                let is_cast = next.text == ":"
                    || before.is_some_and(|before| before.text == ":" && before.end() == token.start);
                (!is_cast).then(|| ": ".to_owned())
            }
            _ => None,
        }
    }

    fn variable_of(&mut self, name: String) -> String {
        let known = self.names.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        variable(index)
    }
}

fn variable(index: usize) -> String {
    format!("{MARK}{}__", index + 1)
}

/// The text for a server, with the names of a tenant in the places of the variables. `names` are those that the text
/// was written with.
pub(crate) fn from_psql(text: &str, names: &[String], schema: &SchemaName, own_role: Option<&str>) -> String {
    let mut text = text.to_owned();
    for (index, name) in names.iter().enumerate() {
        let name = name.replace('\'', "''");
        text = text.replace(&format!(":'{}'", variable(index)), &format!("'{SCHEMA_IN_TEXT}.{name}'"));
    }
    let text = text
        .replace(&format!(":'{SCHEMA}'"), &format!("'{SCHEMA_AS_TEXT}'"))
        .replace(&format!(":\"{SCHEMA}\""), SCHEMA)
        .replace(&format!(":\"{ROLE}\""), ROLE);
    placeholder::filled(&text, schema, own_role)
}

/// The policy, with its table, that a statement makes for certain roles.
fn guarded_policy(tokens: &[Token<'_>]) -> Option<String> {
    (begins_with(tokens, "create policy") && !roles_of(tokens).is_empty()).then(|| policy_at(tokens, 2))?
}

fn policy_of_comment(tokens: &[Token<'_>]) -> Option<String> {
    begins_with(tokens, "comment on policy").then(|| policy_at(tokens, 3))?
}

/// From `own_rows ON __tenant__.guarded`.
fn policy_at(tokens: &[Token<'_>], index: usize) -> Option<String> {
    let words: Vec<_> = tokens.get(index..index + 5)?.iter().map(|token| token.text).collect();
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn texts(post_data: &str) -> PsqlTexts {
        PsqlTexts::of(&KeptStructure { pre_data: String::new(), post_data: post_data.to_owned() }).unwrap()
    }

    #[test]
    fn names_are_variables_and_become_names_again() {
        let sql = "CREATE TABLE __tenant__.\"Odd \"\"one\" (a integer \
                   DEFAULT nextval('__tenant_text__.\"it''s\"'::regclass), \
                   b integer DEFAULT nextval('__tenant_text__.s'::regclass), c integer[] DEFAULT (d)[1:2]);\n\
                   ALTER TABLE __tenant__.t ALTER a SET DEFAULT nextval('__tenant_text__.s'::regclass);\n\
                   CREATE FUNCTION __tenant__.f() SET search_path TO '__tenant_name__' AS $$SELECT ':x'$$;\n";
        let texts =
            PsqlTexts::of(&KeptStructure { pre_data: sql.to_owned(), post_data: String::new() }).unwrap();
        assert_eq!(texts.names, ["\"it's\"", "s"]);
        assert_eq!(
            texts.pre_data,
            "CREATE TABLE :\"__tenant__\".\"Odd \"\"one\" (a integer DEFAULT nextval(:'__tenant_1__'::regclass), \
             b integer DEFAULT nextval(:'__tenant_2__'::regclass), c integer[] DEFAULT (d)[1: 2]);\n\
             ALTER TABLE :\"__tenant__\".t ALTER a SET DEFAULT nextval(:'__tenant_2__'::regclass);\n\
             CREATE FUNCTION :\"__tenant__\".f() SET search_path TO :'__tenant__' AS $$SELECT ':x'$$;\n"
        );
        let schema = SchemaName::parse("Ac'me").unwrap();
        assert_eq!(
            from_psql(&texts.pre_data, &texts.names, &schema, None),
            placeholder::filled(&sql.replace("[1:2]", "[1: 2]"), &schema, None)
        );
    }

    #[test]
    fn what_names_a_role_stands_apart() {
        let all = texts(
            "REVOKE ALL ON FUNCTION __tenant__.f(to_x text) FROM PUBLIC;\n\
             GRANT SELECT(id),UPDATE(name) ON TABLE __tenant__.t TO app WITH GRANT OPTION;\n\
             GRANT ALL ON TABLE __tenant__.t TO __tenant_role__;\n\
             GRANT ALL ON SCHEMA __tenant__ TO \"Odd \"\"one\";\n\
             ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA __tenant__ GRANT SELECT ON TABLES TO app;\n\
             CREATE POLICY open ON __tenant__.t USING ((a = 'x'));\n\
             CREATE POLICY own ON __tenant__.t FOR SELECT TO app, other USING ((a = CURRENT_USER));\n\
             COMMENT ON POLICY open ON __tenant__.t IS 'to app';\n\
             COMMENT ON POLICY own ON __tenant__.t IS 'mine';\n\
             ALTER TABLE __tenant__.t ENABLE ROW LEVEL SECURITY;\n",
        );
        assert_eq!(all.roles, ["Odd \"one", "app", "other"]);
        assert!(all.has_own_role);
        let first_words = |text: &str| text.lines().map(|line| line[..13].to_owned()).collect::<Vec<_>>();
        assert_eq!(
            first_words(&all.post_data),
            ["REVOKE ALL ON", "CREATE POLICY", "COMMENT ON PO", "ALTER TABLE :"]
        );
        let others = [
            "GRANT SELECT(",
            "GRANT ALL ON ",
            "GRANT ALL ON ",
            "ALTER DEFAULT",
            "CREATE POLICY",
            "COMMENT ON PO",
        ];
        assert_eq!(first_words(&all.privileges), others);
        assert!(!all.privileges.contains("owner"), "{}", all.privileges);
    }
}
