//! Carries the rows of a schema into another one, from one connection to another.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::copy::{AS_TEXT, Broken, CopyStatements};
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::{SourceTable, members, qualified};
use crate::lifecycle::in_pieces::MOST;
use crate::lifecycle::rounds::Rounds;
use crate::migrate::{Site, commit, send_own};
use crate::observe::{Step, Steps};
use crate::sql::Literal;
use crate::tenant::{SchemaName, Tenant};

/// Sequences that one statement reads.
const SEQUENCES: usize = 100;

/// The two schemas between which rows are carried.
#[derive(Clone, Copy)]
pub(in crate::lifecycle) struct RowCarrier<'a> {
    pub(in crate::lifecycle) from: &'a SchemaName,
    pub(in crate::lifecycle) to: &'a Tenant,
    pub(in crate::lifecycle) site: Site<'a>,
    pub(in crate::lifecycle) steps: &'a dyn Steps,
}

impl RowCarrier<'_> {
    /// Copies the rows of these tables, as the reader's snapshot has them, and answers with their number.
    ///
    /// A table that fails is tried again behind the others, because a `CHECK` may ask another table.
    pub(in crate::lifecycle) async fn copy(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        tables: Vec<&SourceTable>,
    ) -> Result<u64> {
        sqlx::raw_sql(AS_TEXT).execute(&mut *reader).await?;
        send_own(writer, self.site, AS_TEXT).await?;
        let total = tables.len();
        let (mut rows, mut done) = (0, 0);
        let mut rounds = Rounds::of(tables);
        while let Some(table) = rounds.next()? {
            self.check_wanted()?;
            self.steps.step(Step::new("copying tables", done, Some(total)));
            send_own(writer, self.site, "SAVEPOINT copied").await?;
            match CopyStatements::of(table, self.from, self.to.schema())
                .run_as(table.reader.as_deref(), reader, writer, |_| {})
                .await
            {
                Ok(copied) => {
                    send_own(writer, self.site, "RELEASE SAVEPOINT copied").await?;
                    (rows, done) = (rows + copied, done + 1);
                }
                // Its transaction is over.
                Err(broken @ Broken::Reader(_)) => return Err(self.told(table, broken)),
                Err(broken) => {
                    let error = self.told(table, broken);
                    if send_own(writer, self.site, "ROLLBACK TO SAVEPOINT copied").await.is_err() {
                        return Err(error);
                    }
                    rounds.put_back(table, error);
                }
            }
        }
        self.steps.step(Step::new("copying tables", total, Some(total)));
        Ok(rows)
    }

    /// Copies the rows of these tables in several transactions, and sets the sequences. Tables whose conditions ask
    /// others are filled behind these.
    pub(in crate::lifecycle) async fn copy_in_pieces(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        tables: Vec<&SourceTable>,
    ) -> Result<u64> {
        let mut copied = 0;
        let mut rounds = Rounds::of(tables.chunks(MOST).map(<[_]>::to_vec).collect());
        while let Some(tables) = rounds.next()? {
            let mut tx = writer.begin().await?;
            self.enter(&mut tx).await?;
            match self.copy(reader, &mut tx, tables.clone()).await {
                Ok(rows) => {
                    commit(tx, self.site).await?;
                    copied += rows;
                }
                Err(error) => {
                    // Where a connection is what failed, or the transaction that reads, this fails, too.
                    let is_alive = tx.rollback().await.is_ok()
                        && sqlx::raw_sql("SELECT").execute(&mut *reader).await.is_ok();
                    if !is_alive {
                        return Err(error);
                    }
                    self.check_wanted()?;
                    rounds.put_back(tables, error);
                }
            }
        }
        let mut tx = writer.begin().await?;
        self.set_sequences(reader, &mut tx).await?;
        commit(tx, self.site).await?;
        Ok(copied)
    }

    async fn enter(&self, writer: &mut PgConnection) -> Result<()> {
        send_own(writer, self.site, &format!("SET LOCAL search_path TO {}", self.site.path())).await?;
        Ok(())
    }

    fn told(&self, table: &SourceTable, broken: Broken) -> Error {
        let verb = if matches!(broken, Broken::Reader(_)) { "read" } else { "written" };
        let message = format!("the rows of table `{}` cannot be {verb}", table.name);
        Error::new(ErrorKind::Migration, message)
            .with_tenant(self.to.slug())
            .with_source(sqlx::Error::from(broken))
    }

    /// Sets the sequences to where those of the source are now, which is at or beyond what the rows hold.
    pub(in crate::lifecycle) async fn set_sequences(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
    ) -> Result<()> {
        let names = relations(reader, self.from, "relkind = 'S'").await?;
        let mut statements = Vec::new();
        for some in names.chunks(SEQUENCES) {
            let position = |(index, name): (usize, &String)| {
                format!("SELECT {index} AS n, last_value, is_called FROM {}", qualified(self.from, name))
            };
            let all: Vec<_> = some.iter().enumerate().map(position).collect();
            let all = format!("{} ORDER BY n", all.join(" UNION ALL "));
            let positions: Vec<(i32, i64, bool)> =
                sqlx::query_as(AssertSqlSafe(all)).persistent(false).fetch_all(&mut *reader).await?;
            for (name, (_, value, is_called)) in some.iter().zip(positions) {
                let to = qualified(self.to.schema(), name);
                let to = Literal(&to);
                statements.push(format!(
                    "SELECT pg_catalog.setval({to}::pg_catalog.regclass, {value}, {is_called})"
                ));
            }
        }
        send_own(writer, self.site, &statements.join(";\n")).await?;
        Ok(())
    }

    /// Fills the materialized views that are filled in the source. One that reads another comes behind it.
    pub(in crate::lifecycle) async fn refresh(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
    ) -> Result<()> {
        let names = relations(reader, self.from, "relkind = 'm' AND relispopulated").await?;
        let mut rounds = Rounds::of(names);
        while let Some(name) = rounds.next()? {
            self.check_wanted()?;
            self.steps.step(Step::new("filling materialized views", 0, None));
            send_own(writer, self.site, "SAVEPOINT refreshed").await?;
            let refresh = format!("REFRESH MATERIALIZED VIEW {}", qualified(self.to.schema(), &name));
            if let Err(error) = send_own(writer, self.site, &refresh).await {
                send_own(writer, self.site, "ROLLBACK TO SAVEPOINT refreshed").await?;
                rounds.put_back(name, error);
            }
            send_own(writer, self.site, "RELEASE SAVEPOINT refreshed").await?;
        }
        Ok(())
    }

    /// Ends work that was cancelled. Its transaction takes everything back.
    pub(in crate::lifecycle) fn check_wanted(&self) -> Result<()> {
        if self.steps.is_cancelled() {
            return Err(Error::new(ErrorKind::Conflict, "it was cancelled").with_tenant(self.to.slug()));
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
