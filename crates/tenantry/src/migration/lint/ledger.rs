use super::finding::Finding;
use super::piece::Piece;
use super::rule::Rule;

/// sqlx's own table, which only the runner may write to.
const LEDGER: &str = "_sqlx_migrations";

/// A statement that writes to the ledger.
pub(super) fn written(piece: &Piece<'_>) -> Option<Finding> {
    const WRITES: &str = "insert update delete truncate merge alter drop create lock";
    let at = piece.iter().position(|token| token.name().is_some_and(|name| name == LEDGER))?;
    let writes = piece[0].is_one_of(WRITES)
        || piece[0].is_keyword("with")
            && piece.iter().any(|token| token.is_one_of("insert update delete merge"));
    writes.then(|| Finding {
        rule: Rule::Ledger,
        at: piece[at].start,
        message: format!("`{LEDGER}` says what the schema has applied, and the runner alone writes it"),
    })
}
