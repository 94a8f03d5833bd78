//! The answer of a schema, on its way from who runs the statements to who prints.
use sqlx::postgres::PgRow;
use sqlx::{Column as _, Row as _, TypeInfo as _};
use tokio::sync::mpsc;

use super::value::Kind;
use crate::failure::Report;
use crate::notices::Notice;

/// Pieces are handed over when they are about as large as this.
const PAGE_BYTES: usize = 64 * 1024;
/// Pages that may wait for the printer. Who has more to say waits himself.
const PAGES: usize = 2;

/// A column of the rows to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A piece of an answer.
#[derive(Debug)]
pub(super) enum Piece {
    Columns(Vec<Column>),
    Row(Vec<Option<String>>),
    /// The server has said something beside its answer.
    Notice(Notice),
    /// A statement is done and has affected this many rows.
    Done(u64),
    /// The last piece, and the error if there was one. Without it, the answer was cut off.
    End(Option<Report>),
}

/// The end of an answer at which it is printed.
pub(super) type Pieces = mpsc::Receiver<Vec<Piece>>;

/// The end of an answer at which it is given. Holds one page, and as many more as may wait.
#[derive(Debug)]
pub(super) struct Answer {
    pages: mpsc::Sender<Vec<Piece>>,
    page: Vec<Piece>,
    bytes: usize,
    are_columns_known: bool,
}

impl Answer {
    pub(super) fn begin() -> (Self, Pieces) {
        let (pages, pieces) = mpsc::channel(PAGES);
        (Self { pages, page: Vec::new(), bytes: 0, are_columns_known: false }, pieces)
    }

    /// Returns true if nobody prints it any more.
    pub(super) fn is_unwanted(&self) -> bool {
        self.pages.is_closed()
    }

    /// Adds a row, and waits while too much is not printed yet.
    pub(super) async fn push(&mut self, row: &PgRow) -> Result<(), tenantry::Error> {
        if !self.are_columns_known {
            let columns = row.columns().iter().map(|column| Column {
                name: column.name().to_owned(),
                kind: Kind::of(column.type_info().name()),
            });
            self.page.push(Piece::Columns(columns.collect()));
            self.are_columns_known = true;
        }
        let cells = (0..row.len()).map(|index| row.try_get_unchecked::<Option<String>, _>(index));
        let cells = cells.collect::<Result<Vec<_>, sqlx::Error>>()?;
        self.bytes += size_of_val(&*cells) + cells.iter().flatten().map(String::len).sum::<usize>();
        self.page.push(Piece::Row(cells));
        if self.bytes >= PAGE_BYTES {
            self.hand_over().await;
        }
        Ok(())
    }

    /// Adds what the server said.
    pub(super) async fn push_notices(&mut self, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        self.page.extend(notices.into_iter().map(Piece::Notice));
        self.hand_over().await;
    }

    /// Notes that a statement is done. If the printer has nothing to do, it gets what there is.
    pub(super) async fn end_statement(&mut self, affected: u64) {
        self.page.push(Piece::Done(affected));
        self.bytes += size_of::<Piece>();
        self.are_columns_known = false;
        if self.bytes >= PAGE_BYTES || self.pages.capacity() > 0 {
            self.hand_over().await;
        }
    }

    /// Hands over what is left.
    pub(super) async fn end(mut self, failure: Option<Report>) {
        self.page.push(Piece::End(failure));
        self.hand_over().await;
    }

    async fn hand_over(&mut self) {
        self.bytes = 0;
        // Nobody prints it any more.
        let _ = self.pages.send(std::mem::take(&mut self.page)).await;
    }
}
