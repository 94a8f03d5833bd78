use std::ops::Range;
use std::sync::Arc;

use sqlx::SqlSafeStr as _;

use super::{
    around::{Around, Bracket},
    code,
    concurrently::{IndexStep, is_setting},
    divided,
    error::{MigrationError, Problem},
    plain_dump, psql,
    reach::FileReach,
    refusal::{Refusal, is_followed_by_data},
    silence::is_silenced,
    text::{FileText, blanked},
    types,
};
use crate::sql::lexer::{StatementSpan, StatementTokens, Statements, Token, TokenSpan};

/// One migration file whose text was read.
///
/// It is *accepted* if it is complete SQL, split into statements, and none of them would end the transaction or
/// leave the schema it is run in. One that is not has its place in a set all the same, because some schema may
/// have applied it long ago; only a [`Change`](crate::migrate::Change) is the proof that it may run.
#[derive(Clone, Debug)]
pub struct Script(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: FileText,
    may_change_types: bool,
    reach: FileReach,
    may_reach_outside: bool,
    // sqlx's own type, so that its rules for checksum and `-- no-transaction` stay its own.
    source: sqlx::migrate::Migration,
    /// The tokens of all statements, in their order.
    tokens: Vec<TokenSpan>,
    comments: Vec<TokenSpan>,
    refusals: Vec<MigrationError>,
}

impl Script {
    /// Reads the text, once: the script keeps its tokens, and nobody reads it again.
    pub(super) fn parse(file: String, source: sqlx::migrate::Migration) -> Self {
        let Reading { statements, tokens, comments, may_change_types, reach, mut problems, transaction } =
            read(&source);
        if is_code(source.sql.as_str())
            && let Some(statement) = statements.first()
        {
            problems.push((statement.line, Problem::CodeWithStatements));
        }
        let error = |(line, problem)| {
            MigrationError::at_line(file.as_str(), line, problem).of_version(source.version)
        };
        let refusals = problems.into_iter().map(error).collect();
        let sql = match &transaction {
            Some(parts) => blanked(source.sql.as_str(), parts),
            None => source.sql.clone(),
        };
        let text = FileText::new(&file, sql, statements);
        let is_silenced = |rule| is_silenced(source.sql.as_str(), rule);
        let may_reach_outside = is_silenced("outside-name") || is_silenced("database-wide");
        Self(Arc::new(Inner {
            text,
            may_change_types,
            reach,
            may_reach_outside,
            source,
            tokens,
            comments,
            refusals,
        }))
    }

    /// Reads SQL that is no migration, and is to stay in its schema like one.
    pub(crate) fn of_sql(file: &str, sql: String) -> Self {
        let sql = sqlx::AssertSqlSafe(sql).into_sql_str();
        let kind = sqlx::migrate::MigrationType::Simple;
        let is_without_transaction = sql.as_str().starts_with("-- no-transaction");
        let source =
            sqlx::migrate::Migration::new(0, file.to_owned().into(), kind, sql, is_without_transaction);
        Self::parse(file.to_owned(), source)
    }

    /// The lines that no migration may hold. There are none if it is accepted.
    pub fn refusals(&self) -> &[MigrationError] {
        &self.0.refusals
    }

    /// The file's path, or its name where it was compiled in.
    pub fn file(&self) -> &str {
        self.0.text.file()
    }

    /// The text, exactly as it is in the file.
    pub fn sql(&self) -> &str {
        self.0.source.sql.as_str()
    }

    /// Returns true if it runs in a transaction; its first line would be `-- no-transaction` otherwise.
    pub fn is_transactional(&self) -> bool {
        !self.0.source.no_tx
    }

    /// Returns true if it stands for a function of the application; its first line would be `-- code`.
    pub fn is_code(&self) -> bool {
        is_code(self.sql())
    }

    /// Returns true if it is SQL that can share a transaction with other files.
    pub fn is_plain(&self) -> bool {
        self.is_transactional() && !self.is_code()
    }

    /// Returns true if the schema may own other types afterwards.
    pub(crate) fn may_change_types(&self) -> bool {
        self.0.may_change_types
    }

    /// The objects that it may change.
    pub(crate) fn reach(&self) -> &FileReach {
        &self.0.reach
    }

    /// Returns true if a comment in it says that it changes what is outside of the schema.
    pub(crate) fn may_reach_outside(&self) -> bool {
        self.0.may_reach_outside
    }

    /// The text that is sent: a `BEGIN` and a `COMMIT` around the whole file are left out.
    pub(crate) fn text(&self) -> &FileText {
        &self.0.text
    }

    pub(crate) fn statements(&self) -> &[StatementSpan] {
        self.0.text.statements()
    }

    /// The indexes that it builds and drops, if a file without transaction does nothing else but make settings.
    pub(crate) fn index_steps(&self) -> Option<Vec<IndexStep>> {
        let statements = self.statements().iter().map(|statement| self.tokens_of(statement));
        let steps = statements.filter(|tokens| !is_setting(tokens)).map(|tokens| IndexStep::of(&tokens));
        steps.collect::<Option<Vec<_>>>().filter(|steps| !self.is_transactional() && !steps.is_empty())
    }

    /// The tokens of one of its statements, comments left out; their `start` counts from the beginning of the file.
    pub(crate) fn tokens_of(&self, statement: &StatementSpan) -> Vec<Token<'_>> {
        let index_at = |offset| self.0.tokens.partition_point(|token| token.range.start < offset);
        let tokens = &self.0.tokens[index_at(statement.range.start)..index_at(statement.range.end)];
        tokens.iter().map(|token| token.in_text(self.sql())).collect()
    }

    /// The comments of the file, but for those inside of strings.
    pub(super) fn comments(&self) -> impl Iterator<Item = Token<'_>> {
        self.0.comments.iter().map(|comment| comment.in_text(self.sql()))
    }

    pub(super) fn source(&self) -> &sqlx::migrate::Migration {
        &self.0.source
    }
}

fn is_code(sql: &str) -> bool {
    sql.split(['\n', '\r']).next().is_some_and(|line| line.trim_end() == code::MARK)
}

/// The statements of a file, and what is wrong on which line.
#[derive(Default)]
struct Reading {
    statements: Vec<StatementSpan>,
    tokens: Vec<TokenSpan>,
    comments: Vec<TokenSpan>,
    may_change_types: bool,
    reach: FileReach,
    problems: Vec<(usize, Problem)>,
    /// The places of `BEGIN` and `COMMIT`, where they are around the whole file.
    transaction: Option<[Range<usize>; 2]>,
}

fn read(source: &sqlx::migrate::Migration) -> Reading {
    let mut around = Around::default();
    let mut reading = read_statements(source, &mut around);
    match around.close() {
        Ok(transaction) => reading.transaction = transaction,
        Err(alone) => reading.refuse(alone),
    }
    reading.recognise_dump(source.sql.as_str());
    reading.problems.sort_by_key(|(line, _)| *line);
    reading
}

fn read_statements(source: &sqlx::migrate::Migration, around: &mut Around) -> Reading {
    let (sql, transactional) = (source.sql.as_str(), !source.no_tx);
    let mut reading = Reading { problems: unreadable(sql), ..Reading::default() };
    let mut statements = Statements::of(sql);
    let mut alone = Alone::default();
    while let Some(statement) = statements.next() {
        let StatementTokens { span, tokens } = match statement {
            Ok(statement) => statement,
            Err(error) => {
                reading.problems.push((line_of(sql, error.offset), error.into()));
                return reading;
            }
        };
        if transactional {
            let (is_taken, was_not_last) = around.take(&span, &tokens);
            reading.refuse(was_not_last);
            if is_taken {
                continue;
            }
        }
        reading.judge(sql, &tokens, transactional);
        if psql::without_commands(&tokens).last().is_some_and(is_followed_by_data) {
            statements.skip_copy_data();
        }
        alone.count(&tokens, span.line);
        reading.may_change_types |= types::may_change(&tokens);
        reading.reach = std::mem::take(&mut reading.reach).and(FileReach::of(&tokens));
        reading.tokens.extend(tokens.iter().map(Token::span));
        reading.statements.push(span);
    }
    if let Some((comment, tool)) = divided::divides(statements.comments()) {
        let problem = Problem::Divided { comment: comment.text.trim_end().to_owned(), tool };
        reading.problems.push((line_of(sql, comment.start), problem));
    }
    reading.comments = statements.comments().iter().map(Token::span).collect();
    if !transactional && reading.problems.is_empty() {
        reading.problems.extend(alone.problem());
    }
    reading
}

impl Reading {
    /// Names what no migration may hold in one statement, as far as the server would see one.
    fn judge(&mut self, sql: &str, tokens: &[Token<'_>], transactional: bool) {
        let refused = psql::without_commands(tokens)
            .filter_map(|part| Some((part.first()?.start, refusal(part, transactional)?)));
        let found = psql::remnants(tokens).into_iter().chain(refused);
        self.problems.extend(found.map(|(offset, refusal)| (line_of(sql, offset), refusal.into())));
    }

    /// Says once that the file is a dump, in place of what is wrong with each of its lines.
    fn recognise_dump(&mut self, sql: &str) {
        let is_refused = |(_, problem): &(usize, Problem)| matches!(problem, Problem::Refused(_));
        let count = self.problems.iter().filter(|it| is_refused(it)).count();
        if count > 0
            && let Some(line) = plain_dump::shown_on(sql)
        {
            self.problems.retain(|problem| !is_refused(problem));
            self.problems.push((line, Problem::Dump { count }));
        }
    }

    fn refuse(&mut self, brackets: Vec<Bracket>) {
        let problem =
            |bracket: Bracket| (bracket.span.line, Refusal::TransactionControl(bracket.command).into());
        self.problems.extend(brackets.into_iter().map(problem));
    }
}

/// The statements of a file without transaction, settings at its beginning left out.
#[derive(Default)]
struct Alone {
    settings: usize,
    statements: usize,
    second_line: Option<usize>,
    /// One does not tell how far it came.
    is_mute: bool,
}

impl Alone {
    fn count(&mut self, tokens: &[Token<'_>], line: usize) {
        if self.statements == 0 && is_setting(tokens) {
            self.settings += 1;
            return;
        }
        self.statements += 1;
        self.is_mute |= IndexStep::of(tokens).is_none();
        if self.statements == 2 {
            self.second_line = Some(line);
        }
    }

    /// Of several, each must tell by itself how far it came.
    fn problem(self) -> Option<(usize, Problem)> {
        let statements = self.statements;
        let is_wrong = statements + self.settings == 0 || statements > 1 && self.is_mute;
        is_wrong.then_some((self.second_line.unwrap_or(1), Problem::NotOneStatement { statements }))
    }
}

/// The characters that no file may hold anywhere.
fn unreadable(sql: &str) -> Vec<(usize, Problem)> {
    let mark = sql.starts_with('\u{feff}').then_some((1, Problem::ByteOrderMark));
    let nul = sql.find('\0').map(|offset| (line_of(sql, offset), Problem::Nul));
    mark.into_iter().chain(nul).collect()
}

fn refusal(tokens: &[Token<'_>], transactional: bool) -> Option<Refusal> {
    Refusal::of(tokens).or_else(|| if transactional { Refusal::in_transaction(tokens) } else { None })
}

fn line_of(sql: &str, offset: usize) -> usize {
    crate::sql::lexer::line_and_column(sql, offset).0
}

#[cfg(test)]
pub(crate) mod tests;
