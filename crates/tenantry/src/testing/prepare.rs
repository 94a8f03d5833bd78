//! The database of a test: a copy of one with the registry, the master's tables and the tenants.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tenantry_embedded::{CopiedDatabase, Error as ServerError};

use super::look::{TemplateState, look_at_all};
use crate::database::DatabaseConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Outcome;
use crate::provision::NewTenant;
use crate::registry::newest_step;
use crate::tenancy::{Builder, Tenancy};
use crate::tenant::{Alias, Digest};
use crate::{Fleet, PoolConfig};

/// The longest that the making of a template waits for its connections at its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Either of two errors, of the server or of what is made on it.
#[derive(Debug)]
struct NoDatabase(Error);

impl From<ServerError> for NoDatabase {
    fn from(error: ServerError) -> Self {
        let made = Error::new(ErrorKind::DatabaseUnavailable, "there is no database for this test");
        let hint = error.hint().map(str::to_owned);
        let made = made.with_source(error);
        Self(match hint {
            Some(hint) => made.with_hint(hint),
            None => made,
        })
    }
}

/// Gets a copy, and what there was when its template was finished.
pub(super) async fn database(builder: &Builder, slugs: &[String]) -> Result<(CopiedDatabase, TemplateState)> {
    let key = key_of(builder, slugs);
    let make = async |url: &str| make_template(builder, slugs, url).await.map_err(NoDatabase);
    let database = CopiedDatabase::create(&key, make).await.map_err(|NoDatabase(error)| error)?;
    let baseline = serde_json::from_str(database.note()).map_err(|error| {
        let message = format!("the template of database `{}` has an unknown form", database.name());
        Error::new(ErrorKind::Database, message).with_source(error)
    })?;
    Ok((database, baseline))
}

/// The same for the same database only.
fn key_of(builder: &Builder, slugs: &[String]) -> String {
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(newest_step(&Alias::default()).to_be_bytes());
    hash.update(builder.essence());
    for slug in slugs {
        hash.update([0]);
        hash.update(slug);
    }
    Digest::from_bytes(hash.finalize().into()).to_string()
}

/// Fills an empty database. All connections are closed at the end.
async fn make_template(builder: &Builder, slugs: &[String], url: &str) -> Result<String> {
    let pool = PoolConfig { max_connections: 2, ..PoolConfig::default() };
    let tenancy = builder
        .for_schemas()
        .database(DatabaseConfig::from_url(url)?.pool(pool))
        .install(true)
        .connect()
        .await?;
    let filled = fill(&tenancy, slugs).await;
    let closed = tenancy.close(PATIENCE).await;
    let baseline = filled?;
    closed?;
    serde_json::to_string(&baseline).map_err(|error| {
        Error::new(ErrorKind::Database, "cannot note what is in a template").with_source(error)
    })
}

async fn fill(tenancy: &Tenancy, slugs: &[String]) -> Result<TemplateState> {
    let failure = Mutex::new(None);
    let observe = |outcome: &Outcome<'_>| {
        if let Some(error) = outcome.error {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.clone());
        }
    };
    tenancy.migrate(Fleet::all(), observe).await?;
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    for slug in slugs {
        tenancy.create(NewTenant::new(slug.as_str())).await?;
    }
    look_at_all(&tenancy.master()).await
}
