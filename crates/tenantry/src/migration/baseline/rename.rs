//! Puts the name of one schema in another's place.

use std::ops::Range;

use super::head::PLACEHOLDER;
use crate::sql::lexer::{StatementSpan, Token, TokenKind};
use crate::sql::{Identifier, Literal};

/// The places in a text where the name of a schema stands.
///
/// These are identifiers, and the strings whose value the server reads as a name: `'schema.name'::regclass`, and
/// a string that is the schema's name and nothing else.
#[derive(Clone, Debug)]
pub(super) struct NamePlaces(Vec<NamePlace>);

#[derive(Clone, Debug)]
struct NamePlace {
    range: Range<usize>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Name,
    /// A string that holds nothing else.
    Text,
    /// A string that the server takes for a name, with what is behind the point.
    Path(String),
}

impl NamePlaces {
    /// Finds all of them among the tokens of a text.
    ///
    /// # Errors
    /// The byte at which the name would remain: in the body of a function, in another string, in a part of a
    /// name.
    pub(super) fn of(name: &str, tokens: &[Token<'_>]) -> Result<Self, usize> {
        let mut places = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            if token.is_comment() || !token.text.contains(name) {
                continue;
            }
            let is_a_name = is_cast_to_name(&tokens[index + 1..]) || is_argument_of_setval(&tokens[..index]);
            let form = Form::of(token, name, is_a_name).ok_or(token.start)?;
            places.push(NamePlace { range: token.start..token.end(), form });
        }
        Ok(Self(places))
    }

    /// The part of the text that holds the places, with another name there.
    pub(super) fn fill(&self, sql: &str, part: Range<usize>, name: &str) -> Renamed {
        let mut text = String::with_capacity(part.len() + part.len() / 8);
        let (mut copied, mut ends) = (part.start, vec![(part.start, 0)]);
        for NamePlace { range, form } in &self.0 {
            text.push_str(&sql[copied..range.start]);
            text.push_str(&form.render(name));
            copied = range.end;
            ends.push((copied, text.len()));
        }
        text.push_str(&sql[copied..part.end]);
        Renamed { text, ends }
    }
}

/// A text with another name in it.
pub(super) struct Renamed {
    pub(super) text: String,
    /// The places where the part began and each name ended, and where those are now.
    ends: Vec<(usize, usize)>,
}

impl Renamed {
    /// The place of a statement now. No name has a line break, so its line is the same.
    pub(super) fn moved(&self, statement: &StatementSpan) -> StatementSpan {
        let StatementSpan { range, line } = statement;
        StatementSpan { range: self.offset(range.start)..self.offset(range.end), line: *line }
    }

    fn offset(&self, before: usize) -> usize {
        let last = self.ends.partition_point(|(end, _)| *end <= before) - 1;
        let (end, now) = self.ends[last];
        before - end + now
    }
}

impl Form {
    fn of(token: &Token<'_>, name: &str, is_a_name: bool) -> Option<Self> {
        if token.name() == Some(name) {
            return Some(Self::Name);
        }
        let value = token.literal().filter(|_| token.kind == TokenKind::String)?;
        if value == name {
            return Some(Self::Text);
        }
        // The rest is a name as it was: quoted where it has to be.
        let rest = value.strip_prefix(name)?.strip_prefix('.')?;
        (is_a_name && !rest.contains(name)).then(|| Self::Path(rest.to_owned()))
    }

    fn render(&self, name: &str) -> String {
        // People read the placeholder, so it has no quotes.
        let identifier = || if name == PLACEHOLDER { name.to_owned() } else { Identifier(name).to_string() };
        match self {
            Self::Name => identifier(),
            Self::Text => Literal(name).to_string(),
            Self::Path(rest) => Literal(&format!("{}.{rest}", identifier())).to_string(),
        }
    }
}

/// `setval(` as a dump has it, without a cast.
fn is_argument_of_setval(before: &[Token<'_>]) -> bool {
    matches!(before, [.., function, open] if function.is_keyword("setval") && open.is_punctuation("("))
}

/// `::regclass` and its siblings.
pub(crate) fn is_cast_to_name(after: &[Token<'_>]) -> bool {
    let [first, second, rest @ ..] = after else { return false };
    let is_cast = first.is_punctuation(":") && second.is_punctuation(":");
    let target = match rest {
        [schema, point, target, ..] if schema.is_keyword("pg_catalog") && point.is_punctuation(".") => target,
        [target, ..] => target,
        [] => return false,
    };
    is_cast
        && target
            .is_one_of("regclass regtype regproc regprocedure regoper regoperator regconfig regdictionary")
}
