//! Makes a tenant.

use sqlx::{Connection as _, PgConnection};

use super::grants::grants;
use super::half_made::{end_making, refuse_other_verb};
use super::new_tenant::{NewTenant, check_open};
use super::on_citus::{NotOnCitus, refuse_on_citus};
use super::register::{enter, register};
use super::search::{Search, is_placed, take_back};
use super::whereabouts::{find_node, lead_to_node};
use super::{agreement, claim};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migrate::{
    Goal, Patience, SchemaLock, Site, commit, creation_message, distribute, distribute_alone, migrate_schema,
    needs_own_transaction, schema_message, send, start_from_baseline,
};
use crate::migration::{Migration, TenantFiles};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, databases, nodes, store, with_applied};
use crate::tenant::{Alias, DomainName, Status, Tenant, TenantRecord, Verb};

/// Makes the tenant, or goes on with making it, and answers with what the registry now holds.
pub(crate) async fn create(context: &Context, new: &NewTenant) -> Result<Tenant> {
    let draft = new.outline(context, Status::Active)?;
    // The type and the alias are checked before anything is written.
    if draft.type_name().is_some() {
        context.migrations.files_of(draft.type_name())?;
    }
    context.databases.config(draft.database())?;
    let create = async |registry: &mut PgConnection| create_in(context, registry, new, &draft).await;
    let made = context.databases.with_registry(create).await?;
    let made = with_applied(&context.databases, made.into_iter().collect()).await?.pop();
    made.ok_or_else(|| Error::new(ErrorKind::Conflict, format!("tenant `{}` was just removed", draft.slug())))
}

async fn create_in(
    context: &Context,
    registry: &mut PgConnection,
    new: &NewTenant,
    draft: &Tenant,
) -> Result<Option<Tenant>> {
    match store::tenant_by_slug(&mut *registry, draft.slug()).await? {
        Some(known) if is_half_made_by(&known, new, draft) => go_on(context, registry, &known).await?,
        Some(known) => return Err(already_exists(&known)),
        None if new.registers_existing() => {
            check_open(context, draft.database(), draft.slug())?;
            refuse_on_citus(context, NotOnCitus::Adopt, &[draft.database()]).await?;
            register(context, registry, draft, new).await?;
        }
        None => {
            context.migrations.creation_files(draft.type_name())?;
            agreement::check(context, registry).await?;
            create_somewhere(context, registry, new, draft).await?;
        }
    }
    store::tenant_by_slug(registry, draft.slug()).await
}

/// Makes it in the database that it names, or that the placement chooses.
async fn create_somewhere(
    context: &Context,
    registry: &mut PgConnection,
    new: &NewTenant,
    draft: &Tenant,
) -> Result<()> {
    if !is_placed(context, new) {
        check_open(context, draft.database(), draft.slug())?;
        return create_new(context, registry, new, draft).await;
    }
    // In a box, so that the future of an installation that does not choose is no larger for it.
    Box::pin(create_where_placed(context, registry, new, draft)).await
}

/// Makes it in a database that the placement chooses. One that turns out not to answer, or to have been closed, is
/// passed over while nothing was written and there is another one.
async fn create_where_placed(
    context: &Context,
    registry: &mut PgConnection,
    new: &NewTenant,
    draft: &Tenant,
) -> Result<()> {
    let mut search = Search::begin(context, registry, draft).await?;
    loop {
        let draft = search.choose(draft)?;
        databases::send(registry, draft.database()).await?;
        let new = new.clone().database(draft.database().clone());
        let Err(error) = create_new(context, registry, &new, &draft).await else { return Ok(()) };
        if !take_back(registry, &draft).await || !search.passes_over(&draft, &error) {
            return Err(error);
        }
    }
}

async fn create_new(
    context: &Context,
    registry: &mut PgConnection,
    new: &NewTenant,
    draft: &Tenant,
) -> Result<()> {
    if fits_one_transaction(context, draft) {
        match create_patiently(context, registry, new, draft).await {
            Err(error) if needs_own_transaction(&error) => {}
            result => return result,
        }
    }
    create_stepwise(context, registry, new).await
}

async fn create_patiently(
    context: &Context,
    registry: &mut PgConnection,
    new: &NewTenant,
    draft: &Tenant,
) -> Result<()> {
    let mut patience = Patience::of_creation();
    loop {
        match create_whole(context, registry, new, draft).await {
            Err(error) if patience.rest(&error, &name_of(draft)).await => {}
            result => return result,
        }
    }
}

async fn create_whole(
    context: &Context,
    registry: &mut PgConnection,
    new: &NewTenant,
    draft: &Tenant,
) -> Result<()> {
    if claim::claim(context, registry, draft, new.domains()).await? {
        return Ok(());
    }
    create_at_once(context, draft, new.domains()).await
}

fn name_of(tenant: &Tenant) -> String {
    format!("tenant {}", tenant.slug())
}

/// Returns true if the same command was interrupted before: another one would get what it did not ask for.
fn is_half_made_by(known: &Tenant, new: &NewTenant, draft: &Tenant) -> bool {
    known.status() == Status::Provisioning
        && new.chosen_database().is_none_or(|database| database == known.database())
        && known.type_name() == draft.type_name()
        && !new.registers_existing()
}

pub(crate) fn already_exists(tenant: &Tenant) -> Error {
    let (slug, status) = (tenant.slug(), tenant.status());
    // The message may reach whoever signs up, and says nothing of one that is hidden but that the slug is taken.
    let message = if status == Status::Deleted {
        format!("tenant `{slug}` already exists")
    } else {
        format!("tenant `{slug}` already exists and is {status}")
    };
    let error = Error::new(ErrorKind::AlreadyExists, message).with_tenant(slug);
    match status {
        Status::Deleted => error.with_hint(format!(
            "it is deleted: `tenantry undelete {slug}` brings it back, `tenantry purge {slug}` removes it for good"
        )),
        Status::Provisioning => {
            error.with_hint("complete it with the command that began it, or remove it with `--abort`")
        }
        _ => error,
    }
}

fn fits_one_transaction(context: &Context, tenant: &Tenant) -> bool {
    let is_plain = |files: &TenantFiles| files.beyond_baseline().all(Migration::is_plain);
    *tenant.database() == Alias::default()
        && context.migrations.files_of(tenant.type_name()).is_ok_and(is_plain)
}

/// All of it or nothing. A future that is dropped half-way leaves nothing either.
async fn create_at_once(context: &Context, tenant: &Tenant, domains: &[DomainName]) -> Result<()> {
    let files = context.migrations.creation_files(tenant.type_name())?;
    // Of its own, because the files may leave something behind in the session.
    let mut workplace = context.databases.owner_connection(tenant.database()).await?;
    let mut tx = workplace.begin().await?;
    // Should a file end the transaction, what is left is a tenant that nobody serves.
    let tenant = &Tenant::from(TenantRecord { status: Status::Provisioning, ..tenant.to_record() });
    enter(&mut tx, tenant, domains).await?;
    audit::enter(&mut tx, tenant, &Action::new(Verb::Create, &context.operator), AuditState::Done).await?;
    let grants = grants(&mut tx, context, tenant.database(), tenant.schema()).await?;
    let site = Site::of_tenant(&context.layout, tenant);
    send(&mut tx, site, &creation_message(site, files, &grants)?).await?;
    distribute(&mut tx, site).await?;
    lead_to_node(context, &mut tx, tenant).await?;
    store::set_status(&mut tx, tenant, Status::Active).await?;
    fail_point::reached(FailPoint::BeforeCreate);
    commit(tx, site).await?;
    fail_point::reached(FailPoint::AfterCreate);
    Ok(())
}

/// The row first, as `provisioning`; the schema and its files; `active` last.
async fn create_stepwise(context: &Context, registry: &mut PgConnection, new: &NewTenant) -> Result<()> {
    let tenant = new.draft(context, Status::Provisioning)?;
    // Held before the row can be seen: whoever finds the row finds the lock taken.
    let mut workplace = lock_schema(context, &tenant).await?;
    let mut tx = registry.begin().await?;
    enter(&mut tx, &tenant, new.domains()).await?;
    audit::enter(&mut tx, &tenant, &Action::new(Verb::Create, &context.operator), AuditState::Begun).await?;
    tx.commit().await?;
    let filled = match claim::claim_there(context, &mut workplace, &tenant).await {
        Ok(true) => Ok(()),
        Ok(false) => fill_patiently(context, &mut workplace, &tenant).await,
        Err(error) => Err(error),
    };
    finish(context, registry, &tenant, (workplace, filled)).await
}

/// Goes on with a tenant that was interrupted while it was made.
async fn go_on(context: &Context, registry: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    context.migrations.files_of(tenant.type_name())?;
    let mut workplace = lock_schema(context, tenant).await?;
    // Under the lock, because what was read before may be finished or removed by now.
    let now = store::tenant_by_slug(&mut *registry, tenant.slug()).await?;
    if now.is_none_or(|now| now.id() != tenant.id() || now.status() != tenant.status()) {
        let message = format!("tenant `{}` was just finished or removed", tenant.slug());
        return Err(Error::new(ErrorKind::Conflict, message).with_tenant(tenant.slug()));
    }
    refuse_other_verb(registry, &mut workplace, tenant).await?;
    let filled = fill_patiently(context, &mut workplace, tenant).await;
    finish(context, registry, tenant, (workplace, filled)).await
}

async fn finish(
    context: &Context,
    registry: &mut PgConnection,
    tenant: &Tenant,
    (mut workplace, filled): (PgConnection, Result<()>),
) -> Result<()> {
    let filled = match filled {
        Ok(()) => find_node(context, &mut workplace, tenant).await,
        Err(error) => Err(error),
    };
    match filled {
        Ok(node) => {
            let mut tx = registry.begin().await?;
            if let Some(node) = node {
                nodes::lead_to(&mut tx, tenant, &node).await?;
            }
            store::set_status(&mut tx, tenant, Status::Active).await?;
            end_making(&mut tx, tenant).await?;
            Ok(tx.commit().await?)
        }
        Err(error) => {
            // What failed says more than that it could not be noted.
            let _ = store::set_last_error(registry, tenant, Some(&error.to_string())).await;
            Err(error)
        }
    }
}

async fn fill_patiently(context: &Context, workplace: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let mut patience = Patience::of_creation();
    loop {
        match fill_schema(context, workplace, tenant).await {
            Err(error) if patience.rest(&error, &name_of(tenant)).await => {}
            result => return result,
        }
    }
}

/// Every step finds out by itself whether it was done before.
async fn fill_schema(context: &Context, workplace: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let files = context.migrations.files_of(tenant.type_name())?;
    let site = Site::of_tenant(&context.layout, tenant);
    let mut tx = workplace.begin().await?;
    // A role of the tenant's own is made before the schema is filled, the ledger before both.
    let grants = grants(&mut tx, context, tenant.database(), tenant.schema()).await?;
    send(&mut tx, site, &schema_message(site, &grants)).await?;
    start_from_baseline(&mut tx, site, files).await?;
    tx.commit().await?;
    migrate_schema(workplace, site, Goal::latest(files.set())).await?;
    distribute_alone(workplace, site).await
}

/// A connection to the tenant's database that holds the lock of its schema. The lock ends with it.
pub(crate) async fn lock_schema(context: &Context, tenant: &Tenant) -> Result<PgConnection> {
    let mut connection = context.databases.owner_connection(tenant.database()).await?;
    take_lock(&mut connection, tenant).await?;
    Ok(connection)
}

/// Has a session hold the lock of a tenant's schema, until it ends.
pub(crate) async fn take_lock(connection: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    if SchemaLock::of(tenant.schema()).try_take(connection).await? {
        return Ok(());
    }
    Err(somebody_works_on(tenant))
}

/// The error of whoever finds the lock of a tenant's schema taken.
pub(crate) fn somebody_works_on(tenant: &Tenant) -> Error {
    let message = format!("another process is working on tenant `{}`", tenant.slug());
    Error::new(ErrorKind::Conflict, message)
        .with_tenant(tenant.slug())
        .with_hint("wait for it, then try again")
}
