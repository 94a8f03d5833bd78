//! Copies the rows of a schema.

use sqlx::{AssertSqlSafe, PgConnection};

use super::pair::Pair;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::{SourceTable, members, qualified};
use crate::lifecycle::rounds::Rounds;
use crate::lifecycle::transfer::{AS_TEXT, CopyStatements, insertion};
use crate::migrate::{Site, send_own};
use crate::observe::Step;
use crate::sql::Literal;

impl Pair<'_> {
    /// Copies the rows of the tables that are meant, as the writer's snapshot has them, and answers with their number.
    ///
    /// A table that fails is tried again behind the others, because a `CHECK` may ask another table.
    pub(super) async fn copy_rows(&self, writer: &mut PgConnection, tables: &[SourceTable]) -> Result<u64> {
        let meant = |table: &&SourceTable| self.options.includes(&table.name, table.root.as_deref());
        let meant: Vec<_> = tables.iter().filter(meant).collect();
        let total = meant.len();
        let mut reader = None;
        if meant.iter().any(|table| table.goes_by_text()) {
            reader = Some(self.reader(writer).await?);
        }
        send_own(writer, self.site(), AS_TEXT).await?;
        let (mut rows, mut done) = (0, 0);
        let mut rounds = Rounds::of(meant);
        while let Some(table) = rounds.next()? {
            self.check_wanted()?;
            self.steps.step(Step::new("copying tables", done, Some(total)));
            match self.copy_table(writer, reader.as_mut(), table).await {
                Ok(copied) => (rows, done) = (rows + copied, done + 1),
                Err(error) => {
                    // Where the connection is what failed, this fails, too.
                    let undone = send_own(writer, self.site(), "ROLLBACK TO SAVEPOINT copied").await;
                    if undone.is_err() {
                        return Err(error);
                    }
                    rounds.put_back(table, error);
                }
            }
        }
        self.steps.step(Step::new("copying tables", total, Some(total)));
        Ok(rows)
    }

    /// A second connection that sees the same rows as the first.
    async fn reader(&self, writer: &mut PgConnection) -> Result<PgConnection> {
        let snapshot: String =
            sqlx::query_scalar("SELECT pg_catalog.pg_export_snapshot()").fetch_one(&mut *writer).await?;
        let mut reader = self.context.databases.unlimited_owner_connection(self.source.database()).await?;
        let site = Site::of_tenant(&self.context.layout, self.source);
        let path = site.path();
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; \
             SET LOCAL search_path TO {path}; {AS_TEXT}",
            Literal(&snapshot)
        );
        send_own(&mut reader, site, &begin).await?;
        Ok(reader)
    }

    async fn copy_table(
        &self,
        writer: &mut PgConnection,
        reader: Option<&mut PgConnection>,
        table: &SourceTable,
    ) -> Result<u64> {
        send_own(writer, self.site(), "SAVEPOINT copied").await?;
        let rows = match reader.filter(|_| table.goes_by_text()) {
            None => {
                let insert = insertion(table, self.source.schema(), self.clone.schema());
                send_own(writer, self.site(), &insert).await?
            }
            Some(reader) => CopyStatements::of(table, self.source.schema(), self.clone.schema())
                .run_as(table.reader.as_deref(), reader, writer, |_| {})
                .await
                .map_err(|broken| self.told(&table.name, broken.into()))?,
        };
        send_own(writer, self.site(), "RELEASE SAVEPOINT copied").await?;
        Ok(rows)
    }

    fn told(&self, table: &str, error: sqlx::Error) -> Error {
        let message = format!("the rows of table `{table}` cannot be copied");
        Error::new(ErrorKind::Migration, message).with_tenant(self.source.slug()).with_source(error)
    }

    /// Sets the sequences to where those of the source are now, which is at or beyond what the rows hold.
    pub(super) async fn set_sequences(&self, writer: &mut PgConnection) -> Result<()> {
        let statements = self.of_each(writer, "relkind = 'S'", |from, to| {
            format!(
                "SELECT pg_catalog.setval({}::pg_catalog.regclass, last_value, is_called) FROM {from}",
                Literal(to)
            )
        });
        let statements = statements.await?.join(";\n");
        send_own(writer, self.site(), &statements).await?;
        Ok(())
    }

    /// Fills the materialized views that are filled in the source. One that reads another comes behind it.
    pub(super) async fn refresh(&self, writer: &mut PgConnection) -> Result<()> {
        let statements = self.of_each(writer, "relkind = 'm' AND relispopulated", |_, to| {
            format!("REFRESH MATERIALIZED VIEW {to}")
        });
        let mut rounds = Rounds::of(statements.await?);
        while let Some(statement) = rounds.next()? {
            self.check_wanted()?;
            send_own(writer, self.site(), "SAVEPOINT refreshed").await?;
            if let Err(error) = send_own(writer, self.site(), &statement).await {
                send_own(writer, self.site(), "ROLLBACK TO SAVEPOINT refreshed").await?;
                rounds.put_back(statement, error);
            }
            send_own(writer, self.site(), "RELEASE SAVEPOINT refreshed").await?;
        }
        Ok(())
    }

    /// A statement for each relation of the source of which a condition holds, by its name there and in the clone.
    async fn of_each(
        &self,
        connection: &mut PgConnection,
        condition: &str,
        statement: impl Fn(&str, &str) -> String,
    ) -> Result<Vec<String>> {
        let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(members(condition)))
            .bind(self.source.schema().as_str())
            .persistent(false)
            .fetch_all(connection)
            .await?;
        let [source, clone] = [self.source.schema(), self.clone.schema()];
        Ok(names.iter().map(|name| statement(&qualified(source, name), &qualified(clone, name))).collect())
    }
}
