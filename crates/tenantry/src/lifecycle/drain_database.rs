//! Says where the tenants of a database go that is to be left.
//!
//! Nothing is written down of it: what is left is what the registry still has there. So whoever is interrupted plans
//! anew, and finds those that have gone where they are. A move that was interrupted goes on to where it led.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
#[cfg(doc)]
use crate::lifecycle::MoveOptions;
use crate::placement::{KnownDatabases, Newcomer, PlacementPlan};
use crate::provision::{known_databases, remove_spares};
use crate::registry::{Selection, databases, moves as tenant_moves};
use crate::sql::Literal;
use crate::tenant::{Alias, Status, Tenant};

/// Tenants that are read at a time.
const PAGE: i64 = 1_000;

/// The tenants of a database that is to be left, and where they go.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DrainPlan {
    /// The database.
    pub database: Alias,
    /// The tenants that can be moved, in the order of their slugs.
    pub moves: Vec<PlannedMove>,
    /// The tenants that stay until they are purged, finished or aborted, by their status.
    pub staying: BTreeMap<Status, u64>,
}

/// A tenant, and the database that it is to move to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlannedMove {
    /// The tenant.
    pub tenant: Tenant,
    /// The database, or the reason why there is none for it.
    pub to: Result<Alias>,
    /// True if its move was begun and has not ended: then it goes on, as [`MoveOptions::resume`] has it.
    pub is_under_way: bool,
}

/// Plans the moves, and changes nothing. Without `to`, every other database comes into question that is open and
/// answers.
pub(crate) async fn plan_drain(context: &Context, alias: &Alias, to: &[Alias]) -> Result<DrainPlan> {
    check(context, alias, to)?;
    let read = async |registry: &mut PgConnection| {
        let mut around = known_databases(context, registry).await?;
        around.closed.insert(alias.clone());
        keep(&mut around, to);
        let staying = staying(&databases::by_status(&mut *registry, alias).await?);
        let moves = moves(context, registry, alias, around).await?;
        Ok(DrainPlan { database: alias.clone(), moves, staying })
    };
    context.databases.with_registry(read).await
}

/// Removes the spares of a database that is to be left.
pub(crate) async fn drain_spares(context: &Context, alias: &Alias) -> Result<usize> {
    context.databases.config(alias)?;
    remove_spares(context, alias).await
}

fn check(context: &Context, alias: &Alias, to: &[Alias]) -> Result<()> {
    for alias in to.iter().chain([alias]) {
        context.databases.config(alias)?;
    }
    if to.contains(alias) {
        let message = format!("database `{alias}` is the one that is to be left");
        return Err(Error::new(ErrorKind::InvalidInput, message).with_hint("name another one with `--to`"));
    }
    Ok(())
}

/// Leaves those that are named, if some are.
fn keep(around: &mut KnownDatabases, to: &[Alias]) {
    if !to.is_empty() {
        around.figures.retain(|candidate| to.contains(&candidate.alias));
    }
}

/// Counts the tenants that no move takes along.
fn staying(by_status: &[(String, i64)]) -> BTreeMap<Status, u64> {
    let read = |(status, count): &(String, i64)| Some((Status::parse(status).ok()?, count.unsigned_abs()));
    by_status.iter().filter_map(read).filter(|(status, _)| !MOVABLE.contains(status)).collect()
}

/// The statuses in which a tenant moves, also one whose move was interrupted.
const MOVABLE: [Status; 3] = [Status::Active, Status::Suspended, Status::Moving];

async fn moves(
    context: &Context,
    registry: &mut PgConnection,
    alias: &Alias,
    around: KnownDatabases,
) -> Result<Vec<PlannedMove>> {
    let under_way = tenant_moves::under_way_from(&mut *registry, alias).await?;
    let placement = context.placement.for_moves();
    let mut plan = PlacementPlan::new(&placement, around);
    let condition = format!("database = {}", Literal(alias.as_str()));
    let selection = Selection { condition: Some(&condition), ..Selection::of(&MOVABLE) };
    let (mut moves, mut after) = (Vec::new(), String::new());
    loop {
        let page = selection.page(registry, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(moves) };
        last.slug().as_str().clone_into(&mut after);
        for tenant in page {
            let begun = under_way.get(&tenant.id());
            let to = begun.cloned().map_or_else(|| plan.place(&Newcomer::from(&tenant)), Ok);
            moves.push(PlannedMove { is_under_way: begun.is_some(), tenant, to });
        }
    }
}
