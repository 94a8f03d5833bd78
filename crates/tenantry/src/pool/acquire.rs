//! sqlx's `Acquire` for a connection on loan.

use futures_util::future::BoxFuture;
use sqlx::postgres::Postgres;
use sqlx::{Acquire, Connection, Error, PgConnection, Transaction};

use super::checkout::Checkout;

/// For functions that take anything which can be acquired from. They get the bare connection, so what they do is
/// cleaned up after as if by [`Checkout::as_pg_connection`]; their transaction is one of sqlx's.
///
/// ```no_run
/// use sqlx::{Acquire, Postgres};
///
/// async fn add_two<'c>(connection: impl Acquire<'c, Database = Postgres>) -> Result<(), sqlx::Error> {
///     let mut tx = connection.begin().await?;
///     sqlx::query("INSERT INTO note (title) VALUES ('one'), ('two')").execute(&mut *tx).await?;
///     tx.commit().await
/// }
///
/// # async fn example(db: tenantry::TenantDb) -> Result<(), sqlx::Error> {
/// add_two(&mut db.acquire().await?).await?;
/// let mut tx = db.begin().await?;
/// add_two(&mut *tx).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
impl<'c> Acquire<'c> for &'c mut Checkout {
    type Database = Postgres;
    type Connection = &'c mut PgConnection;

    fn acquire(self) -> BoxFuture<'c, Result<&'c mut PgConnection, Error>> {
        Box::pin(async move {
            self.settle().await?;
            self.as_pg_connection()
        })
    }

    fn begin(self) -> BoxFuture<'c, Result<Transaction<'c, Postgres>, Error>> {
        Box::pin(async move {
            self.settle().await?;
            Connection::begin(self.as_pg_connection()?).await
        })
    }
}
