//! A pair of sessions that carries tables from the source to the target.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection};

use super::row_sum::RowSum;
use super::work::Relocation;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::{SourceTable, qualified};
use crate::lifecycle::transfer::{AS_TEXT, Broken, CopyStatements, read_as, read_as_owner};
use crate::migrate::Site;
use crate::sql::{Identifier, Literal};

/// Two sessions, one of which sees the source as the fence does.
pub(super) struct TablePorter<'a> {
    work: &'a Relocation<'a>,
    reader: PgConnection,
    writer: PgConnection,
}

/// A table that cannot be carried, and why. The sessions go on.
pub(super) struct Stuck(pub(super) Error);

impl<'a> TablePorter<'a> {
    pub(super) async fn open(work: &'a Relocation<'a>, snapshot: &str) -> Result<Self> {
        let databases = &work.context.databases;
        let mut reader = databases.unlimited_owner_connection(&work.record.source).await?;
        let writer = databases.unlimited_owner_connection(&work.record.target).await?;
        let path = Site::of_tenant(&work.context.layout, work.tenant).path();
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; \
             SET LOCAL search_path TO {path}; {AS_TEXT}",
            Literal(snapshot)
        );
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut reader).await?;
        Ok(Self { work, reader, writer })
    }

    /// Carries the rows of a table, in a transaction of its own.
    pub(super) async fn carry(&mut self, table: &SourceTable) -> Result<Result<RowSum, Stuck>> {
        self.begin().await?;
        let (columns, schema) = (listed(table), self.work.tenant.schema());
        let copy = CopyStatements {
            from: format!("COPY {} {columns} TO STDOUT", qualified(schema, &table.name)),
            to: format!("COPY {} {columns} FROM STDIN", qualified(schema, place(table))),
        };
        let mut sum = RowSum::default();
        let role = table.reader.as_deref();
        let copied = copy.run_as(role, &mut self.reader, &mut self.writer, |chunk| sum.add(chunk)).await;
        let ended = match copied {
            Ok(_) => self.send("COMMIT").await,
            // Its transaction is over, and with it the snapshot.
            Err(broken @ Broken::Reader(_)) => return Err(self.told(table, "read", broken.into())),
            Err(Broken::Writer(error)) => Err(error),
        };
        match ended {
            Ok(()) => Ok(Ok(sum)),
            Err(error) => {
                let told = self.told(table, "written", error);
                // Where the session is what failed, this fails, too.
                match self.send("ROLLBACK").await {
                    Ok(()) => Ok(Err(Stuck(told))),
                    Err(_) => Err(told),
                }
            }
        }
    }

    /// Reads the rows of a table, and carries them nowhere.
    pub(super) async fn read_source(&mut self, table: &SourceTable) -> Result<RowSum> {
        let from =
            format!("COPY {} {} TO STDOUT", qualified(self.work.tenant.schema(), &table.name), listed(table));
        let role = table.reader.as_deref();
        read_as(&mut self.reader, role).await?;
        let sum = sum_of(&mut self.reader, &from).await?;
        read_as_owner(&mut self.reader, role).await?;
        Ok(sum)
    }

    /// Reads what arrived in a table, or in all parts of one.
    pub(super) async fn read_back(&mut self, table: &SourceTable) -> Result<RowSum> {
        self.begin().await?;
        let name = qualified(self.work.tenant.schema(), place(table));
        let from = match &table.root {
            None => format!("COPY {name} {} TO STDOUT", listed(table)),
            Some(_) => format!("COPY (SELECT {} FROM {name}) TO STDOUT", columns(table)),
        };
        let sum = sum_of(&mut self.writer, &from).await?;
        self.send("COMMIT").await?;
        Ok(sum)
    }

    async fn begin(&mut self) -> Result<()> {
        let path = self.work.site().path();
        let begin = format!("BEGIN; SET LOCAL search_path TO {path}; {AS_TEXT}");
        Ok(self.send(&begin).await?)
    }

    async fn send(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.writer).await.map(drop)
    }

    fn told(&self, table: &SourceTable, verb: &str, error: sqlx::Error) -> Error {
        let message = format!("the rows of table `{}` cannot be {verb}", table.name);
        Error::new(ErrorKind::Migration, message).with_tenant(self.work.tenant.slug()).with_source(error)
    }
}

async fn sum_of(connection: &mut PgConnection, copy: &str) -> Result<RowSum> {
    let mut sum = RowSum::default();
    let mut rows = connection.copy_out_raw(copy).await?;
    while let Some(chunk) = rows.try_next().await? {
        sum.add(&chunk);
    }
    Ok(sum)
}

/// The table that the rows go to: by way of the partitioned table, because the hash of an enum's value is another one
/// there.
pub(super) fn place(table: &SourceTable) -> &str {
    table.root.as_ref().unwrap_or(&table.name)
}

fn listed(table: &SourceTable) -> String {
    if table.columns.is_empty() { String::new() } else { format!("({})", columns(table)) }
}

/// In an order that all parts of a table share.
fn columns(table: &SourceTable) -> String {
    let mut names: Vec<_> = table.columns.iter().map(|name| Identifier(name).to_string()).collect();
    names.sort();
    names.join(", ")
}
