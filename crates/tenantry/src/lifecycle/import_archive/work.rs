//! Makes a schema of an archive, in a transaction that is open.

use sqlx::{AssertSqlSafe, PgConnection};

use super::needs::{has_fingerprints_of, refused};
use super::open::OpenArchive;
use super::order::FromArchive;
use super::pass::Pass;
use crate::archive::{Manifest, MemberName, Verified, listed};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::guard::{Guard, stands};
use crate::lifecycle::archived::{self, applied};
use crate::lifecycle::contents::{first, leading_out, lockable, qualified, shared};
use crate::lifecycle::making::make_tables;
use crate::lifecycle::needs::Here;
use crate::lifecycle::transfer::AS_TEXT;
use crate::migrate::{Ledger, Site, read_ledger, send_own};
use crate::observe::{Step, Steps};
use crate::provision::grants;
use crate::registry::kept_files;
use crate::sql::Literal;
use crate::structure::{Fingerprint, Subject, from_psql};
use crate::tenant::{Digest, Tenant};

/// A tenant that is being made of an archive.
pub(super) struct Importing<'a> {
    pub(super) context: &'a Context,
    pub(super) tenant: &'a Tenant,
    pub(super) order: &'a FromArchive,
    pub(super) verified: &'a Verified,
    pub(super) open: &'a OpenArchive,
    pub(super) here: &'a Here,
    pub(super) steps: &'a dyn Steps,
}

/// The texts behind the rows.
struct BehindRows {
    post_data: String,
    privileges: String,
}

impl Importing<'_> {
    fn manifest(&self) -> &Manifest {
        &self.verified.manifest
    }

    fn site(&self) -> Site<'_> {
        Site::of_tenant(&self.context.layout, self.tenant)
    }

    fn own_role(&self) -> Option<String> {
        self.context.role.as_ref().map(|role| role.name_for(self.tenant.schema()))
    }

    /// The text of a member for this tenant.
    fn own(&self, text: &str) -> String {
        let names = &self.manifest().names_in_strings;
        from_psql(text, names, self.tenant.schema(), self.own_role().as_deref())
    }

    /// Returns true if the application and the tenant's own role get what they get in a new tenant.
    fn grants_anew(&self) -> bool {
        !self.order.has_privileges() || (self.context.role.is_some() && !self.manifest().has_own_role)
    }

    fn check_wanted(&self) -> Result<()> {
        if self.steps.is_cancelled() {
            return Err(Error::new(ErrorKind::Conflict, "it was cancelled").with_tenant(self.tenant.slug()));
        }
        Ok(())
    }

    async fn send(&self, tx: &mut PgConnection, sql: &str) -> Result<()> {
        let sql = format!("SET LOCAL search_path TO {};\n{sql}", self.site().path());
        send_own(tx, self.site(), &sql).await.map(|_| ())
    }

    /// Makes everything but the row of the registry. Answers true if the structure was compared.
    pub(super) async fn run(&self, tx: &mut PgConnection) -> Result<bool> {
        self.steps.step(Step::new("making tables", 0, None));
        let mut pass = Pass::open(self.open);
        let tables = self.own(&pass.text(MemberName::PreData).await?);
        make_tables(tx, self.context, self.tenant, &tables).await?;
        fail_point::reached(FailPoint::ImportBegun);
        let behind = self.copy_rows(tx, pass).await?;
        self.set_sequences(tx).await?;
        self.check_ledger(tx).await?;
        fail_point::reached(FailPoint::ImportFilled);
        self.check_wanted()?;
        self.steps.step(Step::new("making indexes and keys", 0, None));
        self.send(tx, &self.own(&behind.post_data)).await?;
        if self.order.has_privileges() {
            self.send(tx, &self.own(&behind.privileges)).await?;
        }
        if self.grants_anew() {
            let alias = self.tenant.database();
            let statements = grants(tx, self.context, alias, self.tenant.schema()).await?;
            self.send(tx, &statements.join(";\n")).await?;
        }
        let views = self.manifest().materialized_views.iter();
        let views = views.map(|view| format!("REFRESH MATERIALIZED VIEW {};\n", self.qualified(view)));
        self.send(tx, &views.collect::<String>()).await?;
        let is_compared = self.prove(tx).await?;
        // To compare, the path had the tenant's schema in front: nothing of it may stand for what the server has.
        self.send(tx, "").await?;
        kept_files::restore(tx, self.tenant.schema(), &archived::kept_files(self.manifest())?).await?;
        Ok(is_compared)
    }

    fn qualified(&self, name: &str) -> String {
        qualified(self.tenant.schema(), name)
    }

    /// Copies the rows, and answers with the texts behind them. A table that fails is tried again when the others are
    /// there, because a `CHECK` may ask another table.
    async fn copy_rows(&self, tx: &mut PgConnection, mut pass: Pass) -> Result<BehindRows> {
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
        Ok(BehindRows { post_data, privileges })
    }

    /// Copies the rows of these tables, and passes over all that comes before their end. Answers with those that
    /// failed.
    async fn copy_from(
        &self,
        tx: &mut PgConnection,
        pass: &mut Pass,
        wanted: &[usize],
    ) -> Result<Vec<(usize, Error)>> {
        let mut failed = Vec::new();
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

    async fn set_sequences(&self, tx: &mut PgConnection) -> Result<()> {
        let each = self.manifest().sequences.iter().map(|sequence| {
            let name = self.qualified(&sequence.name);
            let (value, is_called) = (sequence.last_value, sequence.is_called);
            format!(
                "SELECT pg_catalog.setval({}::pg_catalog.regclass, {value}, {is_called});\n",
                Literal(&name)
            )
        });
        self.send(tx, &each.collect::<String>()).await
    }

    /// The ledger is a table among the others, and the files were compared with what the manifest says of it.
    async fn check_ledger(&self, tx: &mut PgConnection) -> Result<()> {
        let rows = read_ledger(tx, self.tenant.schema()).await?;
        let ledger = Ledger::of(self.tenant.schema(), &rows);
        let applied = applied(self.manifest())?;
        if rows.iter().all(|row| row.success)
            && [ledger.digest(), Ledger::of(self.tenant.schema(), &applied).digest()]
                == [self.manifest().digest; 2]
        {
            return self.send(tx, &ledger.summarise()).await;
        }
        let reason = "its table of migrations is not what its manifest says";
        Err(refused(self.tenant, ErrorKind::InvalidInput, reason))
    }

    /// Compares what was made with what was exported, where the two can be compared, and looks whether it stands on its
    /// own.
    async fn prove(&self, tx: &mut PgConnection) -> Result<bool> {
        self.check_wanted()?;
        self.steps.step(Step::new("comparing it with what was exported", 0, None));
        let (manifest, role) = (self.manifest(), self.own_role());
        let is_compared = has_fingerprints_of(self.here, manifest) && !self.grants_anew();
        let subject = Subject { schema: self.tenant.schema(), own_role: role.as_deref() };
        if is_compared {
            let fingerprint = Digest::from_bytes(*Fingerprint::of(tx, subject).await?.as_bytes());
            if fingerprint != manifest.fingerprint && stands(Guard::ArchiveProof) {
                let reason = "its structure would differ from the one that was exported";
                let hint = "restore it with `restore.sql`, and compare the two with `pg_dump --schema-only`";
                return Err(refused(self.tenant, ErrorKind::Unsupported, reason).with_hint(hint));
            }
        }
        let leading_out = leading_out(tx, &shared(&self.context.layout), self.tenant.schema()).await?;
        if !leading_out.is_empty() {
            return Err(refused(self.tenant, ErrorKind::Unsupported, first(&leading_out)));
        }
        Ok(is_compared)
    }

    /// Has the planner know of the rows. The tenant is whole without it.
    pub(super) async fn aftercare(&self, connection: &mut PgConnection) {
        if let Err(error) = self.analyze(connection).await {
            let tenant = self.tenant.slug();
            tracing::warn!(%error, %tenant, "Imported a tenant, and did not gather statistics: {error}");
        }
    }

    async fn analyze(&self, connection: &mut PgConnection) -> Result<()> {
        let names = lockable(connection, self.tenant.schema()).await?;
        if !names.is_empty() && !self.steps.is_cancelled() {
            self.steps.step(Step::new("gathering statistics", 0, None));
            sqlx::raw_sql(AssertSqlSafe(format!("ANALYZE {}", names.join(", ")))).execute(connection).await?;
        }
        Ok(())
    }
}
