//! Tells what has to wait until all changes are repeated. Pure.

use crate::error::{Error, ErrorKind, Result};
use crate::sql::lexer::{Statements, Token, begins_with};

/// The statements behind the rows, in two parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BehindRows {
    /// Indexes, keys and privileges.
    pub(super) early: String,
    /// Triggers, rules, policies and foreign keys, which would act on changes that have acted already, or refuse them
    /// in the order in which they come. The keys are not valid until they are validated.
    pub(super) late: String,
}

impl BehindRows {
    pub(super) fn of(sql: &str) -> Result<Self> {
        let mut parts = Self::default();
        for statement in Statements::of(sql) {
            let statement = statement.map_err(|error| {
                Error::new(ErrorKind::Migration, "the structure of the tenant is not complete SQL")
                    .with_source(error)
            })?;
            let tokens = &statement.tokens;
            let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { continue };
            let text = sql[first.start..last.end()].trim_end_matches(';');
            if is_foreign_key(tokens) {
                let is_not_valid =
                    tokens.windows(2).any(|pair| pair[0].is_keyword("not") && pair[1].is_keyword("valid"));
                // Of a table in parts, which is not `ONLY` itself, a key has to be valid at once.
                let can_wait = tokens.get(2).is_some_and(|token| token.is_keyword("only"));
                let ending = if can_wait && !is_not_valid { " NOT VALID;\n" } else { ";\n" };
                parts.late.push_str(text);
                parts.late.push_str(ending);
            } else {
                let part = if is_late(tokens) { &mut parts.late } else { &mut parts.early };
                part.push_str(text);
                part.push_str(";\n");
            }
        }
        Ok(parts)
    }
}

fn is_foreign_key(tokens: &[Token<'_>]) -> bool {
    begins_with(tokens, "alter table")
        && tokens.windows(2).any(|pair| pair[0].is_keyword("foreign") && pair[1].is_keyword("key"))
}

/// Comments may be on what comes late.
fn is_late(tokens: &[Token<'_>]) -> bool {
    let made = [
        "create trigger",
        "create constraint trigger",
        "create rule",
        "create or replace rule",
        "create policy",
    ];
    let is_switch = |token: &Token<'_>| token.is_one_of("enable disable force");
    let is_switched = |token: &Token<'_>| token.is_one_of("row trigger rule replica always");
    begins_with(tokens, "comment on")
        || made.iter().any(|words| begins_with(tokens, words))
        || (begins_with(tokens, "alter table")
            && tokens
                .windows(2)
                .any(|pair| is_switch(&pair[0]) && (is_switched(&pair[1]) || pair[1].is_keyword("row"))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ended(statements: &[&str]) -> String {
        statements.iter().flat_map(|sql| [sql, ";\n"]).collect()
    }

    #[test]
    fn what_acts_on_rows_comes_late() {
        let early = [
            "ALTER TABLE ONLY a.t ADD CONSTRAINT t_pkey PRIMARY KEY (id)",
            "CREATE INDEX i ON a.t USING btree (at)",
            "ALTER INDEX a.p_pkey ATTACH PARTITION a.p_1_pkey",
            "GRANT SELECT ON TABLE a.t TO app",
        ];
        let late = [
            "CREATE TRIGGER x AFTER INSERT ON a.t FOR EACH ROW EXECUTE FUNCTION a.f()",
            "CREATE CONSTRAINT TRIGGER x AFTER INSERT ON a.t FOR EACH ROW EXECUTE FUNCTION a.f()",
            "CREATE RULE r AS ON INSERT TO a.t DO ALSO (SELECT 1; SELECT 2)",
            "CREATE POLICY p ON a.t USING (true)",
            "ALTER TABLE a.t ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE a.t DISABLE TRIGGER x",
            "ALTER TABLE a.t ENABLE ALWAYS TRIGGER x",
            "COMMENT ON CONSTRAINT k ON a.t IS 'x; y'",
        ];
        let all = ended(&early) + &ended(&late);
        let parts = BehindRows::of(&all).unwrap();
        assert_eq!(parts.early, ended(&early));
        assert_eq!(parts.late, ended(&late));
    }

    #[test]
    fn foreign_keys_are_validated_later() {
        let key = "ALTER TABLE ONLY a.t ADD CONSTRAINT k FOREIGN KEY (x) REFERENCES a.u(id) DEFERRABLE";
        let in_parts = "ALTER TABLE a.p ADD CONSTRAINT k3 FOREIGN KEY (x) REFERENCES a.u(id)";
        let not_valid = "ALTER TABLE ONLY a.t ADD CONSTRAINT k2 FOREIGN KEY (x) REFERENCES a.u(id) NOT VALID";
        let parts = BehindRows::of(&format!("{key};\n{in_parts};\n{not_valid};\n")).unwrap();
        assert_eq!(parts.late, format!("{key} NOT VALID;\n{in_parts};\n{not_valid};\n"));
        assert_eq!(parts.early, "");
    }
}
