//! Rows, as Diesel reads them.

use std::error::Error as StdError;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use diesel::QueryResult;
use diesel::pg::{Pg, PgValue};
use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, Stream};
use tokio_postgres::types::{FromSql, Type};

use crate::error::Result;

/// A row of an answer, for Diesel's `FromSqlRow`.
pub struct DieselRow {
    row: tokio_postgres::Row,
    /// The numbers of the columns' types.
    numbers: Arc<[NonZeroU32]>,
}

/// The rows of an answer as they come. If it is dropped before its end, somebody else reads the rest.
pub struct DieselRows<'a> {
    first: Option<DieselRow>,
    rest: BoxStream<'a, Result<tokio_postgres::Row>>,
    numbers: Arc<[NonZeroU32]>,
}

impl<'a> DieselRows<'a> {
    /// Waits for the first row, so that an error of the statement is one here.
    pub(super) async fn begin(mut rows: BoxStream<'a, Result<tokio_postgres::Row>>) -> Result<Self> {
        let first = rows.next().await.transpose()?;
        let columns = first.as_ref().map(tokio_postgres::Row::columns).unwrap_or_default();
        let number = |column: &tokio_postgres::Column| NonZeroU32::new(column.type_().oid());
        let numbers: Arc<[_]> =
            columns.iter().map(|column| number(column).unwrap_or(NonZeroU32::MIN)).collect();
        let first = first.map(|row| DieselRow { row, numbers: Arc::clone(&numbers) });
        Ok(Self { first, rest: rows, numbers })
    }
}

impl Stream for DieselRows<'_> {
    type Item = QueryResult<DieselRow>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let row = ready!(self.rest.poll_next_unpin(context));
        let numbers = &self.numbers;
        Poll::Ready(row.map(|row| Ok(DieselRow { row: row?, numbers: Arc::clone(numbers) })))
    }
}

impl RowSealed for DieselRow {}

impl<'a> Row<'a, Pg> for DieselRow {
    type Field<'f>
        = DieselField<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        self.row.len()
    }

    fn get<'b, I>(&'b self, index: I) -> Option<DieselField<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        Some(DieselField { row: self, index: self.idx(index)? })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for DieselRow {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.row.len()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for DieselRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        self.row.columns().iter().position(|column| column.name() == name)
    }
}

/// A field of a [`DieselRow`].
#[derive(Debug)]
pub struct DieselField<'a> {
    row: &'a DieselRow,
    index: usize,
}

impl<'a> Field<'a, Pg> for DieselField<'a> {
    fn field_name(&self) -> Option<&str> {
        self.row.row.columns().get(self.index).map(tokio_postgres::Column::name)
    }

    fn value(&self) -> Option<PgValue<'_>> {
        let Raw(value) = self.row.row.get(self.index);
        value.map(|value| PgValue::new(value, &self.row.numbers[self.index]))
    }
}

/// The bytes of a value, whatever its type.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl fmt::Debug for DieselRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.row, f)
    }
}

impl fmt::Debug for DieselRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DieselRows").finish_non_exhaustive()
    }
}
