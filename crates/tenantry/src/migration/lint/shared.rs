use super::finding::Finding;
use super::piece::Piece;
use super::rule::Rule;
use crate::sql::lexer::begins_with;

/// A statement about what is in no schema, because all schemas of the database share it.
pub(super) fn changed(piece: &Piece<'_>) -> Option<Finding> {
    let what = defined(piece).or_else(|| granted(piece))?;
    let message = format!("{what} belongs to the whole database, and this file runs once per tenant");
    Some(Finding { rule: Rule::DatabaseWide, at: piece[0].start, message })
}

/// The objects behind `CREATE`, `ALTER` and `DROP`, and the words they may begin with.
const SHARED: [(&str, &str); 16] = [
    ("extension", "an extension"),
    ("role", "a role"),
    ("user mapping", "a user mapping"),
    ("user", "a role"),
    ("group", "a role"),
    ("database", "a database"),
    ("tablespace", "a tablespace"),
    ("publication", "a publication"),
    ("subscription", "a subscription"),
    ("event trigger", "an event trigger"),
    ("cast", "a cast"),
    ("language", "a language"),
    ("foreign data wrapper", "a foreign data wrapper"),
    ("server", "a foreign server"),
    ("access method", "an access method"),
    ("transform", "a transform"),
];

fn defined(piece: &Piece<'_>) -> Option<&'static str> {
    let is_comment = begins_with(piece, "comment on");
    if !(piece[0].is_one_of("create alter drop") || is_comment) {
        return None;
    }
    let rest = &piece[if is_comment { 2 } else { 1 }..];
    let fillers = rest.iter().take_while(|token| token.is_one_of("or replace trusted procedural")).count();
    SHARED.into_iter().find(|(words, _)| begins_with(&rest[fillers..], words)).map(|(_, what)| what)
}

fn granted(piece: &Piece<'_>) -> Option<&'static str> {
    if begins_with(piece, "drop owned") || begins_with(piece, "reassign owned") {
        return Some("what a role owns");
    }
    if begins_with(piece, "alter default privileges") {
        let is_in_schema =
            piece.windows(2).any(|pair| pair[0].is_keyword("in") && pair[1].is_keyword("schema"));
        return (!is_in_schema).then_some("what is granted by default in every schema");
    }
    if !piece[0].is_one_of("grant revoke") {
        return None;
    }
    let Some(on) = piece.iter().position(|token| token.is_keyword("on")) else {
        return Some("the membership in a role");
    };
    let kinds = "database language foreign tablespace parameter large";
    piece.get(on + 1)?.is_one_of(kinds).then_some("what is granted on a database or the like")
}
