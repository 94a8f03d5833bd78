//! sqlx's `Executor` for what this pool hands out.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Describe, Either, Error, Execute, Executor, SqlStr};

use super::checkout::Checkout;
use super::db::{MasterDb, TenantDb};
use super::lease::Activity;
use super::statement::Statement;

type Results<'e> = BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>;

impl<'c> Executor<'c> for &'c mut Checkout {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Results<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.run_statement(Statement::take(query))
    }

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = Statement::take(query);
        Box::pin(async move { self.affected(statement?).await })
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = Statement::take(query);
        Box::pin(async move { self.all_rows(statement?).await })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let statement = Statement::take(query);
        Box::pin(async move { self.first_row(statement?).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            self.pool.refuse_behind_pooler("preparing a statement ahead")?;
            self.settle().await?;
            let prepare = self.lease.exchange(Activity::Call, async |_, connection| {
                connection.prepare_with(sql, parameters).await
            });
            prepare.await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            self.pool.refuse_behind_pooler("describing a statement")?;
            self.settle().await?;
            let describe =
                self.lease.exchange(Activity::Call, async |_, connection| connection.describe(sql).await);
            describe.await
        })
    }
}

macro_rules! executor_per_statement {
    ($handle:ident) => {
        impl $handle {
            /// Runs one statement for its first row.
            pub(super) async fn first_row(&self, statement: Statement) -> Result<Option<PgRow>, Error> {
                self.access().checkout_for(&statement).await?.first_row(statement).await
            }

            /// Runs one statement for all of its rows.
            pub(super) async fn all_rows(&self, statement: Statement) -> Result<Vec<PgRow>, Error> {
                self.access().checkout_for(&statement).await?.all_rows(statement).await
            }

            /// Runs one statement, or a message of several, for the number of rows that it changes.
            pub(super) async fn affected(&self, statement: Statement) -> Result<PgQueryResult, Error> {
                self.access().checkout_for(&statement).await?.affected(statement).await
            }
        }

        impl<'c> Executor<'c> for &'c $handle {
            type Database = Postgres;

            fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Results<'e>
            where
                'c: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let statement = Statement::take(query);
                Box::pin(async_stream::try_stream! {
                    let statement = statement?;
                    let mut checkout = self.access().checkout_for(&statement).await?;
                    let mut results = checkout.run_statement(Ok(statement));
                    while let Some(result) = results.next().await {
                        yield result?;
                    }
                })
            }

            fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, Error>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let statement = Statement::take(query);
                Box::pin(async move { self.affected(statement?).await })
            }

            fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>, Error>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let statement = Statement::take(query);
                Box::pin(async move { self.all_rows(statement?).await })
            }

            fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let statement = Statement::take(query);
                Box::pin(async move { self.first_row(statement?).await })
            }

            fn prepare_with<'e>(
                self,
                sql: SqlStr,
                parameters: &'e [PgTypeInfo],
            ) -> BoxFuture<'e, Result<PgStatement, Error>>
            where
                'c: 'e,
            {
                Box::pin(async move {
                    self.access()
                        .checkout("preparing a statement ahead")
                        .await?
                        .prepare_with(sql, parameters)
                        .await
                })
            }

            fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
            where
                'c: 'e,
            {
                Box::pin(async move {
                    self.access().checkout("describing a statement").await?.describe(sql).await
                })
            }
        }
    };
}

executor_per_statement!(TenantDb);
executor_per_statement!(MasterDb);
