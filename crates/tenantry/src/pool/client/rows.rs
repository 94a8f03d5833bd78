//! Rows as they come, through tokio-postgres.

use std::borrow::BorrowMut;

use futures_util::stream::{BoxStream, Stream};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::call::{Call, NamedTypes};
use super::checkout::ClientCheckout;
use super::driver::ClientDriver;
use super::ending::{conclude, note_switch};
use super::pipeline::{Pipeline, PipelineError, Query, Rows};
use super::statements::Owner;
use crate::error::Result;
use crate::pool::await_point::{AwaitPoint, at};
use crate::pool::lease::{Activity, Exchange};

/// A statement with its parameters, for a stream that borrows nothing of them.
pub(super) struct OwnedCall<P> {
    pub(super) sql: String,
    pub(super) parameters: Vec<P>,
    pub(super) types: Vec<Type>,
    pub(super) named: Option<Box<dyn NamedTypes>>,
    pub(super) is_single: bool,
}

/// A parameter, whoever owns it.
pub(super) trait Parameter: Send + Sync {
    fn as_parameter(&self) -> &(dyn ToSql + Sync);
}

impl Parameter for Box<dyn ToSql + Send + Sync> {
    fn as_parameter(&self) -> &(dyn ToSql + Sync) {
        &**self
    }
}

impl<P: Parameter> OwnedCall<P> {
    /// A statement whose parameters have the types that the server infers.
    pub(super) fn new(sql: String, parameters: Vec<P>) -> Self {
        Self { sql, parameters, types: Vec::new(), named: None, is_single: false }
    }

    pub(super) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.parameters.iter().map(P::as_parameter).collect()
    }

    pub(super) fn call<'a>(&'a self, parameters: &'a [&'a (dyn ToSql + Sync)]) -> Call<'a> {
        let named = self.named.as_deref();
        Call { sql: &self.sql, parameters, types: &self.types, named, is_single: self.is_single }
    }
}

impl ClientCheckout {
    /// Runs a statement and hands out its rows as they come. If the stream is dropped before its end, somebody else
    /// reads the rest of the answer.
    ///
    /// ```no_run
    /// # async fn example(client: tenantry::pool::TenantClient) -> tenantry::Result<()> {
    /// use futures_util::TryStreamExt as _;
    ///
    /// let mut tx = client.begin().await?;
    /// tx.execute("DELETE FROM note WHERE id < 100", &[]).await?;
    /// let mut rows = tx.query_raw("SELECT title FROM note WHERE id > $1", vec![Box::new(7_i64)]);
    /// while let Some(row) = rows.try_next().await? {
    ///     println!("{}", row.get::<_, String>(0));
    /// }
    /// drop(rows);
    /// tx.commit().await
    /// # }
    /// ```
    ///
    /// Its errors are those of [`query`](Self::query).
    pub fn query_raw(
        &mut self,
        sql: &str,
        parameters: Vec<Box<dyn ToSql + Send + Sync>>,
    ) -> BoxStream<'_, Result<Row>> {
        Box::pin(rows(self, OwnedCall::new(sql.to_owned(), parameters)))
    }
}

/// Sends a statement, and answers when its rows are about to come.
async fn begin<'r>(
    exchange: &'r mut Exchange<'_, ClientDriver>,
    pipeline: Pipeline<'_>,
    whose: (Owner, &str),
    call: &Call<'_>,
) -> Result<Rows<'r>, PipelineError> {
    let prepare = exchange.prepare(pipeline, whose, call);
    let (pipeline, statement) = at(AwaitPoint::Statement, prepare).await?;
    // What is cut off while it is prepared is known to the server alone, for ever.
    exchange.allow_draining();
    at(AwaitPoint::Statement, exchange.begin_rows(pipeline, call, statement)).await
}

/// Runs a statement and hands out its rows as they come, each as soon as it is known what is behind it. So whoever
/// takes the only row of an answer, and leaves, has not cut that off, and was told of what fails at its end.
pub(super) fn rows<'a, C, P>(checkout: C, call: OwnedCall<P>) -> impl Stream<Item = Result<Row>> + Send + 'a
where
    C: BorrowMut<ClientCheckout> + Send + 'a,
    P: Parameter + 'a,
{
    async_stream::try_stream! {
        let mut whole = checkout;
        let checkout: &mut ClientCheckout = whole.borrow_mut();
        let parameters = call.parameters();
        let call = call.call(&parameters);
        checkout.settle().await?;
        checkout.note_effect(call.sql)?;
        let (marked, is_traced) = checkout.marks.text_and_trace(call.sql);
        let call = Call { sql: &marked, is_single: call.is_single || is_traced, ..call };
        let (owner, schema) = checkout.whose();
        let query = Query::Statement { owner, schema: schema.as_str(), call };
        let mut may_try_again = checkout.may_try_again();
        let (mut last, mut sent) = (None, None);
        let answer = loop {
            let pipeline = Pipeline::of(query, checkout.switch_ahead.as_deref(), checkout.purpose);
            let begins = pipeline.begins();
            let mut exchange = checkout.lease.begin(Activity::Call);
            exchange.is_in_transaction |= begins;
            let end = match begin(&mut exchange, pipeline, (owner, schema.as_str()), &call).await {
                Ok(mut rows) => {
                    if begins {
                        sent = checkout.switch_ahead.take();
                    }
                    let end = loop {
                        match at(AwaitPoint::Statement, rows.next()).await {
                            Ok(Some(row)) => {
                                if let Some(row) = last.replace(row) {
                                    yield row;
                                }
                            }
                            Ok(None) => break Ok(()),
                            Err(error) => break Err(PipelineError::Query(error)),
                        }
                    };
                    end.and(at(AwaitPoint::Statement, rows.end()).await)
                }
                Err(failure) => Err(failure),
            };
            let is_stale = end.as_ref().is_err_and(PipelineError::is_stale_plan);
            if is_stale {
                // It would fail for ever, and what is known of types may be as old.
                exchange.forget();
            }
            let end = conclude(exchange, end);
            let switch_ahead = sent.as_deref().or(checkout.switch_ahead.as_deref());
            let end = note_switch(&mut checkout.lease, switch_ahead, end);
            if begins {
                checkout.switch_ahead = None;
            }
            if !(is_stale && std::mem::take(&mut may_try_again)) {
                break end;
            }
        };
        if let Err(error) = answer {
            Err(checkout.explain(error).await)?;
        }
        drop(whole);
        if let Some(row) = last {
            yield row;
        }
    }
}
