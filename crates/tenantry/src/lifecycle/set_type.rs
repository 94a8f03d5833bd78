//! Gives a tenant another type, or none.
//!
//! 1. Under the lock of the schema, the ledger is compared with the files of both types. What stands in the way is
//!    told, and nothing is changed.
//! 2. The audit has the change as begun. Undo: any change of type ends it.
//! 3. Where that was asked for, the files of the former type are undone. Undo: a change back applies them anew, without
//!    the rows.
//! 4. The ledger goes over to the new type, in one transaction: files of the former type leave it and are kept, those
//!    of the new one that were kept come back. From here on, no run touches the schema. Undo: a change back.
//! 5. The registry says the new type, and runs apply its files. Undo: a change back.
//! 6. The missing files are applied, and the audit has the change as done.
//!
//! Steps 4 and 5 may be in two databases. Between them, the ledger says one type and the registry the other, which is
//! how runs know. Each step finds out by itself whether it was done before, so the same call goes on.

use sqlx::{Connection as _, PgConnection};

use super::find::find;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migrate::{
    Applied, Goal, Leaving, Ledger, LedgerChange, Site, migrate_schema, plan_type_change, read_ledger,
};
use crate::migration::MigrationSet;
use crate::provision::lock_schema;
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, kept_files, store};
use crate::tenant::{Alias, SchemaName, Status, Tenant, TenantId, TenantRecord, TypeName, Verb};

/// The fate of the files of the type that a tenant leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FormerFiles {
    /// They leave the ledger, and what they made stays. They come back when the tenant is of the type again.
    #[default]
    Keep,
    /// They are undone by their `.down.sql` files, and what is in the tables that those drop is lost.
    Undo,
}

/// A change of type that was made.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct TypeChange {
    /// The tenant as it is now.
    pub tenant: Tenant,
    /// Versions that were applied.
    pub applied: Vec<i64>,
    /// Versions of the former type that were undone.
    pub undone: Vec<i64>,
    /// Versions of the former type that left the ledger, while what they made stays.
    pub kept: Vec<i64>,
    /// Versions of the new type that had been kept, and are in the ledger again.
    pub put_back: Vec<i64>,
}

/// Gives the tenant this type, and brings its schema to the files of the type.
pub(crate) async fn set_type(
    context: &Context,
    id: TenantId,
    type_name: Option<&TypeName>,
    former: FormerFiles,
) -> Result<TypeChange> {
    let mut registry = context.databases.owner_connection(&Alias::default()).await?;
    let tenant = find(&mut registry, id).await?;
    let work = TypeChanging { context, to: type_name, former };
    check_status(&tenant)?;
    work.new_files().map_err(|error| error.with_tenant(tenant.slug()))?;
    let mut workplace = lock_schema(context, &tenant).await?;
    // Under the lock, because another change may just have ended.
    let tenant = find(&mut registry, id).await?;
    check_status(&tenant)?;
    let changed = work.change(&mut registry, &mut workplace, &tenant).await;
    if let Err(error) = &changed {
        // What failed says more than that it could not be noted.
        let _ = store::set_last_error(&mut registry, &tenant, Some(&error.to_string())).await;
    }
    let change = changed?;
    let LedgerChange { applied, undone, kept, put_back } = change;
    let tenant = find(&mut registry, id).await?;
    Ok(TypeChange { tenant, applied, undone, kept, put_back })
}

fn check_status(tenant: &Tenant) -> Result<()> {
    if matches!(tenant.status(), Status::Active | Status::Suspended) {
        return Ok(());
    }
    let message = format!("tenant `{}` is {} and cannot get another type", tenant.slug(), tenant.status());
    Err(Error::new(ErrorKind::TenantUnavailable, message).with_tenant(tenant.slug()))
}

/// A change of type that is being made.
struct TypeChanging<'a> {
    context: &'a Context,
    to: Option<&'a TypeName>,
    former: FormerFiles,
}

impl TypeChanging<'_> {
    fn new_files(&self) -> Result<&MigrationSet> {
        Ok(self.context.migrations.files_of(self.to)?.set())
    }

    /// The steps, under the lock of the schema.
    async fn change(
        &self,
        registry: &mut PgConnection,
        workplace: &mut PgConnection,
        tenant: &Tenant,
    ) -> Result<LedgerChange> {
        let schema = tenant.schema();
        // An interrupted change may have come to the ledger, and not to the registry.
        let from = kept_files::ledger_type(workplace, schema, tenant.type_name()).await?;
        let change = self.plan(workplace, tenant, from.as_ref()).await?;
        let is_moved = from.as_ref() == self.to;
        if is_moved && tenant.type_name() == self.to && change == LedgerChange::default() {
            // Whatever was begun came to this, or was left on the way back.
            let begun = audit::begun(registry, tenant.id(), Verb::SetType).await?;
            if let Some(begun) = begun {
                let is_this = begun["to"] == serde_json::json!(self.to);
                let state = if is_this { AuditState::Done } else { AuditState::Undone };
                audit::end(registry, tenant.id(), Verb::SetType, state).await?;
            }
            return Ok(change);
        }
        self.begin(registry, tenant, from.as_ref(), &change).await?;
        if !is_moved {
            self.undo(workplace, tenant, from.as_ref(), &change).await?;
            self.move_ledger(workplace, schema, from.as_ref(), &change).await?;
            fail_point::reached(FailPoint::LedgerMoved);
        }
        store::set_type(registry, tenant.id(), self.to).await?;
        fail_point::reached(FailPoint::TypeSet);
        let now = of_type(tenant, self.to);
        let goal = Goal::latest(self.new_files()?).in_order();
        migrate_schema(workplace, Site::of_tenant(&self.context.layout, &now), goal).await?;
        fail_point::reached(FailPoint::TypeFilled);
        self.end(registry, tenant).await?;
        Ok(change)
    }

    /// Finds out what is to be done, unless something stands in the way.
    async fn plan(
        &self,
        workplace: &mut PgConnection,
        tenant: &Tenant,
        from: Option<&TypeName>,
    ) -> Result<LedgerChange> {
        let schema = tenant.schema();
        let rows = read_ledger(workplace, schema).await?;
        let kept = match self.to.filter(|_| from != self.to) {
            Some(to) => kept_files::of_type(workplace, schema, to).await?,
            None => Vec::new(),
        };
        let kept: Vec<_> = kept
            .into_iter()
            .map(|(version, checksum)| Applied { version, checksum, success: true })
            .collect();
        let leaving = match from {
            Some(_) if from != self.to => match self.context.migrations.files_of(from) {
                Ok(files) => Leaving::Files(files.set()),
                Err(error) if self.former == FormerFiles::Undo => {
                    return Err(error.with_tenant(tenant.slug()));
                }
                Err(_) => Leaving::Unknown,
            },
            _ => Leaving::Nothing,
        };
        let undoes = self.former == FormerFiles::Undo;
        let planned = plan_type_change(&rows, leaving, self.new_files()?, &kept, undoes);
        planned.map_err(|conflicts| Site::of_tenant(&self.context.layout, tenant).conflict(&conflicts))
    }

    /// Enters the change as begun, unless it is.
    async fn begin(
        &self,
        registry: &mut PgConnection,
        tenant: &Tenant,
        from: Option<&TypeName>,
        change: &LedgerChange,
    ) -> Result<()> {
        let options = serde_json::json!({
            "from": from, "to": self.to, "undo": self.former == FormerFiles::Undo, "kept": change.kept,
        });
        let action = Action { options, ..Action::new(Verb::SetType, &self.context.operator) };
        let mut tx = registry.begin().await?;
        let begun = audit::begun(&mut tx, tenant.id(), Verb::SetType).await?;
        if begun.as_ref().is_none_or(|begun| begun["to"] != action.options["to"]) {
            // Another change takes the place of one that did not come to its end.
            audit::end(&mut tx, tenant.id(), Verb::SetType, AuditState::Undone).await?;
            audit::enter(&mut tx, tenant, &action, AuditState::Begun).await?;
        }
        fail_point::reached(FailPoint::BeforeTypeChange);
        tx.commit().await?;
        fail_point::reached(FailPoint::AfterTypeChange);
        Ok(())
    }

    async fn undo(
        &self,
        workplace: &mut PgConnection,
        tenant: &Tenant,
        from: Option<&TypeName>,
        change: &LedgerChange,
    ) -> Result<()> {
        if change.undone.is_empty() {
            return Ok(());
        }
        let before = of_type(tenant, from);
        let goal = Goal::without_type(self.context.migrations.files_of(from)?.set());
        migrate_schema(workplace, Site::of_tenant(&self.context.layout, &before), goal).await?;
        fail_point::reached(FailPoint::TypeUndone);
        Ok(())
    }

    /// Hands the ledger over, in one transaction.
    async fn move_ledger(
        &self,
        workplace: &mut PgConnection,
        schema: &SchemaName,
        from: Option<&TypeName>,
        change: &LedgerChange,
    ) -> Result<()> {
        let mut tx = workplace.begin().await?;
        if let Some(from) = from {
            kept_files::keep(&mut tx, schema, from, &change.kept).await?;
        }
        if let Some(to) = self.to {
            kept_files::put_back(&mut tx, schema, to).await?;
        }
        let rows = read_ledger(&mut tx, schema).await?;
        let summarise = Ledger::of(schema, &rows).summarise();
        sqlx::raw_sql(sqlx::AssertSqlSafe(summarise)).execute(&mut *tx).await?;
        kept_files::set_ledger_type(&mut tx, schema, self.to).await?;
        fail_point::reached(FailPoint::BeforeLedgerMoves);
        Ok(tx.commit().await?)
    }

    /// Notes that it is done, and tells every cache what the schema has applied: its row changes once more.
    async fn end(&self, registry: &mut PgConnection, tenant: &Tenant) -> Result<()> {
        let mut tx = registry.begin().await?;
        store::set_type(&mut tx, tenant.id(), self.to).await?;
        audit::end(&mut tx, tenant.id(), Verb::SetType, AuditState::Done).await?;
        fail_point::reached(FailPoint::BeforeTypeEnds);
        tx.commit().await?;
        fail_point::reached(FailPoint::AfterTypeEnds);
        Ok(())
    }
}

/// The same tenant, as one of this type.
fn of_type(tenant: &Tenant, type_name: Option<&TypeName>) -> Tenant {
    Tenant::from(TenantRecord { type_name: type_name.cloned(), ..tenant.to_record() })
}
