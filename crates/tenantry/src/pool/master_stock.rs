//! A stock `PgPool` of the master schema, for libraries that insist on one: queues of jobs.
//!
//! Its sessions belong to whoever has it. They begin in the master schema, and nobody looks at them afterwards.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};

use super::message::enter;
use super::opener::Opener;
use crate::database::{DatabaseConfig, Layout};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::SearchPathValue;
use crate::tenant::Alias;

/// The most connections of the pool: one that listens, and some for short statements.
const MOST: u32 = 5;

/// The pool, once somebody has asked for it.
pub(super) struct MasterStock {
    /// `None` without a way past the pooler.
    entrance: Option<Arc<Entrance>>,
    pool: OnceLock<PgPool>,
}

/// The entrance from nowhere to a session in the master schema.
struct Entrance {
    opener: Opener,
    layout: Arc<Layout>,
}

impl MasterStock {
    pub(super) fn new(config: &DatabaseConfig, layout: &Arc<Layout>) -> Self {
        let opener = Opener::of_direct(&Alias::default(), config);
        let entrance = opener.map(|opener| Arc::new(Entrance { opener, layout: Arc::clone(layout) }));
        Self { entrance, pool: OnceLock::new() }
    }

    /// The pool, which opens its first connection at the first checkout.
    pub(super) fn get(&self) -> Result<PgPool> {
        let entrance = self.entrance.as_ref().ok_or_else(no_sessions)?;
        Ok(self.pool.get_or_init(|| open(entrance)).clone())
    }

    /// Closes it, also for those who ask from now on.
    pub(super) async fn close(&self, deadline: Instant) -> Result<()> {
        let Ok(pool) = self.get() else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let closed = tokio::time::timeout(left, pool.close()).await;
        closed.map_err(|_| {
            let held = usize::try_from(pool.size()).unwrap_or_default().saturating_sub(pool.num_idle());
            let message = format!("{held} connections of the master pool are still in use");
            Error::new(ErrorKind::PoolTimeout, message)
                .with_hint("stop the workers before the tenancy is closed")
        })
    }
}

fn open(entrance: &Arc<Entrance>) -> PgPool {
    let entering = Arc::clone(entrance);
    PgPoolOptions::new()
        .max_connections(MOST)
        .after_connect(move |connection, _| {
            let entrance = Arc::clone(&entering);
            Box::pin(async move { Ok(entrance.enter(connection).await?) })
        })
        .connect_lazy_with(entrance.opener.options())
}

impl Entrance {
    async fn enter(&self, connection: &mut PgConnection) -> Result<()> {
        self.opener.introduce(connection).await?;
        let (schema, extensions) = (&self.layout.master_schema, &self.layout.extension_schemas);
        if enter(connection, &SearchPathValue { schema, extensions }).await? {
            return Ok(());
        }
        let message = format!("the master schema `{schema}` is missing, or the application may not use it");
        Err(Error::new(ErrorKind::MissingSchema, message))
    }
}

fn no_sessions() -> Error {
    let message =
        "a stock pool needs sessions of the server, which a pooler in transaction mode does not give";
    Error::new(ErrorKind::Unsupported, message)
        .with_hint("set `direct_url`, to reach the server past the pooler")
}
