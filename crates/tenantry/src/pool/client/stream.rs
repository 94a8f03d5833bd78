//! Rows as they come, through tokio-postgres.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, pin_mut};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::checkout::ClientCheckout;
use crate::error::{Error, Result};
use crate::pool::await_point::{AwaitPoint, at};
use crate::pool::lease::Activity;

impl ClientCheckout {
    /// Runs a statement and hands out its rows as they come. If this is dropped before its end, somebody else reads the
    /// rest of the answer.
    pub(super) fn fetch<'a>(
        &'a mut self,
        sql: &'a str,
        parameters: &'a [Box<dyn ToSql + Send + Sync>],
    ) -> BoxStream<'a, Result<Row>> {
        Box::pin(async_stream::try_stream! {
            self.settle().await?;
            self.switch_now().await?;
            self.note_effect(sql)?;
            let sql = self.marks.text(sql);
            let (whose, may_try_again) = (self.whose(), self.may_try_again());
            let mut exchange = self.lease.begin(Activity::Call);
            let mut begun = at(AwaitPoint::Statement, exchange.begin_rows(&whose, &sql, parameters)).await;
            if begun.as_ref().is_err_and(Error::is_stale_plan) {
                // It would fail for ever, and what is known of types may be as old.
                exchange.forget();
                if may_try_again {
                    begun = at(AwaitPoint::Statement, exchange.begin_rows(&whose, &sql, parameters)).await;
                }
            }
            let mut failure = None;
            match begun {
                Ok(rows) => {
                    exchange.allow_draining();
                    pin_mut!(rows);
                    while let Some(row) = at(AwaitPoint::Statement, rows.next()).await {
                        match row {
                            Ok(row) => yield row,
                            Err(error) => {
                                failure = Some(Error::from(error));
                                break;
                            }
                        }
                    }
                }
                Err(error) => failure = Some(error),
            }
            match failure {
                None => exchange.finish(),
                Some(error) => {
                    let error = exchange.fail(error);
                    Err(self.explain(error).await)?;
                }
            }
        })
    }
}
