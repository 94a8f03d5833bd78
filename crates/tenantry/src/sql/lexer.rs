//! PostgreSQL's lexical rules: where a string, a comment or a statement begins and ends.
//!
//! Follows the server's `scan.l` with `standard_conforming_strings = on`, its default. It finds
//! boundaries and nothing more: keywords are words, a run of operator characters is one token, and
//! the numbers, escapes and names inside tokens are not checked. Whatever is wrong there is still
//! wrong when the server reads it.
//!
//! A *statement* is what ends at a top-level `;`. Semicolons inside parentheses (`CREATE RULE`) and
//! inside `BEGIN ATOMIC … END` (SQL function bodies) do not end one.

use std::ops::Range;

/// The kind of a [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// An identifier or keyword without quotes.
    Word,
    /// `"name"`
    QuotedName,
    /// `U&"name"`
    UnicodeName,
    /// `'text'` or `N'text'`
    String,
    /// `E'text'`
    EscapeString,
    /// `U&'text'`
    UnicodeString,
    /// `B'101'` or `X'1F'`
    BitString,
    /// `$$text$$` or `$tag$text$tag$`
    DollarString,
    Number,
    /// `$1`
    Parameter,
    /// A run of operator characters.
    Operator,
    /// One of `( ) [ ] , . :`
    Punctuation,
    Semicolon,
    /// From `--` to the end of the line.
    LineComment,
    /// `/* … */`, which nests.
    BlockComment,
    /// A backslash outside quotes and the rest of its line: psql's, never PostgreSQL's.
    MetaCommand,
    /// A character that no SQL contains here, such as `{` or a control character.
    Other,
}

/// One token and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
    pub(crate) start: usize,
}

impl<'a> Token<'a> {
    pub(crate) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// The token for a type that owns the text, and keeps what was read in it.
    pub(crate) fn span(&self) -> TokenSpan {
        TokenSpan { kind: self.kind, range: self.start..self.end() }
    }

    pub(crate) fn is_comment(&self) -> bool {
        matches!(self.kind, TokenKind::LineComment | TokenKind::BlockComment)
    }

    /// Returns true if this is the unquoted word `keyword`, in any case.
    pub(crate) fn is_keyword(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Returns true if this is one of the unquoted words, which are separated by spaces.
    pub(crate) fn is_one_of(&self, words: &str) -> bool {
        self.kind == TokenKind::Word && words.split(' ').any(|word| self.is_keyword(word))
    }

    pub(crate) fn is_punctuation(&self, text: &str) -> bool {
        self.kind == TokenKind::Punctuation && self.text == text
    }

    /// The name as it is written, without its quotes; `None` for a `U&"…"` name, which may spell
    /// anything, and for everything that is no name.
    pub(crate) fn name(&self) -> Option<&'a str> {
        match self.kind {
            TokenKind::Word => Some(self.text),
            TokenKind::QuotedName => Some(&self.text[1..self.text.len() - 1]),
            _ => None,
        }
    }

    /// The text between the quotes of a string without escapes; `None` for any other token and for
    /// a string whose value is not what is written.
    pub(crate) fn literal(&self) -> Option<&'a str> {
        let inner = match self.kind {
            TokenKind::String => self.text.split_once('\'')?.1.strip_suffix('\'')?,
            TokenKind::EscapeString if !self.text.contains('\\') => self.text[2..].strip_suffix('\'')?,
            TokenKind::DollarString => {
                let tag = self.text[1..].find('$')? + 2;
                return self.text.get(tag..self.text.len() - tag);
            }
            _ => return None,
        };
        (!inner.contains('\'')).then_some(inner)
    }
}

/// A token without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenSpan {
    kind: TokenKind,
    pub(crate) range: Range<usize>,
}

impl TokenSpan {
    /// The token in its text.
    pub(crate) fn in_text<'a>(&self, sql: &'a str) -> Token<'a> {
        Token { kind: self.kind, text: &sql[self.range.clone()], start: self.range.start }
    }
}

/// A string, quoted name or comment that never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unterminated {construct}")]
pub(crate) struct Unterminated {
    pub(crate) construct: &'static str,
    /// The byte at which it begins.
    pub(crate) offset: usize,
}

/// The tokens of a text; what lies between them is white space.
///
/// Ends after the first error.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    sql: &'a str,
    position: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(sql: &'a str) -> Self {
        Self { sql, position: 0 }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, Unterminated>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.sql.as_bytes();
        let start = self.position + run(&bytes[self.position..], is_space);
        if start == bytes.len() {
            return None;
        }
        match scan(&bytes[start..]) {
            Ok((kind, length)) => {
                self.position = start + length;
                Some(Ok(Token { kind, text: &self.sql[start..self.position], start }))
            }
            Err(construct) => {
                self.position = bytes.len();
                Some(Err(Unterminated { construct, offset: start }))
            }
        }
    }
}

/// One statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatementSpan {
    /// From its first to its last token, without the semicolon and without comments around it.
    pub(crate) range: Range<usize>,
    /// The line it starts on, counted from 1.
    pub(crate) line: usize,
}

/// One statement with its tokens, comments left out; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatementTokens<'a> {
    pub(crate) span: StatementSpan,
    pub(crate) tokens: Vec<Token<'a>>,
}

/// The statements of a text, in order. Empty ones are left out.
///
/// Ends after the first error, which comes in place of the statement it is in.
#[derive(Clone, Debug)]
pub(crate) struct Statements<'a> {
    lexer: Lexer<'a>,
    line: usize,
    counted_to: usize,
    comments: Vec<Token<'a>>,
}

impl<'a> Statements<'a> {
    pub(crate) fn of(sql: &'a str) -> Self {
        Self { lexer: Lexer::new(sql), line: 1, counted_to: 0, comments: Vec::new() }
    }

    /// The comments that were met so far, inside of statements and around them.
    pub(crate) fn comments(&self) -> &[Token<'a>] {
        &self.comments
    }

    /// Passes over the data that follow a `COPY … FROM STDIN`: from the next line to the one that is `\.`, or to
    /// the end. Answers where they are.
    pub(crate) fn skip_copy_data(&mut self) -> Range<usize> {
        let sql = self.lexer.sql;
        let rest = &sql[self.lexer.position..];
        let mut lines = rest.split_inclusive('\n');
        let first = lines.next().map_or(0, str::len);
        let start = self.lexer.position + first;
        let mut end = start;
        for line in lines {
            end += line.len();
            if line.trim_end_matches(['\r', '\n']) == "\\." {
                break;
            }
        }
        self.lexer.position = end;
        start..end
    }

    /// `None` without any tokens.
    fn statement(&mut self, tokens: Vec<Token<'a>>) -> Option<StatementTokens<'a>> {
        let range = tokens.first()?.start..tokens.last()?.end();
        self.line += line_breaks(self.lexer.sql, self.counted_to..range.start);
        self.counted_to = range.start;
        Some(StatementTokens { span: StatementSpan { range, line: self.line }, tokens })
    }
}

impl<'a> Iterator for Statements<'a> {
    type Item = Result<StatementTokens<'a>, Unterminated>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut tokens = Vec::new();
        let mut nesting = Nesting::default();
        for token in self.lexer.by_ref() {
            match token {
                Err(error) => return Some(Err(error)),
                Ok(comment) if comment.is_comment() => self.comments.push(comment),
                Ok(token) if token.kind == TokenKind::Semicolon && nesting.is_top_level() => {
                    if !tokens.is_empty() {
                        break;
                    }
                }
                Ok(token) => {
                    nesting.follow(token);
                    tokens.push(token);
                }
            }
        }
        self.statement(tokens).map(Ok)
    }
}

/// The depth of the next token inside one statement.
#[derive(Debug, Default)]
struct Nesting<'a> {
    parentheses: usize,
    /// Open `BEGIN ATOMIC` and, inside it, open `CASE`: both close with `END`.
    blocks: usize,
    opening: Opening,
    previous: Option<Token<'a>>,
}

/// The beginning of a statement, as far as it is that of `CREATE [OR REPLACE] FUNCTION` or `PROCEDURE`, the only ones
/// whose body may be `BEGIN ATOMIC`. Elsewhere the two words are a column and its alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Opening {
    #[default]
    Nothing,
    Create,
    Or,
    Replace,
    Routine,
    SomethingElse,
}

impl Opening {
    fn with(self, token: Token<'_>) -> Self {
        match self {
            Self::Nothing if token.is_keyword("create") => Self::Create,
            Self::Create if token.is_keyword("or") => Self::Or,
            Self::Or if token.is_keyword("replace") => Self::Replace,
            Self::Create | Self::Replace if token.is_one_of("function procedure") => Self::Routine,
            Self::Routine => Self::Routine,
            _ => Self::SomethingElse,
        }
    }
}

impl<'a> Nesting<'a> {
    fn is_top_level(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    fn follow(&mut self, token: Token<'a>) {
        self.opening = self.opening.with(token);
        match token.kind {
            TokenKind::Punctuation if token.text == "(" => self.parentheses += 1,
            TokenKind::Punctuation if token.text == ")" => {
                self.parentheses = self.parentheses.saturating_sub(1);
            }
            TokenKind::Word if self.opening == Opening::Routine => self.follow_word(token),
            _ => {}
        }
        self.previous = Some(token);
    }

    fn follow_word(&mut self, word: Token<'a>) {
        // `AS end` and `period.end` are names, although END and CASE are reserved everywhere else.
        let is_name = self.previous.is_some_and(|token| token.is_keyword("as") || token.is_punctuation("."));
        let follows_begin = self.previous.is_some_and(|token| token.is_keyword("begin"));
        if self.blocks == 0 {
            let opens = follows_begin && self.parentheses == 0 && word.is_keyword("atomic");
            self.blocks += usize::from(opens);
        } else if word.is_keyword("case") && !is_name {
            self.blocks += 1;
        } else if word.is_keyword("end") && !is_name {
            self.blocks -= 1;
        }
    }
}

/// Returns true for a statement that begins with these words, which are separated by spaces.
pub(crate) fn begins_with(tokens: &[Token<'_>], words: &str) -> bool {
    let mut words = words.split(' ').zip(1..);
    words.all(|(word, count)| tokens.get(count - 1).is_some_and(|token| token.is_keyword(word)))
}

/// Line and column of a byte offset, both counted from 1, the column in characters.
///
/// An offset past the end means the end. Lines end as editors have it, and as a comment of the server does: with
/// LF, with CR LF, or with CR alone.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let offset = text.floor_char_boundary(offset);
    let line_start = (0..offset).rev().find(|at| ends_line(text.as_bytes(), *at)).map_or(0, |end| end + 1);
    (line_breaks(text, 0..offset) + 1, text[line_start..offset].chars().count() + 1)
}

/// The byte offset of a position as PostgreSQL reports it: in characters, from 1.
///
/// The position right after the last character is the end of the text; past that it is `None`.
pub(crate) fn byte_offset(text: &str, position: usize) -> Option<usize> {
    let mut offsets = text.char_indices().map(|(offset, _)| offset).chain([text.len()]);
    offsets.nth(position.checked_sub(1)?)
}

fn line_breaks(text: &str, range: Range<usize>) -> usize {
    range.filter(|at| ends_line(text.as_bytes(), *at)).count()
}

fn ends_line(text: &[u8], at: usize) -> bool {
    text[at] == b'\n' || text[at] == b'\r' && text.get(at + 1) != Some(&b'\n')
}

type Scanned = Result<(TokenKind, usize), &'static str>;

/// Kind and length of the token at the start of `rest`, which begins with no white space.
fn scan(rest: &[u8]) -> Scanned {
    match *rest {
        [b'-', b'-', ..] => Ok((TokenKind::LineComment, line_length(rest))),
        [b'/', b'*', ..] => terminated(TokenKind::BlockComment, block_comment(rest), "comment"),
        [b'\\', ..] => Ok((TokenKind::MetaCommand, line_length(rest))),
        [b';', ..] => Ok((TokenKind::Semicolon, 1)),
        [b'\'', ..] => string(TokenKind::String, rest, 1),
        [b'n' | b'N', b'\'', ..] => string(TokenKind::String, rest, 2),
        [b'e' | b'E', b'\'', ..] => string(TokenKind::EscapeString, rest, 2),
        [b'b' | b'B' | b'x' | b'X', b'\'', ..] => string(TokenKind::BitString, rest, 2),
        [b'u' | b'U', b'&', b'\'', ..] => string(TokenKind::UnicodeString, rest, 3),
        [b'u' | b'U', b'&', b'"', ..] => quoted_name(TokenKind::UnicodeName, rest, 3),
        [b'"', ..] => quoted_name(TokenKind::QuotedName, rest, 1),
        [b'$', ..] => dollar(rest),
        [b'.', b'0'..=b'9', ..] | [b'0'..=b'9', ..] => Ok((TokenKind::Number, number(rest))),
        [first, ..] if is_name_start(first) => Ok((TokenKind::Word, run(rest, is_name_part))),
        [first, ..] if is_operator(first) => Ok((TokenKind::Operator, operator(rest))),
        [b'(' | b')' | b'[' | b']' | b',' | b'.' | b':', ..] => Ok((TokenKind::Punctuation, 1)),
        _ => Ok((TokenKind::Other, 1)),
    }
}

fn terminated(kind: TokenKind, length: Option<usize>, construct: &'static str) -> Scanned {
    length.map(|length| (kind, length)).ok_or(construct)
}

fn block_comment(rest: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (1, 2);
    while depth > 0 {
        match rest.get(at..)? {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            [] => return None,
            _ => at += 1,
        }
    }
    Some(at)
}

fn string(kind: TokenKind, rest: &[u8], body: usize) -> Scanned {
    let escapes = kind == TokenKind::EscapeString;
    let mut at = body;
    loop {
        match rest.get(at..) {
            Some([b'\\', ..]) if escapes => at += 2,
            Some([b'\'', b'\'', ..]) => at += 2,
            Some([b'\'', after @ ..]) => match continuation(after) {
                Some(length) => at += 1 + length,
                None => return Ok((kind, at + 1)),
            },
            Some([_, ..]) => at += 1,
            Some([]) | None => return Err("string"),
        }
    }
}

/// A quote after white space that contains a line break goes on with the string before it, and with
/// its kind of escapes. Returns the length up to and with that quote.
fn continuation(after: &[u8]) -> Option<usize> {
    let (mut at, mut line_break) = (0, false);
    loop {
        match after.get(at..)? {
            [b'\'', ..] if line_break => return Some(at + 1),
            [b'-', b'-', ..] => at += line_length(&after[at..]),
            &[space, ..] if is_space(space) => {
                line_break |= is_line_break(space);
                at += 1;
            }
            _ => return None,
        }
    }
}

fn quoted_name(kind: TokenKind, rest: &[u8], body: usize) -> Scanned {
    let mut at = body;
    loop {
        match rest.get(at..) {
            Some([b'"', b'"', ..]) => at += 2,
            Some([b'"', ..]) => return Ok((kind, at + 1)),
            Some([_, ..]) => at += 1,
            Some([]) | None => return Err("quoted identifier"),
        }
    }
}

/// A parameter, a dollar-quoted string, or a lone `$`.
fn dollar(rest: &[u8]) -> Scanned {
    let digits = run(&rest[1..], |byte| byte.is_ascii_digit());
    if digits > 0 {
        return Ok((TokenKind::Parameter, 1 + digits));
    }
    let tag = match rest[1..] {
        [first, ..] if is_name_start(first) => run(&rest[1..], |byte| byte != b'$' && is_name_part(byte)),
        _ => 0,
    };
    if rest.get(1 + tag) != Some(&b'$') {
        return Ok((TokenKind::Other, 1));
    }
    let (quote, body) = rest.split_at(tag + 2);
    let end = body.windows(quote.len()).position(|window| window == quote);
    terminated(TokenKind::DollarString, end.map(|end| end + 2 * quote.len()), "dollar-quoted string")
}

fn number(rest: &[u8]) -> usize {
    if let [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', digit, ..] = rest
        && digit.is_ascii_hexdigit()
    {
        return 2 + run(&rest[2..], |byte| byte.is_ascii_hexdigit() || byte == b'_');
    }
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    let mut length = run(rest, is_digit);
    // `1..10` is a range in PL/pgSQL: no number takes the first of two points.
    if rest.get(length) == Some(&b'.') && rest.get(length + 1) != Some(&b'.') {
        length += 1 + run(&rest[length + 1..], is_digit);
    }
    length
        + match rest[length..] {
            [b'e' | b'E', b'+' | b'-', b'0'..=b'9', ..] => 2 + run(&rest[length + 2..], is_digit),
            [b'e' | b'E', b'0'..=b'9', ..] => 1 + run(&rest[length + 1..], is_digit),
            _ => 0,
        }
}

/// A run of operator characters ends where a comment starts.
fn operator(rest: &[u8]) -> usize {
    let length = run(rest, is_operator);
    let comment = rest[..length].windows(2).position(|pair| matches!(pair, b"--" | b"/*"));
    comment.unwrap_or(length)
}

fn line_length(rest: &[u8]) -> usize {
    run(rest, |byte| !is_line_break(byte))
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| !belongs(byte)).unwrap_or(bytes.len())
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c')
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Every byte of a character outside ASCII may be in a name, even a no-break space.
fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

fn is_name_part(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}

#[cfg(test)]
mod tests;
