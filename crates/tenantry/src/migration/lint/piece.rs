use std::ops::Deref;

use crate::sql::lexer::{Lexer, Token, TokenKind};

/// A statement of a file, taken apart: itself, and what is in the body of its function or `DO` block.
#[derive(Debug)]
pub(super) struct FileReading<'a> {
    pub(super) pieces: Vec<Piece<'a>>,
    /// The comments inside of bodies, which are no tokens of the file.
    pub(super) comments: Vec<Token<'a>>,
}

/// One statement of SQL or PL/pgSQL as tokens without comments; their `start` counts from the beginning
/// of the file. Never empty.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) tokens: Vec<Token<'a>>,
    /// True if it stands in a body, where `INTO` may name a variable.
    pub(super) is_in_body: bool,
}

impl<'a> Deref for Piece<'a> {
    type Target = [Token<'a>];

    fn deref(&self) -> &Self::Target {
        &self.tokens
    }
}

impl<'a> FileReading<'a> {
    pub(super) fn of(tokens: Vec<Token<'a>>) -> Self {
        let mut reading = Self { pieces: Vec::new(), comments: Vec::new() };
        if let Some((body, start)) = body(&tokens) {
            let (tokens, comments) = read(body, start);
            reading.comments = comments;
            reading.add(&tokens, true);
        }
        reading.add(&tokens, false);
        reading
    }

    fn add(&mut self, tokens: &[Token<'a>], is_in_body: bool) {
        let mut tokens = tokens;
        while !tokens.is_empty() {
            let (piece, rest) = tokens.split_at(length_of_first(tokens));
            let ends = piece.last().is_some_and(|last| last.kind == TokenKind::Semicolon);
            let piece = &piece[..piece.len() - usize::from(ends)];
            if !piece.is_empty() {
                self.pieces.push(Piece { tokens: piece.to_vec(), is_in_body });
            }
            tokens = rest;
        }
    }
}

/// The tokens of a body that starts at this byte of the file, and its comments.
fn read(text: &str, start: usize) -> (Vec<Token<'_>>, Vec<Token<'_>>) {
    let tokens = Lexer::new(text).flatten();
    let (comments, tokens) =
        tokens.map(|token| Token { start: start + token.start, ..token }).partition(Token::is_comment);
    (tokens, comments)
}

/// The code in a `DO` block or a function, where its language is one we read, and where it starts.
fn body<'a>(tokens: &[Token<'a>]) -> Option<(&'a str, usize)> {
    let is_do = tokens.first()?.is_keyword("do");
    if !(is_do || creates_function(tokens)) || !is_in_known_language(tokens) {
        return None;
    }
    let is_code = |pair: &[Token<'_>]| {
        let before = if is_do { !pair[0].is_keyword("language") } else { pair[0].is_keyword("as") };
        before && matches!(pair[1].kind, TokenKind::DollarString | TokenKind::String)
    };
    let code = tokens.windows(2).find(|pair| is_code(pair))?[1];
    let text = code.literal()?;
    // Both ends are quoted alike.
    Some((text, code.start + (code.text.len() - text.len()) / 2))
}

fn creates_function(tokens: &[Token<'_>]) -> bool {
    tokens[0].is_keyword("create") && tokens.iter().take(4).any(|token| token.is_one_of("function procedure"))
}

fn is_in_known_language(tokens: &[Token<'_>]) -> bool {
    let language = tokens.windows(2).find(|pair| pair[0].is_keyword("language"));
    let language = language.and_then(|pair| pair[1].name().or(pair[1].literal())).unwrap_or("plpgsql");
    ["sql", "plpgsql"].iter().any(|known| language.eq_ignore_ascii_case(known))
}

/// A statement ends behind its semicolon, and in a body also where a keyword of a block is followed by
/// another statement: `IF … THEN DROP TABLE`.
fn length_of_first(tokens: &[Token<'_>]) -> usize {
    const OPENS_BLOCK: &str = "begin then else loop atomic do also instead";
    const STATEMENT: &str = "create alter drop truncate grant revoke insert update delete select";
    let end = tokens.windows(2).position(|pair| {
        pair[0].kind == TokenKind::Semicolon || pair[0].is_one_of(OPENS_BLOCK) && pair[1].is_one_of(STATEMENT)
    });
    end.map_or(tokens.len(), |last| last + 1)
}
