//! `SeaORM`'s traits for handles, and the beginning of transactions.

use std::fmt;
use std::pin::Pin;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    StreamTrait, TransactionError, TransactionOptions, TransactionTrait,
};
use sqlx::postgres::{PgQueryResult, PgRow};

use super::kind::{options, refuse_of_nested, refuse_writing};
use super::statement::{execution_failed, prepared, query_failed, unprepared};
use super::transaction::OrmTransaction;
use crate::pool::db::{MasterDb, TenantDb};
use crate::pool::replica::TenantReadDb;
use crate::pool::statement::Statement as Prepared;

type Streamed<'a> = Pin<Box<dyn Future<Output = Result<Rows<'a>, DbErr>> + Send + 'a>>;
type Rows<'a> = BoxStream<'a, Result<QueryResult, DbErr>>;

macro_rules! connection {
    ($handle:ident) => {
        /// A connection of `SeaORM`. Each statement checks a connection of the pool out, prepared for this handle.
        #[async_trait]
        impl ConnectionTrait for $handle {
            fn get_database_backend(&self) -> DbBackend {
                DbBackend::Postgres
            }

            async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
                let statement = prepared(statement).map_err(execution_failed)?;
                Ok(self.affected(statement).await.map_err(execution_failed)?.into())
            }

            async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
                let statement = unprepared(sql).map_err(execution_failed)?;
                Ok(self.affected(statement).await.map_err(execution_failed)?.into())
            }

            async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
                let statement = prepared(statement).map_err(query_failed)?;
                Ok(self.first_row(statement).await.map_err(query_failed)?.map(Into::into))
            }

            async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
                let statement = prepared(statement).map_err(query_failed)?;
                let rows = self.all_rows(statement).await.map_err(query_failed)?;
                Ok(rows.into_iter().map(Into::into).collect())
            }
        }
    };
}

connection!(TenantDb);
connection!(MasterDb);
connection!(TenantReadDb);

macro_rules! stream {
    ($handle:ident) => {
        /// Rows as they come. The stream keeps its connection until it ends or is dropped.
        impl StreamTrait for $handle {
            type Stream<'a> = Rows<'a>;

            fn get_database_backend(&self) -> DbBackend {
                DbBackend::Postgres
            }

            fn stream_raw(&self, statement: Statement) -> Streamed<'_> {
                Box::pin(async move {
                    let statement = prepared(statement).map_err(query_failed)?;
                    let checkout = self.access().checkout_for(&statement).await;
                    let mut checkout = checkout.map_err(|error| query_failed(error.into()))?;
                    let rows = async_stream::try_stream! {
                        let mut results = checkout.run_statement(Ok(statement));
                        while let Some(result) = results.next().await {
                            if let Some(row) = result.map_err(query_failed)?.right() {
                                yield row.into();
                            }
                        }
                    };
                    Ok(rows.boxed())
                })
            }
        }
    };
}

stream!(TenantDb);
stream!(MasterDb);

impl TenantReadDb {
    async fn all_rows(&self, statement: Prepared) -> Result<Vec<PgRow>, sqlx::Error> {
        self.run(Ok(statement)).try_filter_map(async |result| Ok(result.right())).try_collect().await
    }

    async fn affected(&self, statement: Prepared) -> Result<PgQueryResult, sqlx::Error> {
        self.run(Ok(statement)).try_filter_map(async |result| Ok(result.left())).try_collect().await
    }
}

/// Rows as they come, from a replica where one can be read.
impl StreamTrait for TenantReadDb {
    type Stream<'a> = Rows<'a>;

    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    fn stream_raw(&self, statement: Statement) -> Streamed<'_> {
        let rows = self.run(prepared(statement)).map_err(query_failed);
        let rows = rows.try_filter_map(async |result| Ok(result.right().map(QueryResult::from)));
        Box::pin(std::future::ready(Ok(rows.boxed())))
    }
}

type Callback<'c, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

macro_rules! transaction {
    ($handle:ident) => {
        /// Transactions of `SeaORM`, each on a connection of its own.
        #[async_trait]
        impl TransactionTrait for $handle {
            type Transaction = OrmTransaction;

            async fn begin(&self) -> Result<OrmTransaction, DbErr> {
                self.open_orm(None, None).await
            }

            async fn begin_with_config(
                &self,
                isolation: Option<IsolationLevel>,
                access: Option<AccessMode>,
            ) -> Result<OrmTransaction, DbErr> {
                self.open_orm(isolation, access).await
            }

            async fn begin_with_options(&self, options: TransactionOptions) -> Result<OrmTransaction, DbErr> {
                self.open_orm(options.isolation_level, options.access_mode).await
            }

            async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
            where
                F: for<'c> FnOnce(&'c OrmTransaction) -> Callback<'c, T, E> + Send,
                T: Send,
                E: fmt::Display + fmt::Debug + Send,
            {
                self.transaction_with_config(callback, None, None).await
            }

            async fn transaction_with_config<F, T, E>(
                &self,
                callback: F,
                isolation: Option<IsolationLevel>,
                access: Option<AccessMode>,
            ) -> Result<T, TransactionError<E>>
            where
                F: for<'c> FnOnce(&'c OrmTransaction) -> Callback<'c, T, E> + Send,
                T: Send,
                E: fmt::Display + fmt::Debug + Send,
            {
                let transaction =
                    self.open_orm(isolation, access).await.map_err(TransactionError::Connection)?;
                transaction.run(callback).await
            }
        }
    };
}

transaction!(TenantDb);
transaction!(MasterDb);
transaction!(TenantReadDb);
transaction!(OrmTransaction);

macro_rules! open {
    ($handle:ident) => {
        impl $handle {
            async fn open_orm(
                &self,
                isolation: Option<IsolationLevel>,
                access: Option<AccessMode>,
            ) -> Result<OrmTransaction, DbErr> {
                let transaction = self.begin_with(options(isolation, access)).await;
                Ok(transaction.map_err(execution_failed)?.into())
            }
        }
    };
}

open!(TenantDb);
open!(MasterDb);

impl TenantReadDb {
    async fn open_orm(
        &self,
        isolation: Option<IsolationLevel>,
        access: Option<AccessMode>,
    ) -> Result<OrmTransaction, DbErr> {
        refuse_writing(access).map_err(|error| execution_failed(error.into()))?;
        let transaction = self.begin_with(options(isolation, access)).await;
        Ok(transaction.map_err(execution_failed)?.into())
    }
}

impl OrmTransaction {
    async fn open_orm(
        &self,
        isolation: Option<IsolationLevel>,
        access: Option<AccessMode>,
    ) -> Result<Self, DbErr> {
        refuse_of_nested(isolation, access).map_err(|error| execution_failed(error.into()))?;
        self.nested().await.map_err(execution_failed)
    }
}
