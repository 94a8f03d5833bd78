//! Makes the schema in the database that the tenant goes to.

use sqlx::{Connection as _, PgConnection};

use super::blueprint::Blueprint;
use super::work::Relocation;
use crate::error::{ErrorKind, Result};
use crate::lifecycle::contents::{first, leading_out};
use crate::lifecycle::making::make_tables;
use crate::lifecycle::needs::Here;
use crate::lifecycle::source::ReadFor;
use crate::migrate::commit;
use crate::provision::grants;
use crate::registry::kept_files;
use crate::structure::{Objects, StructurePart, Subject};

impl Relocation<'_> {
    /// Makes the tables and the ledger. What stands behind the rows is made too, compared and taken back, so that what
    /// cannot be moved is known while the tenant is served.
    pub(super) async fn make(
        &self,
        source: &mut PgConnection,
        target: &mut PgConnection,
        blueprint: &Blueprint,
    ) -> Result<()> {
        self.step("making tables")?;
        let mut tx = target.begin().await?;
        let tables = blueprint.structure.before_rows(self.tenant.schema(), self.own_role().as_deref());
        make_tables(&mut tx, self.context, self.arrived(), &tables).await?;
        self.copy_ledger(source, &mut tx).await?;
        self.send(&mut tx, "SAVEPOINT rehearsed").await?;
        let behind = blueprint.structure.behind_rows(self.tenant.schema(), self.own_role().as_deref());
        self.make_behind(&mut tx, &behind).await?;
        self.prove(&mut tx, blueprint).await?;
        self.send(&mut tx, "ROLLBACK TO SAVEPOINT rehearsed").await?;
        commit(tx, self.site()).await
    }

    /// The ledger, its summary, and what is kept of former types. Nobody migrates meanwhile.
    async fn copy_ledger(&self, source: &mut PgConnection, tx: &mut PgConnection) -> Result<()> {
        let schema = self.tenant.schema();
        self.transfer().copy_ledger(source, tx).await?;
        if kept_files::has_ledger_type(source, schema).await? {
            kept_files::set_ledger_type(tx, schema, self.tenant.type_name()).await?;
        }
        let kept = kept_files::all(source, schema).await?;
        kept_files::restore(tx, schema, &kept).await
    }

    /// Indexes, keys, triggers, policies and privileges. An application that goes by another name there gets what it
    /// gets in a new tenant.
    pub(super) async fn make_behind(&self, tx: &mut PgConnection, rest: &str) -> Result<()> {
        self.send(tx, &format!("SET LOCAL search_path TO {};\n{rest}", self.site().path())).await?;
        let databases = &self.context.databases;
        let [here, there] = [databases.config(&self.record.source)?, databases.config(&self.record.target)?];
        if here.application_role() != there.application_role() {
            let schema = self.tenant.schema();
            let statements = grants(tx, self.context, &self.record.target, schema).await?;
            self.send(tx, &statements.join(";\n")).await?;
        }
        Ok(())
    }

    /// Compares the new schema with the old one, by all that the two servers say in the same way.
    async fn prove(&self, tx: &mut PgConnection, blueprint: &Blueprint) -> Result<()> {
        let (schema, role) = (self.tenant.schema(), self.own_role());
        let subject = Subject { schema, own_role: role.as_deref() };
        let (here, there) = (&blueprint.needs.here, Here::of(tx).await?);
        let is_same_major = here.major() == there.major();
        let databases = &self.context.databases;
        let [from, to] = [&self.record.source, &self.record.target].map(|alias| databases.config(alias));
        let has_same_roles = here.owner == there.owner && from?.application_role() == to?.application_role();
        let (is, should_be) = if is_same_major && has_same_roles {
            (Objects::of(tx, subject).await?, blueprint.whole.clone())
        } else {
            let part = StructurePart::Shape(&[]);
            (Objects::within(tx, subject, part).await?, blueprint.shape.clone())
        };
        let [is, should_be] = [is, should_be].map(|objects| {
            let objects = objects.without_surroundings(&[]);
            if is_same_major { objects } else { objects.names_only() }
        });
        let refused =
            |reason: String| Err(ReadFor::Move.refused(self.tenant, ErrorKind::Unsupported, reason));
        if !is.is_like(&should_be) {
            let what = is.difference(&should_be);
            return refused(format!("in database `{}` it would differ in {what}", self.record.target));
        }
        let shared = ReadFor::Move.shared(&self.context.layout);
        let leading_out = leading_out(tx, &shared, schema).await?;
        if !leading_out.is_empty() {
            return refused(format!("in database `{}`, {}", self.record.target, first(&leading_out)));
        }
        Ok(())
    }

    /// Makes all that stands behind the rows, sets the sequences to where those of the source are, and fills the
    /// materialized views.
    pub(super) async fn complete(
        &self,
        source: &mut PgConnection,
        target: &mut PgConnection,
        blueprint: &Blueprint,
    ) -> Result<()> {
        self.step("making indexes and keys")?;
        let mut tx = target.begin().await?;
        let behind = blueprint.structure.behind_rows(self.tenant.schema(), self.own_role().as_deref());
        self.make_behind(&mut tx, &behind).await?;
        let carrier = self.transfer().carrier();
        carrier.set_sequences(source, &mut tx).await?;
        carrier.refresh(source, &mut tx).await?;
        commit(tx, self.site()).await
    }
}
