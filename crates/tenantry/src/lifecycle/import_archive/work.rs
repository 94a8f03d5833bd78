//! Makes a schema of an archive, in a transaction that is open.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::needs::{has_fingerprints_of, refused};
use super::open::OpenArchive;
use super::order::FromArchive;
use super::pass::Pass;
use crate::archive::{Manifest, MemberName, Verified};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::guard::{Guard, stands};
use crate::lifecycle::archived::{self, applied};
use crate::lifecycle::contents::{first, leading_out, lockable, qualified, shared};
use crate::lifecycle::in_pieces::InPieces;
use crate::lifecycle::making::make_tables;
use crate::lifecycle::needs::Here;
use crate::migrate::{Ledger, Site, commit, read_ledger, send_own};
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
    /// Tables that are filled in one transaction; `None` for all of them.
    pub(super) most: Option<usize>,
}

impl Importing<'_> {
    pub(super) fn manifest(&self) -> &Manifest {
        &self.verified.manifest
    }

    pub(super) fn site(&self) -> Site<'_> {
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

    pub(super) fn check_wanted(&self) -> Result<()> {
        if self.steps.is_cancelled() {
            return Err(Error::new(ErrorKind::Conflict, "it was cancelled").with_tenant(self.tenant.slug()));
        }
        Ok(())
    }

    pub(super) async fn send(&self, tx: &mut PgConnection, sql: &str) -> Result<()> {
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
        let summary = self.check_ledger(tx).await?;
        self.send(tx, &summary).await?;
        fail_point::reached(FailPoint::ImportFilled);
        self.check_wanted()?;
        self.steps.step(Step::new("making indexes and keys", 0, None));
        self.send(tx, &self.own(&behind.post_data)).await?;
        if self.order.has_privileges() {
            self.send(tx, &self.own(&behind.privileges)).await?;
        }
        self.finish(tx).await
    }

    /// Does the same in several transactions. The connection has none.
    pub(super) async fn run_in_pieces(&self, connection: &mut PgConnection) -> Result<bool> {
        let pieces = InPieces { context: self.context, tenant: self.tenant, steps: self.steps };
        let mut pass = Pass::open(self.open);
        let tables = self.own(&pass.text(MemberName::PreData).await?);
        pieces.make_tables(connection, &tables).await?;
        fail_point::reached(FailPoint::ImportBegun);
        let mut tx = connection.begin().await?;
        let behind = self.copy_rows(&mut tx, pass).await?;
        self.set_sequences(&mut tx).await?;
        let summary = self.check_ledger(&mut tx).await?;
        commit(tx, self.site()).await?;
        fail_point::reached(FailPoint::ImportFilled);
        let step = "making indexes and keys";
        pieces.run(connection, &self.own(&behind.post_data), step).await?;
        if self.order.has_privileges() {
            pieces.run(connection, &self.own(&behind.privileges), step).await?;
        }
        let mut tx = connection.begin().await?;
        self.send(&mut tx, "").await?;
        let is_compared = self.finish(&mut tx).await?;
        // It tells a whole tenant from another.
        self.send(&mut tx, &summary).await?;
        self.check_wanted()?;
        commit(tx, self.site()).await?;
        Ok(is_compared)
    }

    /// The steps behind indexes and privileges.
    async fn finish(&self, tx: &mut PgConnection) -> Result<bool> {
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

    pub(super) fn qualified(&self, name: &str) -> String {
        qualified(self.tenant.schema(), name)
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

    /// The ledger is a table among the others, and the files were compared with what the manifest says of it. Answers
    /// with the statement that notes what the schema has applied.
    async fn check_ledger(&self, tx: &mut PgConnection) -> Result<String> {
        let rows = read_ledger(tx, self.tenant.schema()).await?;
        let ledger = Ledger::of(self.tenant.schema(), &rows);
        let applied = applied(self.manifest())?;
        if rows.iter().all(|row| row.success)
            && [ledger.digest(), Ledger::of(self.tenant.schema(), &applied).digest()]
                == [self.manifest().digest; 2]
        {
            return Ok(ledger.summarise());
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
