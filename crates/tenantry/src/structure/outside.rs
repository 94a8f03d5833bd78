//! The names in a structure's texts of what is not in the database itself. Pure.

use super::placeholder::ROLE;
use crate::error::{Error, ErrorKind, Result};
use crate::registry::structures::KeptStructure;
use crate::sql::Identifier;
use crate::sql::lexer::{Statements, Token, TokenKind, begins_with};

/// The things beside a database that a structure names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutsideNames {
    /// Roles that have privileges or are named by policies, without the tenant's own.
    pub(crate) roles: Vec<String>,
    pub(crate) tablespaces: Vec<String>,
}

impl OutsideNames {
    pub(super) fn of(texts: &KeptStructure) -> Result<Self> {
        let mut all = Self::default();
        for sql in [&texts.pre_data, &texts.post_data] {
            for statement in Statements::of(sql) {
                let tokens = statement.map_err(incomplete)?.tokens;
                all.tablespaces.extend(tablespace_of(&tokens));
                all.roles.extend(roles_of(&tokens).into_iter().filter(|role| role != ROLE));
            }
        }
        for names in [&mut all.roles, &mut all.tablespaces] {
            names.sort();
            names.dedup();
        }
        Ok(all)
    }
}

/// The same statements for another role.
pub(crate) fn with_role(sql: &str, from: &str, to: &str) -> Result<String> {
    if from == to {
        return Ok(sql.to_owned());
    }
    let mut text = String::with_capacity(sql.len());
    let mut copied = 0;
    for statement in Statements::of(sql) {
        let tokens = statement.map_err(incomplete)?.tokens;
        for (token, _) in role_tokens(&tokens).into_iter().filter(|(_, name)| name == from) {
            text.push_str(&sql[copied..token.start]);
            text.push_str(&Identifier(to).to_string());
            copied = token.end();
        }
    }
    text.push_str(&sql[copied..]);
    Ok(text)
}

pub(super) fn incomplete(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unsupported, "what is kept of its structure is not complete SQL").with_source(error)
}

/// The roles that a statement names, as the server has their names; none for `PUBLIC`.
pub(super) fn roles_of(tokens: &[Token<'_>]) -> Vec<String> {
    role_tokens(tokens).into_iter().map(|(_, name)| name).collect()
}

fn role_tokens<'a, 's>(tokens: &'a [Token<'s>]) -> Vec<(&'a Token<'s>, String)> {
    let is_policy = begins_with(tokens, "create policy");
    let gives = tokens.first().is_some_and(|first| first.is_one_of("grant revoke"))
        || begins_with(tokens, "alter default privileges");
    let mut roles = Vec::new();
    let mut depth = 0;
    let mut is_list = false;
    for token in tokens {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        if depth > 0 || !(is_policy || gives) {
            continue;
        }
        if token.is_keyword("to") || (gives && token.is_keyword("from")) {
            is_list = true;
        } else if is_list && token.is_one_of("using with granted") {
            is_list = false;
        } else if is_list && !token.is_punctuation(",") {
            let name = name_of(token).filter(|name| !(name == "public" || token.is_keyword("public")));
            roles.extend(name.map(|name| (token, name)));
        }
    }
    roles
}

/// A name as the server has it; none for what is no name.
pub(super) fn name_of(token: &Token<'_>) -> Option<String> {
    match token.kind {
        TokenKind::Word => Some(token.text.to_owned()),
        TokenKind::QuotedName => token.name().map(|name| name.replace("\"\"", "\"")),
        _ => None,
    }
}

/// From `SET default_tablespace = fast`; none where that is empty.
fn tablespace_of(tokens: &[Token<'_>]) -> Option<String> {
    match tokens {
        [set, setting, _, name] if set.is_keyword("set") && setting.is_keyword("default_tablespace") => {
            name_of(name)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = "CREATE TABLE __tenant__.t (\"to\" integer);\n\
        GRANT SELECT(\"to\") ON TABLE __tenant__.t TO app WITH GRANT OPTION;\n\
        REVOKE ALL ON TABLE __tenant__.t FROM \"Odd \"\"one\";\n\
        GRANT ALL ON TABLE __tenant__.t TO __tenant_role__;\n\
        GRANT SELECT ON TABLE __tenant__.app TO PUBLIC;\n\
        CREATE POLICY app ON __tenant__.t TO app, other USING ((app = 'app'));\n";

    #[test]
    fn what_a_structure_names_outside_of_its_database_is_found() {
        let texts = KeptStructure {
            pre_data: "SET default_tablespace = fast;\nCREATE TABLE __tenant__.a ();\nSET default_tablespace = '';\n"
                .to_owned(),
            post_data: format!("SET default_tablespace = \"Slow \"\"one\";\n{TEXT}"),
        };
        let OutsideNames { roles, tablespaces } = OutsideNames::of(&texts).unwrap();
        assert_eq!(roles, ["Odd \"one", "app", "other"]);
        assert_eq!(tablespaces, ["Slow \"one", "fast"]);
    }

    #[test]
    fn a_role_goes_by_another_name_where_it_is_meant() {
        let text = with_role(TEXT, "app", "App 2").unwrap();
        assert_eq!(
            text,
            TEXT.replace("TO app", "TO \"App 2\""),
            "but neither a table nor a column nor a policy of that name"
        );
        assert_eq!(with_role(TEXT, "app", "app").unwrap(), TEXT);
    }
}
