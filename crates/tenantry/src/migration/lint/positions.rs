use super::piece::Piece;
use crate::sql::lexer::{Token, TokenKind};

/// A place for a name that is not that of a column, a variable or a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// `TABLE a.b`, `JOIN a.b`
    Object,
    /// `FROM a.b, c.d`: a comma goes on with the next, a parenthesis contains more.
    List,
    /// `REFERENCES a.b`
    Referenced,
    /// `COMMENT ON COLUMN a.b.c`, where `b.c` is a column of the tenant's.
    Column,
    /// `SCHEMA a`
    Schema,
    /// The beginning of an expression, where `a.b (` calls a function.
    Expression,
}

/// The position behind each token of a piece, in their order.
pub(super) fn positions(piece: &Piece<'_>) -> Vec<Option<Position>> {
    let mut scan = Scan { piece, frames: vec![Frame::default()] };
    let position = |at| {
        let position = scan.position_behind(at);
        scan.enter(at, position);
        position
    };
    (0..piece.len()).map(position).collect()
}

struct Scan<'a, 'b> {
    piece: &'b Piece<'a>,
    frames: Vec<Frame>,
}

/// The surroundings of a token, in the innermost parentheses.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    /// A query is under way, so `FROM` is its own and not that of `extract(epoch FROM a.b)`.
    reads: bool,
    /// `DELETE FROM` or `MERGE INTO` is under way, whose `USING` is followed by a table.
    takes_using: bool,
    tables: Tables,
}

/// The state of a list of tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tables {
    #[default]
    Nowhere,
    /// Under way: a comma would go on with it.
    UnderWay,
    /// The next name is one of them, and parentheses would contain some.
    Next,
}

/// Words before the kind of an object whose name follows: `DROP FUNCTION a.b`. Without them, kinds are
/// names of columns as often as not.
const BEFORE_KIND: &str =
    "create alter drop replace on materialized temp temporary recursive execute reindex refresh";
const KINDS: &str = "view sequence index function procedure routine aggregate type domain collation statistics \
                     operator conversion";
/// Words behind which an expression begins.
const BEFORE_EXPRESSION: &str = "select distinct all default where having and or not when then else case perform \
                                 call return if elsif while values returning";
/// Words that end a list of tables.
const BEHIND_TABLES: &str = "select where group having order limit offset fetch for window union intersect except \
                             returning set values loop then";

impl Scan<'_, '_> {
    fn position_behind(&self, at: usize) -> Option<Position> {
        let token = &self.piece[at];
        let tables = self.frame().tables;
        match token.text {
            "(" if tables == Tables::Next => Some(Position::List),
            "," if tables != Tables::Nowhere => Some(Position::List),
            "," if self.is_list_of_names() => Some(Position::Object),
            "(" | "," | "[" => Some(Position::Expression),
            _ if token.kind == TokenKind::Operator => Some(Position::Expression),
            _ if token.kind == TokenKind::Word => self.position_behind_word(at),
            _ => None,
        }
    }

    fn position_behind_word(&self, at: usize) -> Option<Position> {
        let token = &self.piece[at];
        let frame = self.frame();
        let follows = |words| self.before(at).is_some_and(|before| before.is_one_of(words));
        let follows_comma = || self.before(at).is_some_and(|before| ["(", ","].contains(&before.text));
        let is_top_level = self.frames.len() == 1;
        let position = match token.text.to_ascii_lowercase().as_str() {
            "references" => Position::Referenced,
            "table" | "join" | "update" => Position::Object,
            "truncate" | "lock" | "copy" | "analyze" | "cluster" | "vacuum" if at == 0 => Position::Object,
            "from" if follows("delete") => Position::Object,
            "from" if frame.reads && !follows("distinct") => Position::List,
            "using" if frame.takes_using => Position::List,
            "into" if follows("insert merge") || !self.piece.is_in_body => Position::Object,
            "of" if follows("partition") => Position::Object,
            "partition" if follows("attach detach") => Position::Object,
            "like" if follows_comma() => Position::Object,
            "inherit" if is_top_level && self.begins_with("alter") => Position::Object,
            "inherits" if is_top_level && self.begins_with("create") => Position::List,
            "column" if follows("on") => Position::Column,
            "by" if follows("owned") => Position::Column,
            "schema" if self.is_schema_named(at) => Position::Schema,
            "on" if is_top_level && self.has_object_behind_on() => Position::Object,
            "to" if is_top_level && self.kind() == Some("rule") => Position::Object,
            _ if is_top_level && token.is_one_of(KINDS) && follows(BEFORE_KIND) => Position::Object,
            _ if token.is_one_of(BEFORE_EXPRESSION) => Position::Expression,
            _ => return None,
        };
        Some(position)
    }

    /// `CREATE SCHEMA a`, `GRANT … IN SCHEMA a`, `ALTER TABLE … SET SCHEMA a`; elsewhere it may be a column.
    fn is_schema_named(&self, at: usize) -> bool {
        let follows = |words| self.before(at).is_some_and(|before| before.is_one_of(words));
        self.begins_with("create alter drop") && at == 1
            || self.begins_with("alter") && follows("in set")
            || self.begins_with("grant revoke comment") && follows("in on")
    }

    /// `CREATE INDEX … ON a.b`, `GRANT … ON a.b`, where `JOIN … ON a.b = c.d` cannot stand.
    fn has_object_behind_on(&self) -> bool {
        match self.kind() {
            _ if self.begins_with("comment grant revoke") => true,
            Some("trigger" | "policy") => self.begins_with("create alter drop"),
            Some("index") => self.begins_with("create"),
            Some("rule") => self.begins_with("alter drop"),
            _ => false,
        }
    }

    /// `DROP TABLE a, b`
    fn is_list_of_names(&self) -> bool {
        self.frames.len() == 1 && self.begins_with("drop truncate lock vacuum analyze grant revoke")
    }

    fn begins_with(&self, words: &str) -> bool {
        self.piece[0].is_one_of(words)
    }

    /// The kind of object that the statement is about, where its `ON` or `TO` matter.
    fn kind(&self) -> Option<&'static str> {
        let kinds = ["table", "view", "index", "trigger", "policy", "rule", "function", "procedure"];
        let kind = |token: &Token<'_>| kinds.into_iter().find(|kind| token.is_keyword(kind));
        self.piece.iter().skip(1).take(4).find_map(kind)
    }

    fn before(&self, at: usize) -> Option<&Token<'_>> {
        Some(&self.piece[at.checked_sub(1)?])
    }

    fn frame(&self) -> Frame {
        self.frames.last().copied().unwrap_or_default()
    }

    /// Follows what is open.
    fn enter(&mut self, at: usize, position: Option<Position>) {
        let token = &self.piece[at];
        let begins_list = position == Some(Position::List);
        match token.text {
            "(" | "[" => {
                let tables = if begins_list { Tables::Next } else { Tables::Nowhere };
                return self.frames.push(Frame { tables, ..Frame::default() });
            }
            ")" | "]" if self.frames.len() > 1 => self.frames.truncate(self.frames.len() - 1),
            _ => {}
        }
        let follows = |word| self.before(at).is_some_and(|before| before.is_keyword(word));
        let takes_using =
            follows("delete") && token.is_keyword("from") || follows("merge") && token.is_keyword("into");
        let mut frame = self.frame();
        frame.reads |= token.is_one_of("select update");
        frame.takes_using |= takes_using;
        frame.tables = match frame.tables {
            _ if begins_list => Tables::Next,
            Tables::Nowhere => Tables::Nowhere,
            _ if token.is_one_of(BEHIND_TABLES) => Tables::Nowhere,
            _ if position == Some(Position::Object) => Tables::Next,
            Tables::Next if is_filler(token) => Tables::Next,
            _ => Tables::UnderWay,
        };
        if let Some(last) = self.frames.last_mut() {
            *last = frame;
        }
    }
}

/// Words that may stand between a keyword and the name it announces.
pub(super) fn is_filler(token: &Token<'_>) -> bool {
    token.is_one_of("if not exists only lateral concurrently")
}
