use super::finding::Finding;
use super::piece::Piece;
use super::positions::{Position, is_filler, positions};
use super::rule::Rule;
use crate::sql::lexer::{Lexer, Token, TokenKind};
use crate::tenant::SchemaName;

/// Names that reach outside of the tenant that is being migrated.
pub(super) fn outside(piece: &Piece<'_>, extensions: &[SchemaName]) -> Vec<Finding> {
    let mut names = path_of_function(piece);
    for (at, position) in positions(piece).into_iter().enumerate() {
        names.extend(position.and_then(|position| Name::behind(position, &piece[at + 1..])));
        names.extend(Name::in_literal(piece, at));
    }
    names.retain(|name| name.is_outside(extensions));
    names.iter().map(finding).collect()
}

fn finding(name: &Name<'_>) -> Finding {
    let text = &name.text;
    let (rule, message) = match name.position {
        Position::Referenced => {
            (Rule::SharedForeignKey, format!("a foreign key to `{text}` ties every tenant to one table"))
        }
        Position::Schema => (Rule::OutsideName, format!("the schema `{text}` is not the tenant's")),
        _ => (Rule::OutsideName, format!("`{text}` is outside of the tenant's schema")),
    };
    Finding { rule, at: name.at, message }
}

/// A name, and the schema it begins with, if any.
#[derive(Debug)]
struct Name<'a> {
    position: Position,
    /// The name as it is written.
    text: String,
    at: usize,
    schema: Option<Token<'a>>,
}

impl<'a> Name<'a> {
    /// The name at the beginning of these tokens.
    fn behind(position: Position, tokens: &[Token<'a>]) -> Option<Self> {
        // In an expression, `NOT` and `EXISTS` announce no name.
        let announces = position != Position::Expression;
        let fillers = tokens.iter().take_while(|token| announces && is_filler(token)).count();
        let parts = parts(&tokens[fillers..]);
        let behind = tokens.get(fillers + (2 * parts.len()).saturating_sub(1));
        let is_call = behind.is_some_and(|token| token.is_punctuation("("));
        let own_parts = match position {
            Position::Expression if !is_call => return None,
            Position::Object | Position::List | Position::Referenced | Position::Expression => 1,
            Position::Column => 2,
            Position::Schema => 0,
        };
        let schema = parts.len().checked_sub(own_parts + 1).map(|index| parts[index]);
        let text = parts.iter().map(|part| part.text).collect::<Vec<_>>().join(".");
        Some(Self { position, text, at: parts.first()?.start, schema })
    }

    /// The name in `nextval('a.b')` and `'a.b'::regclass`.
    fn in_literal(piece: &Piece<'a>, at: usize) -> Option<Self> {
        let is_called = |before: &[Token<'_>]| {
            before[0].is_one_of("nextval setval currval") && before[1].is_punctuation("(")
        };
        let is_cast = |behind: &[Token<'_>]| {
            behind[0].is_punctuation(":") && behind[1].is_punctuation(":") && behind[2].is_keyword("regclass")
        };
        let is_name = at.checked_sub(2).is_some_and(|start| is_called(&piece[start..at]))
            || piece.get(at + 1..at + 4).is_some_and(is_cast);
        let text = piece[at].literal().filter(|_| is_name)?;
        let tokens: Vec<_> = Lexer::new(text).flatten().collect();
        let name = Self::behind(Position::Object, &tokens)?;
        Some(Self { at: piece[at].start, ..name })
    }

    fn is_outside(&self, extensions: &[SchemaName]) -> bool {
        let Some(schema) = &self.schema else { return false };
        // A `U&"…"` name may spell anything.
        let Some(name) = schema.name() else { return true };
        let name = match schema.kind {
            TokenKind::QuotedName => name.replace("\"\"", "\""),
            _ => name.to_ascii_lowercase(),
        };
        let is_of_system = ["pg_catalog", "information_schema", "pg_temp"].contains(&name.as_str());
        !is_of_system && !extensions.iter().any(|extension| extension.as_str() == name)
    }
}

/// `CREATE FUNCTION … SET search_path = a, b`: in which the function's unqualified names are searched.
fn path_of_function<'a>(piece: &Piece<'a>) -> Vec<Name<'a>> {
    let is_function = piece.iter().skip(1).take(3).any(|token| token.is_one_of("function procedure"));
    let set =
        piece.windows(2).position(|pair| pair[0].is_keyword("set") && pair[1].is_keyword("search_path"));
    let Some(set) = set.filter(|_| is_function && piece[0].is_one_of("create alter")) else {
        return Vec::new();
    };
    // Behind `SET search_path` and `=` or `TO`: pairs of a name and a comma.
    let value = piece.get(set + 3..).unwrap_or_default();
    let commas = value.iter().skip(1).step_by(2).take_while(|token| token.is_punctuation(",")).count();
    let is_captured = piece[set + 2..].first().is_some_and(|token| token.is_keyword("from"));
    let items = value.iter().step_by(2).take(if is_captured { 0 } else { commas + 1 });
    items.filter_map(schema_in_path).collect()
}

fn schema_in_path<'a>(item: &Token<'a>) -> Option<Name<'a>> {
    let text = item.literal().unwrap_or(item.text);
    let token = Lexer::new(text).next()?.ok()?;
    let is_default = item.is_keyword("default");
    let schema = Some(token).filter(|_| !is_default);
    Some(Name { position: Position::Schema, text: text.to_owned(), at: item.start, schema })
}

/// `a.b.c` as its parts.
fn parts<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut parts = Vec::new();
    let mut tokens = tokens;
    while let [part, rest @ ..] = tokens
        && matches!(part.kind, TokenKind::Word | TokenKind::QuotedName | TokenKind::UnicodeName)
    {
        parts.push(*part);
        match rest {
            [point, rest @ ..] if point.is_punctuation(".") => tokens = rest,
            _ => break,
        }
    }
    parts
}
