use super::finding::Finding;
use super::piece::Piece;
use super::rule::Rule;

/// An extension in a master migration that goes where tenants do not look.
pub(super) fn without_schema(piece: &Piece<'_>) -> Option<Finding> {
    let names_schema = piece.iter().any(|token| token.is_keyword("schema"));
    let creates = verb(piece)?.eq_ignore_ascii_case("create");
    (creates && !names_schema).then(|| Finding {
        rule: Rule::ExtensionSchema,
        at: piece[0].start,
        message: "without `SCHEMA`, the extension goes where tenants do not look".to_owned(),
    })
}

/// An extension in a migration that runs once per tenant.
pub(super) fn in_tenant(piece: &Piece<'_>) -> Option<Finding> {
    verb(piece).map(|_| Finding {
        rule: Rule::ExtensionSchema,
        at: piece[0].start,
        message: "an extension belongs to the whole database, and this file runs once per tenant".to_owned(),
    })
}

/// The verb of a statement about an extension, if it is one.
fn verb<'a>(piece: &Piece<'a>) -> Option<&'a str> {
    let [verb, object, ..] = &**piece else { return None };
    (verb.is_one_of("create alter drop") && object.is_keyword("extension")).then_some(verb.text)
}
