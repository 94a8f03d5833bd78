//! Finds the statements that build indexes of single tables, so that several sessions can share them. Pure.

use std::collections::BTreeMap;

use super::outside::{incomplete, name_of};
use crate::error::Result;
use crate::sql::lexer::{Statements, Token, begins_with};

/// The statements behind the rows, divided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PerTable {
    /// Indexes and keys, as one text for each table. They need what comes before the rows, and not each other.
    pub(crate) indexes: BTreeMap<String, String>,
    /// Everything else in its order, which may need all of them.
    pub(crate) rest: String,
}

/// Divides the statements behind the rows. Tables of which `is_apart` is not true stay in the rest.
pub(crate) fn per_table(sql: &str, is_apart: impl Fn(&str) -> bool) -> Result<PerTable> {
    let mut divided = PerTable { indexes: BTreeMap::new(), rest: String::new() };
    let mut tablespace = "default_tablespace = ''";
    for statement in Statements::of(sql) {
        let tokens = statement.map_err(incomplete)?.tokens;
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { continue };
        if let [set, setting, ..] = &tokens[..]
            && set.is_keyword("set")
            && setting.is_keyword("default_tablespace")
        {
            tablespace = &sql[setting.start..last.end()];
        }
        let text = &sql[first.start..last.end()];
        match indexed_table(&tokens).filter(|table| is_apart(table)) {
            Some(table) => {
                let of_table = divided.indexes.entry(table).or_default();
                of_table.extend(["SET LOCAL ", tablespace, ";\n", text, ";\n"]);
            }
            None => divided.rest.extend([text, ";\n"]),
        }
    }
    Ok(divided)
}

/// From `CREATE UNIQUE INDEX i ON acme.note …`, or `ALTER TABLE ONLY acme.note ADD CONSTRAINT k PRIMARY KEY …`.
fn indexed_table(tokens: &[Token<'_>]) -> Option<String> {
    let name = match () {
        () if begins_with(tokens, "create index") => behind_on(tokens, 3)?,
        () if begins_with(tokens, "create unique index") => behind_on(tokens, 4)?,
        () if begins_with(tokens, "alter table only") => {
            let adds = tokens.get(6..)?;
            let is_key = begins_with(adds, "add constraint") && adds.get(3)?.is_one_of("primary unique");
            tokens.get(3..6).filter(|_| is_key)?
        }
        () => return None,
    };
    match name {
        [_, dot, table] if dot.is_punctuation(".") => name_of(table),
        _ => None,
    }
}

/// The name behind `ON`; none behind `ON ONLY`, which is an index of a partitioned table.
fn behind_on<'t, 's>(tokens: &'t [Token<'s>], on: usize) -> Option<&'t [Token<'s>]> {
    tokens.get(on).filter(|token| token.is_keyword("on"))?;
    tokens.get(on + 1..on + 4)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn indexes_and_keys_of_a_table_stand_together_and_all_else_in_its_order() {
        let sql = "ALTER TABLE ONLY \"t\".note ADD CONSTRAINT note_pkey PRIMARY KEY (id);\n\
                   ALTER TABLE ONLY \"t\".note ADD CONSTRAINT note_x EXCLUDE USING gist (c WITH &&);\n\
                   SET default_tablespace = fast;\n\
                   CREATE UNIQUE INDEX \"on\" ON \"t\".\"Odd \"\"one\" USING btree (a);\n\
                   CREATE INDEX b ON \"t\".note USING btree (lower(name)) WHERE (id > 0);\n\
                   CREATE INDEX c ON ONLY \"t\".parted USING btree (a);\n\
                   CREATE INDEX d ON \"t\".view USING btree (a);\n\
                   ALTER TABLE \"t\".note CLUSTER ON b;\n\
                   ALTER TABLE ONLY \"t\".note ADD CONSTRAINT u UNIQUE (a);\n\
                   ALTER TABLE ONLY \"t\".note ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES \"t\".note(id);\n";
        let divided = per_table(sql, |table| table != "view").unwrap();
        let lines: Vec<_> = sql.lines().collect();
        let note = format!(
            "SET LOCAL default_tablespace = '';\n{}\nSET LOCAL default_tablespace = fast;\n{}\n\
             SET LOCAL default_tablespace = fast;\n{}\n",
            lines[0], lines[4], lines[8]
        );
        let odd = format!("SET LOCAL default_tablespace = fast;\n{}\n", lines[3]);
        let expect = [("Odd \"one".to_owned(), odd), ("note".to_owned(), note)];
        assert_eq!(divided.indexes, BTreeMap::from(expect));
        let rest = [lines[1], lines[2], lines[5], lines[6], lines[7], lines[9]];
        assert_eq!(divided.rest.lines().collect::<Vec<_>>(), rest);
    }
}
