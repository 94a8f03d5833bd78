//! Whether an installation is set up as it should be.
//!
//! [`Tenancy::doctor`](crate::Tenancy::doctor) and [`Builder::doctor`](crate::Builder::doctor) look at each
//! database and answer with [`Finding`]s: what is wrong, and what mends it. Nothing is changed, and the
//! registry need not be there. The connections are plain ones of its own, so that it can look at what the
//! pool could not work with.
//!
//! A check is a function from a `Patient` to findings, and stands in the list of checks here.

mod finding;
mod pooler;
mod roles;

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

pub use self::finding::{Finding, Severity};
use crate::database::{DatabaseConfig, Way};
use crate::pool::Layout;
use crate::tenant::Alias;

/// How long one database may take in all.
const PATIENCE: Duration = Duration::from_secs(20);

/// One database, with a connection of the application's role.
struct Patient<'a> {
    alias: &'a Alias,
    config: &'a DatabaseConfig,
    layout: &'a Layout,
    application: PgConnection,
}

/// Looks at every database, one after the other.
pub(crate) async fn examine<'a>(
    databases: impl Iterator<Item = (&'a Alias, &'a DatabaseConfig)>,
    layout: &Layout,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (alias, config) in databases {
        let examined = tokio::time::timeout(PATIENCE, examine_one(alias, config, layout)).await;
        findings.extend(match examined {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => vec![unreachable(alias, config, &error.to_string())],
            Err(_) => vec![unreachable(alias, config, &format!("no answer within {PATIENCE:?}"))],
        });
    }
    findings
}

async fn examine_one(
    alias: &Alias,
    config: &DatabaseConfig,
    layout: &Layout,
) -> Result<Vec<Finding>, sqlx::Error> {
    let application = PgConnection::connect_with(&config.bare_application()).await?;
    let mut patient = Patient { alias, config, layout, application };
    let mut findings = Vec::new();
    findings.extend(pooler::mode(&patient).await?);
    findings.extend(pooler::missing_direct_url(&patient));
    findings.extend(pooler::way_past(&patient, Way::Direct).await);
    findings.extend(pooler::way_past(&patient, Way::Owner).await);
    findings.extend(roles::superuser(&mut patient).await?);
    findings.extend(roles::creating(&mut patient).await?);
    let _ = patient.application.close().await;
    Ok(findings)
}

fn unreachable(alias: &Alias, config: &DatabaseConfig, why: &str) -> Finding {
    Finding::error(
        alias,
        format!("{} cannot be examined: {why}", config.address()),
        "check that the server runs there and that `url` is right",
    )
}

impl Patient<'_> {
    fn error(&self, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::error(self.alias, what, remedy)
    }

    fn warning(&self, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::warning(self.alias, what, remedy)
    }
}

/// The first column of every row, by the simple protocol: a pooler may stand in between.
async fn column(connection: &mut PgConnection, sql: &str) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
