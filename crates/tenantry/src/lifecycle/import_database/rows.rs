//! Carries the rows of a database into the schema of a tenant.

use sqlx::{AssertSqlSafe, PgConnection};

use super::work::Import;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::{SourceTable, members, qualified};
use crate::lifecycle::rounds::Rounds;
use crate::lifecycle::transfer::{AS_TEXT, Broken, CopyStatements};
use crate::migrate::send_own;
use crate::observe::Step;
use crate::sql::{Identifier, Literal};
use crate::tenant::SchemaName;

impl Import<'_> {
    /// Copies the rows of all tables, as the reader's snapshot has them, and answers with their number.
    pub(super) async fn copy_rows(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        tables: &[SourceTable],
    ) -> Result<u64> {
        sqlx::raw_sql(AS_TEXT).execute(&mut *reader).await?;
        send_own(writer, self.site(), AS_TEXT).await?;
        let (mut rows, mut done) = (0, 0);
        let mut rounds = Rounds::of(tables.iter().collect());
        while let Some(table) = rounds.next()? {
            self.check_wanted()?;
            self.steps.step(Step::new("copying tables", done, Some(tables.len())));
            send_own(writer, self.site(), "SAVEPOINT copied").await?;
            match self.statements(table).run(reader, writer).await {
                Ok(copied) => {
                    send_own(writer, self.site(), "RELEASE SAVEPOINT copied").await?;
                    (rows, done) = (rows + copied, done + 1);
                }
                // Its transaction is over.
                Err(broken @ Broken::Reader(_)) => return Err(self.told(table, broken)),
                // A condition may ask a table whose rows come later.
                Err(broken) => {
                    let error = self.told(table, broken);
                    if send_own(writer, self.site(), "ROLLBACK TO SAVEPOINT copied").await.is_err() {
                        return Err(error);
                    }
                    rounds.put_back(table, error);
                }
            }
        }
        self.steps.step(Step::new("copying tables", tables.len(), Some(tables.len())));
        Ok(rows)
    }

    /// By way of the partitioned table: the hash of an enum's value is another one here.
    fn statements(&self, table: &SourceTable) -> CopyStatements {
        let columns: Vec<_> = table.columns.iter().map(|name| Identifier(name).to_string()).collect();
        let listed = if columns.is_empty() { String::new() } else { format!("({})", columns.join(", ")) };
        let to = table.root.as_ref().unwrap_or(&table.name);
        CopyStatements {
            from: format!("COPY {} {listed} TO STDOUT", qualified(self.source.name(), &table.name)),
            to: format!("COPY {} {listed} FROM STDIN", qualified(self.tenant.schema(), to)),
        }
    }

    fn told(&self, table: &SourceTable, broken: Broken) -> Error {
        let verb = if matches!(broken, Broken::Reader(_)) { "read" } else { "written" };
        let message = format!("the rows of table `{}` cannot be {verb}", table.name);
        Error::new(ErrorKind::Migration, message)
            .with_tenant(self.tenant.slug())
            .with_source(sqlx::Error::from(broken))
    }

    /// Sets the sequences to where those of the source are now, which is at or beyond what the rows hold.
    pub(super) async fn set_sequences(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
    ) -> Result<()> {
        let mut statements = Vec::new();
        for name in relations(reader, self.source.name(), "relkind = 'S'").await? {
            let from = qualified(self.source.name(), &name);
            let position = format!("SELECT last_value, is_called FROM {from}");
            let (value, is_called): (i64, bool) =
                sqlx::query_as(AssertSqlSafe(position)).persistent(false).fetch_one(&mut *reader).await?;
            let to = qualified(self.tenant.schema(), &name);
            let to = Literal(&to);
            statements
                .push(format!("SELECT pg_catalog.setval({to}::pg_catalog.regclass, {value}, {is_called})"));
        }
        send_own(writer, self.site(), &statements.join(";\n")).await?;
        Ok(())
    }

    /// Fills the materialized views that are filled in the source. One that reads another comes behind it.
    pub(super) async fn refresh(&self, reader: &mut PgConnection, writer: &mut PgConnection) -> Result<()> {
        let names = relations(reader, self.source.name(), "relkind = 'm' AND relispopulated").await?;
        let mut rounds = Rounds::of(names);
        while let Some(name) = rounds.next()? {
            self.check_wanted()?;
            self.steps.step(Step::new("filling materialized views", 0, None));
            send_own(writer, self.site(), "SAVEPOINT refreshed").await?;
            let refresh = format!("REFRESH MATERIALIZED VIEW {}", qualified(self.tenant.schema(), &name));
            if let Err(error) = send_own(writer, self.site(), &refresh).await {
                send_own(writer, self.site(), "ROLLBACK TO SAVEPOINT refreshed").await?;
                rounds.put_back(name, error);
            }
            send_own(writer, self.site(), "RELEASE SAVEPOINT refreshed").await?;
        }
        Ok(())
    }
}

async fn relations(
    connection: &mut PgConnection,
    schema: &SchemaName,
    condition: &str,
) -> Result<Vec<String>> {
    let names = sqlx::query_scalar(AssertSqlSafe(members(condition))).bind(schema.as_str());
    Ok(names.persistent(false).fetch_all(connection).await?)
}
