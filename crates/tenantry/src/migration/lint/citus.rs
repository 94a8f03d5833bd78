//! Changes of tables that Citus refuses where they are on a worker, or that keep a tenant from being moved there.
//!
//! A new tenant is filled before its schema is distributed, so that its creation does not tell: it is the next
//! migration of the tenants that are there which fails.

use super::constraints::{added_elements, created_elements, split};
use super::file::{File, name_at};
use super::finding::Finding;
use super::piece::Piece;
use super::rule::Rule;
use crate::sql::lexer::{Token, begins_with};

/// Everything that a statement does and Citus does not do with the tables of a tenant.
pub(super) fn judge(piece: &Piece<'_>, file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(added_columns(piece));
    findings.extend(actions(piece).iter().filter_map(|action| judge_action(action)));
    findings.extend(constraint_among_others(piece));
    findings.extend(inherited(piece));
    findings.extend(without_key(piece, file));
    findings.extend(small_sequences(piece));
    findings.extend(foreign_key_into_tenant(piece));
    findings
}

fn finding(rule: Rule, at: &Token<'_>, message: impl Into<String>) -> Finding {
    Finding { rule, at: at.start, message: message.into() }
}

/// The actions of `ALTER TABLE`, which stand between commas.
fn actions<'a, 'b>(piece: &'b Piece<'a>) -> Vec<&'b [Token<'a>]> {
    if !begins_with(piece, "alter table") {
        return Vec::new();
    }
    let fillers = piece[2..].iter().take_while(|token| token.is_one_of("if exists only")).count();
    let mut rest = piece.get(2 + fillers + 1..).unwrap_or_default();
    while let [point, _, behind @ ..] = rest
        && point.is_punctuation(".")
    {
        rest = behind;
    }
    split(rest)
}

const CONSTRAINT: &str = "constraint check unique primary foreign exclude";
const SERIAL: &str = "serial bigserial smallserial serial2 serial4 serial8";

fn is_column(element: &[Token<'_>]) -> bool {
    element.len() > 1 && !element[0].is_one_of(CONSTRAINT)
}

fn is_identity(element: &[Token<'_>]) -> bool {
    element.windows(2).any(|pair| pair[0].is_keyword("as") && pair[1].is_keyword("identity"))
}

/// `ADD COLUMN a bigserial`, `ADD COLUMN a int CHECK (…)`
fn added_columns(piece: &Piece<'_>) -> Vec<Finding> {
    let columns = added_elements(piece).unwrap_or_default().into_iter().filter(|element| is_column(element));
    let judged = columns.filter_map(|column| {
        if is_identity(column) || column[1].is_one_of(SERIAL) {
            let message =
                format!("a table that is distributed gets no column `{}` with a sequence", column[0].text);
            return Some(finding(Rule::CitusAddSerialOrIdentity, &column[0], message));
        }
        let is_unnamed = |at: &usize| {
            column[*at].is_one_of("check unique primary") && !column[*at - 2].is_keyword("constraint")
        };
        let constraint = (2..column.len()).find(is_unnamed)?;
        let message = format!("`{}` comes with a constraint that has no name", column[0].text);
        Some(finding(Rule::CitusInlineCheck, &column[constraint], message))
    });
    judged.collect()
}

fn judge_action(action: &[Token<'_>]) -> Option<Finding> {
    if begins_with(action, "rename constraint") {
        return Some(finding(Rule::CitusRenameConstraint, &action[0], "a constraint is renamed"));
    }
    let is_concurrent = action.iter().any(|token| token.is_keyword("concurrently"));
    if begins_with(action, "detach partition") && is_concurrent {
        let message = "a partition is detached concurrently";
        return Some(finding(Rule::CitusDetachConcurrently, &action[0], message));
    }
    if begins_with(action, "inherit") {
        return Some(finding(Rule::CitusInherits, &action[0], "a table inherits from another one"));
    }
    None
}

/// `ADD CONSTRAINT …, ADD COLUMN …`
fn constraint_among_others(piece: &Piece<'_>) -> Option<Finding> {
    let actions = actions(piece);
    let is_constraint = |action: &&&[Token<'_>]| {
        action.len() > 1 && action[0].is_keyword("add") && action[1].is_one_of(CONSTRAINT)
    };
    let constraint = actions.iter().find(is_constraint).filter(|_| actions.len() > 1)?;
    let message = "a constraint is added together with something else";
    Some(finding(Rule::CitusAddConstraintAlone, &constraint[0], message))
}

fn inherited(piece: &Piece<'_>) -> Option<Finding> {
    created_elements(piece)?;
    let inherits = piece.iter().find(|token| token.is_keyword("inherits"))?;
    Some(finding(Rule::CitusInherits, inherits, "a table inherits from another one"))
}

/// A table whose rows nothing tells apart. A copy of another table may have its key.
fn without_key(piece: &Piece<'_>, file: &File) -> Option<Finding> {
    let elements = created_elements(piece)?;
    let table = piece.iter().position(|token| token.is_keyword("table"))?;
    let name = name_at(&piece[table + 1..])?;
    let has_key = elements.iter().any(|element| has_words(element, "primary", "key"));
    let may_have_key = has_key
        || file.adds_key(&name)
        || elements.iter().any(|element| element[..].first().is_some_and(|first| first.is_keyword("like")))
        || piece.iter().any(|token| token.is_keyword("inherits"))
        || has_words(piece, "partition", "of");
    let message = || format!("`{name}` has no primary key");
    (!may_have_key).then(|| finding(Rule::CitusNoPrimaryKey, &piece[0], message()))
}

fn has_words(tokens: &[Token<'_>], first: &str, second: &str) -> bool {
    tokens.windows(2).any(|pair| pair[0].is_keyword(first) && pair[1].is_keyword(second))
}

/// `CREATE TABLE a (id serial)`, `CREATE TABLE a (id int GENERATED … AS IDENTITY)`
fn small_sequences(piece: &Piece<'_>) -> Vec<Finding> {
    let columns =
        created_elements(piece).unwrap_or_default().into_iter().filter(|element| is_column(element));
    let is_small = |column: &&[Token<'_>]| {
        column[1].is_one_of("serial smallserial serial2 serial4")
            || column[1].is_one_of("int integer int2 int4 smallint") && is_identity(column)
    };
    let message =
        |column: &[Token<'_>]| format!("the numbers of `{}` are smaller than bigint", column[0].text);
    columns.filter(is_small).map(|it| finding(Rule::CitusIntSerial, &it[0], message(it))).collect()
}

/// `ALTER TABLE public.a ADD FOREIGN KEY (b) REFERENCES c`
fn foreign_key_into_tenant(piece: &Piece<'_>) -> Option<Finding> {
    let is_of_table = begins_with(piece, "alter table") || begins_with(piece, "create table");
    let fillers = piece.iter().skip(2).take_while(|token| token.is_one_of("if not exists only")).count();
    let is_outside = piece.get(2 + fillers + 1).is_some_and(|token| token.is_punctuation("."));
    let at = piece.iter().position(|token| token.is_keyword("references"))?;
    let is_inside = !piece.get(at + 2).is_some_and(|token| token.is_punctuation("."));
    let message = "a table outside of the tenant refers to one of the tenant's";
    (is_of_table && is_outside && is_inside)
        .then(|| finding(Rule::CitusForeignKeyIntoTenant, &piece[at], message))
}
