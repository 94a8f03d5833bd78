use super::finding::Finding;
use super::piece::Piece;
use super::rule::Rule;

/// Catalogs in which the names of one schema stand among those of all others.
const CATALOGS: &str = "pg_tables pg_class pg_type pg_constraint pg_indexes pg_index pg_views pg_matviews pg_trigger \
                        pg_proc pg_sequences pg_sequence pg_policies pg_policy pg_attribute pg_enum \
                        pg_stat_user_tables";
/// Words that tie a query to a schema, or to an object that was found by the path.
const TIES: &str = "current_schema current_schemas to_regclass to_regtype to_regproc to_regprocedure to_regnamespace \
                    regclass regtype regproc regprocedure regnamespace pg_table_is_visible pg_type_is_visible \
                    pg_function_is_visible pg_my_temp_schema tg_table_schema tg_relid";

/// A look-up by name in all schemas.
pub(super) fn without_schema(piece: &Piece<'_>) -> Option<Finding> {
    let found = (1..piece.len()).find(|at| is_looked_up(piece, *at))?;
    let is_tied = piece.iter().any(|token| token.name().is_some_and(|name| is_one_of(name, TIES)));
    let has_name = piece.iter().any(|token| token.literal().is_some());
    let message =
        || format!("`{}` has the names of all schemas, not only of the tenant's", piece[found].text);
    (!is_tied && has_name).then(|| Finding {
        rule: Rule::CatalogWithoutSchema,
        at: piece[found].start,
        message: message(),
    })
}

fn is_looked_up(piece: &Piece<'_>, at: usize) -> bool {
    let before = |steps: usize| at.checked_sub(steps).map(|index| &piece[index]);
    let is_behind = |schema: &str| {
        before(1).is_some_and(|point| point.is_punctuation("."))
            && before(2).is_some_and(|name| name.name().is_some_and(|name| name.eq_ignore_ascii_case(schema)))
    };
    let follows_keyword =
        || before(1).is_some_and(|word| word.is_one_of("from join only") || word.is_punctuation(","));
    let Some(name) = piece[at].name() else { return false };
    is_behind("information_schema") && !name.eq_ignore_ascii_case("schemata")
        || is_one_of(name, CATALOGS) && (is_behind("pg_catalog") || follows_keyword())
}

fn is_one_of(name: &str, words: &str) -> bool {
    words.split_ascii_whitespace().any(|word| name.eq_ignore_ascii_case(word))
}
