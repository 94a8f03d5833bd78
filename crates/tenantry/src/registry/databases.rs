//! The statements about databases and the tenants they take, one function each.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Executor, FromRow, PgConnection, Postgres, Row as _};
use time::OffsetDateTime;

use super::store::closed;
use crate::error::Result;
use crate::sql::Literal;
use crate::tenant::{Alias, Slug};

/// The time after which tenants are counted again.
const COUNT_IS_GOOD_FOR: Duration = Duration::from_mins(1);
/// The time after which a database is measured again.
const SIZE_IS_GOOD_FOR: Duration = Duration::from_mins(10);

/// The row of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseRow {
    pub(crate) alias: Alias,
    pub(crate) closed: Option<Closed>,
    /// Tenants by the last count and those that were sent there since.
    pub(crate) tenants: u64,
    pub(crate) is_counted: bool,
    /// The bytes, and the tenants at that time.
    pub(crate) size: Option<(u64, u64)>,
    pub(crate) is_measured: bool,
    pub(crate) turn: u64,
}

/// The closing of a database to new tenants.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Closed {
    /// The time of it.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The operator.
    pub by: String,
}

impl FromRow<'_, PgRow> for DatabaseRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let number = |column: &str| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
        let optional =
            |column: &str| row.try_get::<Option<i64>, _>(column).map(|it| it.map(i64::unsigned_abs));
        let alias: &str = row.try_get("alias")?;
        let alias = Alias::parse(alias)
            .map_err(|error| sqlx::Error::ColumnDecode { index: "alias".to_owned(), source: error.into() })?;
        let closed: (Option<OffsetDateTime>, Option<String>) =
            (row.try_get("closed_at")?, row.try_get("closed_by")?);
        Ok(Self {
            alias,
            closed: closed.0.zip(closed.1).map(|(at, by)| Closed { at, by }),
            tenants: number("tenants")?,
            is_counted: row.try_get("is_counted")?,
            size: optional("bytes")?.zip(optional("bytes_tenants")?),
            is_measured: row.try_get("is_measured")?,
            turn: number("turn")?,
        })
    }
}

/// The rows of all databases that have one.
pub(crate) async fn all(executor: impl Executor<'_, Database = Postgres>) -> Result<Vec<DatabaseRow>> {
    let select = "SELECT alias, closed_at, closed_by, tenants, bytes, bytes_tenants, turn,
            coalesce(counted_at > pg_catalog.now() - pg_catalog.make_interval(secs => $1), false) AS is_counted,
            coalesce(measured_at > pg_catalog.now() - pg_catalog.make_interval(secs => $2), false) AS is_measured
        FROM tenantry.database ORDER BY alias";
    let select =
        sqlx::query_as(select).bind(COUNT_IS_GOOD_FOR.as_secs_f64()).bind(SIZE_IS_GOOD_FOR.as_secs_f64());
    Ok(select.fetch_all(executor).await?)
}

/// Closes a database to new tenants. Answers `false` if it was closed before.
pub(crate) async fn close(connection: &mut PgConnection, alias: &Alias, operator: &str) -> Result<bool> {
    let close =
        "INSERT INTO tenantry.database (alias, closed_at, closed_by) VALUES ($1, pg_catalog.now(), $2)
        ON CONFLICT (alias) DO UPDATE SET closed_at = excluded.closed_at, closed_by = excluded.closed_by
            WHERE database.closed_at IS NULL";
    let done = sqlx::query(close).bind(alias.as_str()).bind(operator).execute(connection).await?;
    Ok(done.rows_affected() == 1)
}

/// Opens it again. Answers `false` if it was open before.
pub(crate) async fn open(connection: &mut PgConnection, alias: &Alias) -> Result<bool> {
    let open = "UPDATE tenantry.database SET closed_at = NULL, closed_by = NULL
        WHERE alias = $1 AND closed_at IS NOT NULL";
    Ok(sqlx::query(open).bind(alias.as_str()).execute(connection).await?.rows_affected() == 1)
}

/// # Errors
/// [`ErrorKind::DatabaseClosed`](crate::ErrorKind::DatabaseClosed) if it is closed to new tenants.
pub(crate) async fn check_open(
    executor: impl Executor<'_, Database = Postgres>,
    alias: &Alias,
    slug: &Slug,
) -> Result<()> {
    let find = "SELECT EXISTS (SELECT FROM tenantry.database WHERE alias = $1 AND closed_at IS NOT NULL)";
    let is_closed = sqlx::query_scalar(find).bind(alias.as_str()).fetch_one(executor).await?;
    if is_closed { Err(closed(alias, slug)) } else { Ok(()) }
}

/// Counts the tenants of these databases anew. The index by database is read, and not the table.
pub(crate) async fn count(connection: &mut PgConnection, aliases: &[&Alias]) -> Result<()> {
    let count = "INSERT INTO tenantry.database (alias, tenants, counted_at)
        SELECT known.alias, coalesce(counted.tenants, 0), pg_catalog.now()
        FROM pg_catalog.unnest($1::text[]) AS known (alias)
        LEFT JOIN (SELECT database, count(*) AS tenants FROM tenantry.tenant GROUP BY database) AS counted
            ON counted.database = known.alias
        ORDER BY known.alias
        ON CONFLICT (alias) DO UPDATE SET tenants = excluded.tenants, counted_at = excluded.counted_at";
    let mut aliases: Vec<_> = aliases.iter().map(|alias| alias.as_str()).collect();
    aliases.sort_unstable();
    sqlx::query(count).bind(aliases).execute(connection).await?;
    Ok(())
}

/// Notes that a tenant is sent to a database. A transaction of its own, so that nobody waits for its row while the
/// tenant is made, and one whose loss does no harm.
pub(crate) async fn send(connection: &mut PgConnection, alias: &Alias) -> Result<()> {
    let send = format!(
        "BEGIN; SET LOCAL synchronous_commit TO off;
         INSERT INTO tenantry.database (alias, tenants, turn)
         SELECT {0}, 1, coalesce(max(turn), 0) + 1 FROM tenantry.database
         ON CONFLICT (alias) DO UPDATE SET tenants = database.tenants + 1, turn = excluded.turn; COMMIT",
        Literal(alias.as_str())
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(send)).execute(connection).await?;
    Ok(())
}

/// Takes that back: the tenant did not come.
pub(crate) async fn take_back(connection: &mut PgConnection, alias: &Alias) -> Result<()> {
    let take_back = "UPDATE tenantry.database SET tenants = tenants - 1 WHERE alias = $1 AND tenants > 0";
    sqlx::query(take_back).bind(alias.as_str()).execute(connection).await?;
    Ok(())
}

/// Takes it on to measure a database, unless somebody did so a moment ago.
pub(crate) async fn claim_measuring(connection: &mut PgConnection, alias: &Alias) -> Result<bool> {
    let claim = "INSERT INTO tenantry.database (alias, measured_at) VALUES ($1, pg_catalog.now())
        ON CONFLICT (alias) DO UPDATE SET measured_at = excluded.measured_at
            WHERE database.measured_at IS NULL
               OR database.measured_at <= pg_catalog.now() - pg_catalog.make_interval(secs => $2)";
    let claim = sqlx::query(claim).bind(alias.as_str()).bind(SIZE_IS_GOOD_FOR.as_secs_f64());
    Ok(claim.execute(connection).await?.rows_affected() == 1)
}

/// Notes the size of a database, and the tenants that it has now.
pub(crate) async fn note_size(connection: &mut PgConnection, alias: &Alias, bytes: i64) -> Result<()> {
    let note = "INSERT INTO tenantry.database (alias, bytes, bytes_tenants, measured_at)
        VALUES ($1, $2, (SELECT count(*) FROM tenantry.tenant WHERE database = $1), pg_catalog.now())
        ON CONFLICT (alias) DO UPDATE SET bytes = excluded.bytes, bytes_tenants = excluded.bytes_tenants,
            measured_at = excluded.measured_at";
    sqlx::query(note).bind(alias.as_str()).bind(bytes).execute(connection).await?;
    Ok(())
}

/// The tenants of a database by their status.
pub(crate) async fn by_status(
    executor: impl Executor<'_, Database = Postgres>,
    alias: &Alias,
) -> Result<Vec<(String, i64)>> {
    let count =
        "SELECT status, count(*) FROM tenantry.tenant WHERE database = $1 GROUP BY status ORDER BY status";
    Ok(sqlx::query_as(count).bind(alias.as_str()).fetch_all(executor).await?)
}
