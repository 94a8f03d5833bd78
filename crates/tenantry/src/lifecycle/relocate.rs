//! Moves a tenant to another database.
//!
//! | step | what is done | its undo |
//! | --- | --- | --- |
//! | 1 `turn` | the lock of the tenant's schema is taken where it is | the session ends |
//! | 2 `blueprint`, `needs` | what cannot be moved is refused, before anything is made | none is needed |
//! | 3 | the move is recorded | the record is ended as undone |
//! | 4 `making` | the tables are made in the target, and all that stands behind them is tried | they are dropped |
//! | 5 `gate` | checkouts wait; what is under way ends | the tenant is served where it was |
//! | 6 `fence` | the source is locked against writers | the session ends |
//! | 7 `rows`, `making` | rows are copied and compared; indexes, keys and triggers follow | they are dropped |
//! | 8 `fence` | the schema gets another name in the source, in the transaction of the locks | none: repeat it |
//! | 9 `ending` | the registry leads to the target, and the copy in the source gets its date | none is needed |
//!
//! Whoever fails before step 8 undoes what was done. Whoever dies leaves a record, with which the same command goes on:
//! before step 8 from step 4 on, behind it with step 9. `online` has the steps of a move while others write. Nobody
//! ever writes into the past: before step 8 the target is nobody's, behind it the name is gone in the source, whoever
//! looks for it there.

mod blueprint;
mod ending;
mod fence;
mod gate;
mod kept;
mod making;
mod needs;
mod online;
mod options;
mod plan;
mod porter;
mod row_sum;
mod rows;
mod turn;
mod work;

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use self::blueprint::Blueprint;
use self::ending::{remove_copy, undo};
pub(crate) use self::kept::{purge_copies, purge_copy};
use self::needs::{check_free, check_needs, check_open, check_status};
use self::online::check_online;
use self::options::Carried;
pub use self::options::{MoveOptions, Moved};
pub(crate) use self::plan::examine_move;
pub use self::plan::{MovePlan, MoveRefusal};
use self::turn::{Turn, take_turn};
use self::work::Relocation;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::observe::Steps;
use crate::provision::{NotOnCitus, refuse_on_citus};
use crate::registry::audit::{self, Action};
use crate::registry::{AuditState, MoveMethod, TenantMove, moves};
use crate::tenant::{Alias, SchemaName, Tenant, TenantId, Verb};

/// Moves the tenant, or goes on with its move. `dump` gives what `pg_dump` says of the source with these arguments, and
/// is called where nobody has copied this structure before.
pub(crate) async fn relocate<E: From<Error>>(
    context: &Context,
    tenant: &Tenant,
    options: &MoveOptions,
    steps: &dyn Steps,
    dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
) -> Result<Moved, E> {
    let mut registry = context.databases.unlimited_owner_connection(&Alias::default()).await?;
    let Turn { mut source, tenant, under_way } =
        take_turn(context, &mut registry, tenant.id(), steps).await?;
    let to = options.target_of(&tenant, under_way.as_ref())?;
    if *tenant.database() == to {
        let Some(record) = &under_way else { return Ok(Moved::none(tenant)) };
        // It is served there, and something is left where it was.
        let work = Relocation::new(context, &tenant, record, steps);
        work.finish(&mut registry, &mut source).await?;
        return Ok(work.moved(&mut registry, &Carried::default(), 0).await?);
    }
    check_status(&tenant)?;
    let mut target = turn::open_target(context, &tenant, &to).await?;
    refuse_on_citus(context, NotOnCitus::Move, &[tenant.database(), &to]).await?;
    if let Some(record) = &under_way {
        let work = Relocation::new(context, &tenant, record, steps);
        if work.is_closed(&mut source).await? {
            return Ok(work.end(&mut registry, &mut target, Carried::default()).await?);
        }
        work.forget_changes(&mut registry, &mut source, tenant.schema()).await?;
        remove_copy(context, &mut target, work.arrived(), steps).await?;
    } else {
        check_open(context, &mut registry, &tenant, &to).await?;
        check_free(&mut target, &tenant, &to).await?;
    }
    let method = under_way.as_ref().map_or(options.method, |record| record.method);
    let looked = look(context, &mut source, &mut target, (&tenant, &to, method), dump).await;
    let blueprint = match looked {
        Ok(blueprint) => blueprint,
        Err(error) => {
            // Nobody is to wait for a move that cannot go on.
            if let Some(record) = &under_way {
                undo(&Relocation::new(context, &tenant, record, steps), AuditState::Failed).await?;
            }
            return Err(error);
        }
    };
    let record = match under_way {
        Some(record) => record,
        None => begin(context, &mut registry, &tenant, &to, options).await?,
    };
    fail_point::reached(FailPoint::MovePlanned);
    let work = Relocation::new(context, &tenant, &record, steps);
    let closed = match method {
        MoveMethod::Offline => work.until_closed(&mut registry, &mut source, &mut target, &blueprint).await,
        MoveMethod::Online => {
            work.until_closed_online(&mut registry, &mut source, &mut target, &blueprint).await
        }
    };
    let carried = match closed {
        Ok(carried) => carried,
        Err(error) => {
            // What is in their transactions is undone, and the locks are given back.
            drop((source, target));
            return Ok(after_failure(&work, error).await?);
        }
    };
    let moved = work.end(&mut registry, &mut target, carried).await?;
    // The next move or clone of the structure needs no dump. It is done without.
    let _ = blueprint.keep(&mut source).await;
    let _ = source.close().await;
    Ok(moved)
}

/// Refuses what cannot be moved there, and reads all but the rows.
async fn look<E: From<Error>>(
    context: &Context,
    source: &mut PgConnection,
    target: &mut PgConnection,
    (tenant, to, method): (&Tenant, &Alias, MoveMethod),
    dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
) -> Result<Blueprint, E> {
    if method == MoveMethod::Online {
        check_online(source, tenant).await?;
    }
    let blueprint = Blueprint::read(context, source, tenant, dump).await?;
    check_needs(target, tenant, to, &blueprint.needs).await?;
    Ok(blueprint)
}

/// Enters the move, before anything is made.
async fn begin(
    context: &Context,
    registry: &mut PgConnection,
    tenant: &Tenant,
    target: &Alias,
    options: &MoveOptions,
) -> Result<TenantMove> {
    let random = TenantId::random().as_uuid().simple().to_string();
    let kept = SchemaName::parse(&format!("tenantry_moved_{}", &random[random.len() - 10..]))?;
    let keep = options.keep.duration();
    let method = options.method;
    let told = json!({
        "from": tenant.database(), "to": target, "method": method.as_str(), "keep_seconds": keep.as_secs(),
    });
    let action = Action { options: told, ..Action::new(Verb::Move, &context.operator) };
    let mut tx = registry.begin().await?;
    let record = moves::begin(&mut tx, tenant, (target, &kept), (method, keep), &context.operator).await?;
    audit::enter(&mut tx, tenant, &action, AuditState::Begun).await?;
    tx.commit().await?;
    Ok(record)
}

/// Takes back what a move has done that failed. Where the source turns out to be closed, the move goes on instead: the
/// answer to the `COMMIT` was lost.
async fn after_failure(work: &Relocation<'_>, error: Error) -> Result<Moved> {
    let slug = work.tenant.slug();
    let is_closed = async {
        let mut source = turn::reopen_source(work.context, work.tenant).await?;
        Ok::<_, Error>((work.is_closed(&mut source).await?, source))
    };
    let undone = match is_closed.await {
        Ok((true, _source)) => {
            let mut registry = work.context.databases.owner_connection(&Alias::default()).await?;
            let mut target =
                work.context.databases.unlimited_owner_connection(work.arrived().database()).await?;
            return work.end(&mut registry, &mut target, Carried::default()).await;
        }
        Ok((false, _source)) => undo(work, AuditState::Failed).await,
        Err(error) => Err(error),
    };
    Err(match undone {
        Ok(()) => error,
        Err(second) => {
            tracing::warn!(error = %second, tenant = %slug, "Could not undo a move that failed: {second}");
            error.with_hint(format!(
                "its move is not undone: `tenantry move {slug} --abort` does that, and `tenantry move {slug}` goes on"
            ))
        }
    })
}

/// Undoes a move that was interrupted. Answers with the tenant as it is now.
pub(crate) async fn abort_move(context: &Context, id: TenantId, steps: &dyn Steps) -> Result<Tenant> {
    let mut registry = context.databases.unlimited_owner_connection(&Alias::default()).await?;
    let Turn { mut source, tenant, under_way } = take_turn(context, &mut registry, id, steps).await?;
    let slug = tenant.slug();
    let Some(record) = under_way else {
        let message = format!("tenant `{slug}` is not being moved");
        return Err(Error::new(ErrorKind::InvalidInput, message).with_tenant(slug));
    };
    let work = Relocation::new(context, &tenant, &record, steps);
    if *tenant.database() == record.target || work.is_closed(&mut source).await? {
        let message = format!(
            "the move of tenant `{slug}` cannot be undone: its schema in database `{}` is closed",
            record.source
        );
        return Err(Error::new(ErrorKind::Conflict, message)
            .with_tenant(slug)
            .with_hint(format!("`tenantry move {slug}` goes on with it")));
    }
    undo(&work, AuditState::Undone).await?;
    super::find::find(&mut registry, id).await
}
