use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sqlx::PgConnection;

use super::{comment, host::Host};
use crate::{
    Result,
    sql::{self, Name},
};

/// The hours after which a template that nobody used is removed.
const OLD: u64 = 24;

/// Once a process is enough.
static HAS_LOOKED: AtomicBool = AtomicBool::new(false);

/// Drops the copies of processes that are gone: nobody holds their locks any more.
pub(super) async fn remove_copies(host: Arc<Host>) {
    if HAS_LOOKED.swap(true, Ordering::Relaxed) {
        return;
    }
    // The next process looks again.
    let _ = host.with_connection(async |connection| remove_abandoned(&host, connection).await).await;
}

async fn remove_abandoned(host: &Host, connection: &mut PgConnection) -> Result<()> {
    let copies = sql::databases_like(connection, &host.scope.copies()).await?;
    let owners = copies.iter().filter_map(|(name, _)| host.scope.process(name));
    let others: BTreeSet<&str> = owners.filter(|process| *process != host.process).collect();
    for process in others {
        let lock = host.scope.lock_of_process(process);
        if !sql::try_lock(connection, &lock).await? {
            continue;
        }
        for (name, _) in copies.iter().filter(|(name, _)| host.scope.process(name) == Some(process)) {
            sql::drop_only_database(connection, &Name::parse(name)?).await?;
        }
        sql::unlock(connection, &lock).await?;
    }
    Ok(())
}

/// Drops the templates that nobody used for a day. Whoever needs one nevertheless makes it again.
pub(super) async fn remove_templates(host: &Host, connection: &mut PgConnection) -> Result<()> {
    for (name, text) in sql::databases_like(connection, &host.scope.templates()).await? {
        let used = text.as_deref().and_then(comment::read).map_or(0, |(hour, _)| hour);
        if used + OLD < comment::this_hour() {
            sql::drop_only_database(connection, &Name::parse(&name)?).await?;
        }
    }
    Ok(())
}
