//! Statements and streams in a transaction.

use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, StreamTrait, TransactionSession,
};

use super::statement::{execution_failed, prepared, query_failed, unprepared};
use super::transaction::OrmTransaction;

#[async_trait]
impl ConnectionTrait for OrmTransaction {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let statement = prepared(statement).map_err(execution_failed)?;
        let mut turn = self.turn_for(&statement).await.map_err(|error| execution_failed(error.into()))?;
        Ok(turn.affected(statement).await.map_err(execution_failed)?.into())
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let statement = unprepared(sql).map_err(execution_failed)?;
        let mut turn = self.turn_for(&statement).await.map_err(|error| execution_failed(error.into()))?;
        Ok(turn.affected(statement).await.map_err(execution_failed)?.into())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let statement = prepared(statement).map_err(query_failed)?;
        let mut turn = self.turn_for(&statement).await.map_err(|error| query_failed(error.into()))?;
        Ok(turn.first_row(statement).await.map_err(query_failed)?.map(Into::into))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let statement = prepared(statement).map_err(query_failed)?;
        let mut turn = self.turn_for(&statement).await.map_err(|error| query_failed(error.into()))?;
        let rows = turn.all_rows(statement).await.map_err(query_failed)?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

impl StreamTrait for OrmTransaction {
    type Stream<'a> = BoxStream<'a, Result<QueryResult, DbErr>>;

    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + Send + 'a>> {
        Box::pin(async move {
            let statement = prepared(statement).map_err(query_failed)?;
            let mut turn = self.turn_for(&statement).await.map_err(|error| query_failed(error.into()))?;
            let streaming = self.begin_stream();
            let rows = async_stream::try_stream! {
                let _streaming = streaming;
                let mut results = turn.run_statement(Ok(statement));
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

#[async_trait]
impl TransactionSession for OrmTransaction {
    async fn commit(self) -> Result<(), DbErr> {
        Self::commit(self).await
    }

    async fn rollback(self) -> Result<(), DbErr> {
        Self::rollback(self).await
    }
}
