//! Takes the name of a schema away, `public.` as a rule: by tokens, in strings that the server reads as names, and in
//! the bodies of functions.

use std::ops::Range;

use super::finding::ImportRemark;
use super::verdict::is_name_of;
use crate::migration::baseline::is_cast_to_name;
use crate::sql::Identifier;
use crate::sql::lexer::{Lexer, Token, TokenKind, begins_with};

/// The parts of a statement to take away, and what there is to say.
#[derive(Debug)]
pub(super) struct Unqualified<'s> {
    schema: &'s str,
    pub(super) parts: Vec<Range<usize>>,
    pub(super) remarks: Vec<(usize, ImportRemark, String)>,
}

/// Looks through one statement for the name of a schema.
pub(super) fn unqualified<'s>(tokens: &[Token<'_>], schema: &'s str) -> Unqualified<'s> {
    let mut found = Unqualified { schema, parts: Vec::new(), remarks: Vec::new() };
    let body = body(tokens);
    if let Some(path) = own_path(tokens) {
        let message = "the function has a path of its own, which is no tenant's, and its body is not converted: take \
                       the path out, and the name of the schema with it";
        found.remarks.push((path.start, ImportRemark::NotConverted, message.to_owned()));
    } else if let Some(body) = body.filter(|body| body.is_read) {
        found.look_into(&body);
    }
    let body = body.map(|body| body.token.start);
    found.look_through(tokens, body, !begins_with(tokens, "comment on"));
    found
}

/// The code of a function or a `DO` block.
#[derive(Clone, Copy)]
struct Body<'a> {
    token: Token<'a>,
    /// Its language is one whose tokens we know.
    is_read: bool,
}

impl Unqualified<'_> {
    fn look_through(&mut self, tokens: &[Token<'_>], body: Option<usize>, reads_strings: bool) {
        for (at, token) in tokens.iter().enumerate() {
            if is_name_of(token, self.schema) {
                self.parts.extend(qualifier(tokens, at));
                let is_schema = tokens[..at].last().is_some_and(|before| before.is_keyword("schema"));
                if is_schema {
                    let message = format!("it names the schema `{}`, which is no tenant's", self.schema);
                    self.remarks.push((token.start, ImportRemark::NotConverted, message));
                }
            } else if Some(token.start) != body {
                match self.in_string(tokens, at) {
                    Some(Ok(part)) => self.parts.push(part),
                    Some(Err(())) if reads_strings => {
                        let message = format!("`{}.` is in a string, and stays", self.schema);
                        self.remarks.push((token.start, ImportRemark::NotConverted, message));
                    }
                    _ => {}
                }
            }
        }
    }

    fn look_into(&mut self, body: &Body<'_>) {
        let token = &body.token;
        // In a string with quotes in it, places are not what they seem.
        let Some(text) = token.literal() else {
            if self.is_mentioned(token.text) {
                let message = format!("`{}.` is in the body, and stays: quote the body by `$$`", self.schema);
                self.remarks.push((token.start, ImportRemark::NotConverted, message));
            }
            return;
        };
        let start = token.start + token.text.find(text).unwrap_or_default();
        let tokens = Lexer::new(text).flatten().filter(|token| !token.is_comment());
        let tokens: Vec<_> = tokens.map(|token| Token { start: start + token.start, ..token }).collect();
        let before = self.parts.len();
        self.look_through(&tokens, None, true);
        if let Some(first) = self.parts.get(before) {
            let message = format!(
                "`{}.` is taken out of the body of the function, too: look whether it meant a table of all tenants",
                self.schema
            );
            self.remarks.push((first.start, ImportRemark::Changed, message));
        }
    }

    /// The same in a string that the server reads as a name: `'public.note'::regclass`. `Err` in any other string.
    fn in_string(&self, tokens: &[Token<'_>], at: usize) -> Option<Result<Range<usize>, ()>> {
        let token = &tokens[at];
        let is_string = matches!(
            token.kind,
            TokenKind::String | TokenKind::EscapeString | TokenKind::UnicodeString | TokenKind::DollarString
        );
        if !is_string || !self.is_mentioned(token.text) {
            return None;
        }
        let is_argument = matches!(&tokens[..at], [.., function, open]
            if function.is_one_of("nextval setval currval") && open.is_punctuation("("));
        let is_name = token.text.starts_with('\'') && (is_argument || is_cast_to_name(&tokens[at + 1..]));
        let prefix = self.prefixes().into_iter().find(|prefix| token.text[1..].starts_with(prefix));
        match prefix {
            Some(prefix) if is_name => Some(Ok(token.start + 1..token.start + 1 + prefix.len())),
            _ => Some(Err(())),
        }
    }

    /// Returns true if the schema is in front of a name somewhere in a text.
    fn is_mentioned(&self, text: &str) -> bool {
        let is_part = |it: char| it.is_alphanumeric() || it == '_';
        self.prefixes().into_iter().any(|prefix| {
            text.match_indices(&prefix).any(|(at, _)| {
                let behind = text[at + prefix.len()..].chars().next();
                !text[..at].ends_with(is_part)
                    && behind.is_some_and(|it| is_part(it) || it == '"' || it == '%')
            })
        })
    }

    fn prefixes(&self) -> [String; 2] {
        [format!("{}.", self.schema), format!("{}.", Identifier(self.schema))]
    }
}

/// `public.` in front of a name, or of an operator in `OPERATOR(public.=)`.
fn qualifier(tokens: &[Token<'_>], at: usize) -> Option<Range<usize>> {
    let [public, point, name, ..] = &tokens[at..] else { return None };
    let before = tokens[..at].last();
    let is_name = matches!(name.kind, TokenKind::Word | TokenKind::QuotedName | TokenKind::UnicodeName);
    let is_operator = name.kind == TokenKind::Operator && is_behind_operator(&tokens[..at]);
    let is_first = !before.is_some_and(|before| before.is_punctuation("."));
    (point.is_punctuation(".") && is_first && (is_name || is_operator)).then_some(public.start..name.start)
}

/// `OPERATOR`, `OPERATOR (`, or `OPERATOR 1` in a class of operators: elsewhere `public.*` are the columns of a table.
fn is_behind_operator(before: &[Token<'_>]) -> bool {
    match before {
        [.., word] if word.is_keyword("operator") => true,
        [.., word, next] => {
            word.is_keyword("operator") && (next.is_punctuation("(") || next.kind == TokenKind::Number)
        }
        _ => false,
    }
}

/// `SET search_path` of a function itself.
fn own_path<'a>(tokens: &[Token<'a>]) -> Option<Token<'a>> {
    let is_path = |token: &Token<'_>| token.name().is_some_and(|it| it.eq_ignore_ascii_case("search_path"));
    let mut pairs = tokens.windows(2);
    let pair =
        pairs.find(|pair| pair[0].is_keyword("set") && is_path(&pair[1])).filter(|_| is_function(tokens));
    pair.map(|pair| pair[0])
}

fn is_function(tokens: &[Token<'_>]) -> bool {
    let beginnings = ["create function", "create procedure", "create or replace function"];
    let more = ["create or replace procedure", "alter function", "alter procedure"];
    beginnings.iter().chain(&more).any(|words| begins_with(tokens, words))
}

fn body<'a>(tokens: &[Token<'a>]) -> Option<Body<'a>> {
    let is_string = |token: &&Token<'_>| matches!(token.kind, TokenKind::DollarString | TokenKind::String);
    let language = tokens.windows(2).find(|pair| pair[0].is_keyword("language")).map(|pair| pair[1]);
    let language = language.and_then(|it| it.name().or(it.literal())).unwrap_or("plpgsql");
    let is_read = ["sql", "plpgsql"].iter().any(|known| language.eq_ignore_ascii_case(known));
    let token = if begins_with(tokens, "do") {
        // `DO LANGUAGE 'plpgsql' $$…$$`
        tokens.iter().filter(|token| token.literal() != Some(language)).find(is_string)
    } else if is_function(tokens) {
        let behind = tokens.iter().position(|token| token.is_keyword("as"))?;
        tokens.get(behind + 1).filter(is_string)
    } else {
        None
    };
    token.map(|token| Body { token: *token, is_read })
}
