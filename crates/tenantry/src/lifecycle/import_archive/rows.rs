//! Copies the rows of an archive.

use sqlx::PgConnection;

use super::pass::Pass;
use super::work::Importing;
use crate::archive::{MemberName, listed};
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::transfer::AS_TEXT;
use crate::migrate::send_own;
use crate::observe::Step;

/// The texts behind the rows.
pub(super) struct TextsBehindRows {
    pub(super) post_data: String,
    pub(super) privileges: String,
}

impl Importing<'_> {
    /// Copies the rows, and answers with the texts behind them. A table that fails is tried again when the others are
    /// there, because a `CHECK` may ask another table.
    pub(super) async fn copy_rows(&self, tx: &mut PgConnection, mut pass: Pass) -> Result<TextsBehindRows> {
        self.send(tx, AS_TEXT).await?;
        let all: Vec<_> = (1..=self.manifest().tables.len()).collect();
        let mut failed = self.copy_from(tx, &mut pass, &all).await?;
        let post_data = pass.text(MemberName::PostData).await?;
        let privileges = pass.text(MemberName::Privileges).await?;
        pass.finish(self.verified).await?;
        while !failed.is_empty() {
            let again: Vec<_> = failed.iter().map(|(table, _)| *table).collect();
            let mut pass = Pass::open(self.open);
            failed = self.copy_from(tx, &mut pass, &again).await?;
            pass.finish(self.verified).await?;
            if failed.len() == again.len() {
                return Err(failed.swap_remove(0).1);
            }
        }
        Ok(TextsBehindRows { post_data, privileges })
    }

    /// Copies the rows of these tables, and passes over all that comes before their end. Answers with those that
    /// failed.
    async fn copy_from(
        &self,
        tx: &mut PgConnection,
        pass: &mut Pass,
        wanted: &[usize],
    ) -> Result<Vec<(usize, Error)>> {
        let (mut failed, mut done) = (Vec::new(), 0);
        let total = self.manifest().tables.len();
        while let Some(name) = pass.peek().await? {
            match name {
                MemberName::Rows { table, .. } if wanted.contains(&table) => {
                    self.check_wanted()?;
                    self.steps.step(Step::new("importing tables", table - 1, Some(total)));
                    send_own(tx, self.site(), "SAVEPOINT copied").await?;
                    if let Err(error) = self.copy_table(tx, pass, table).await? {
                        send_own(tx, self.site(), "ROLLBACK TO SAVEPOINT copied").await?;
                        failed.push((table, self.told(table, error)));
                        while matches!(pass.peek().await?, Some(MemberName::Rows { table: next, .. }) if next == table)
                        {
                            pass.take();
                        }
                    }
                    send_own(tx, self.site(), "RELEASE SAVEPOINT copied").await?;
                    done += 1;
                    if self.most.is_some_and(|most| done % most == 0) {
                        send_own(tx, self.site(), "COMMIT; BEGIN").await?;
                        self.send(tx, AS_TEXT).await?;
                    }
                }
                MemberName::PreData | MemberName::Rows { .. } => drop(pass.take()),
                _ => break,
            }
        }
        self.steps.step(Step::new("importing tables", total, Some(total)));
        Ok(failed)
    }

    /// Copies the rows of one table. The inner error is one of the table, the outer one ends the work.
    async fn copy_table(
        &self,
        tx: &mut PgConnection,
        pass: &mut Pass,
        number: usize,
    ) -> Result<Result<(), sqlx::Error>> {
        let Some(table) = self.manifest().tables.get(number - 1) else {
            return Err(Error::invalid_input(
                "the archive has rows of a table that its manifest does not have",
            ));
        };
        let to = format!("COPY {} {} FROM STDIN", self.qualified(&table.into), listed(&table.columns));
        let mut copy = match tx.copy_in_raw(&to).await {
            Ok(copy) => copy,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            let sent = match pass.peek().await {
                Ok(Some(MemberName::Rows { table: next, .. })) if next == number => {
                    copy.send(pass.take()).await
                }
                Ok(_) => break,
                Err(error) => {
                    // The copy ends with an error, which says less than the one that is known.
                    let _ = copy.abort("the archive cannot be read").await;
                    return Err(error);
                }
            };
            if let Err(error) = sent {
                let _ = copy.abort("the rows cannot be written").await;
                return Ok(Err(error));
            }
        }
        Ok(match copy.finish().await {
            Ok(rows) if rows == table.rows => Ok(()),
            Ok(rows) => Err(sqlx::Error::Protocol(format!("{rows} rows arrived of {}", table.rows))),
            Err(error) => Err(error),
        })
    }

    fn told(&self, table: usize, error: sqlx::Error) -> Error {
        let name = self.manifest().tables.get(table - 1).map_or("", |table| table.name.as_str());
        let message = format!("the rows of table `{name}` cannot be imported");
        Error::new(ErrorKind::Migration, message).with_tenant(self.tenant.slug()).with_source(error)
    }
}
