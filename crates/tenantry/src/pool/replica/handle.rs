use std::fmt;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Execute, FromRow};
use sqlx_core::bytes::Bytes;

use super::attempts::{Attempts, Need};
use super::reader::{After, Reader};
use super::set::Replicas;
use super::transaction::ReadTransaction;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::commit_token::CommitToken;
use crate::pool::copy::CopyStatement;
use crate::pool::shared::Pool;
use crate::pool::standing::Surroundings;
use crate::pool::statement::Statement;
use crate::pool::transaction::Transaction;
use crate::pool::tx_options::TxOptions;
use crate::tenant::Tenant;

/// The tables of one tenant, to read: from a replica of its database where one can be read, else from the primary.
///
/// `&TenantReadDb` is an [`Executor`](sqlx::Executor) like `&TenantDb`, and a different type: a function that writes
/// does not take it. Every statement checks a connection out, prepared for this tenant and verified, whose transactions
/// only read. A statement that writes fails with [`ErrorKind::Unsupported`], on whichever server; so do
/// `SELECT … FOR UPDATE`, `nextval`, temporary tables, `LISTEN` and `NOTIFY`, which need a server that is written to.
///
/// ```no_run
/// # async fn example(replica: tenantry::TenantReadDb) -> Result<(), sqlx::Error> {
/// let titles: Vec<String> = sqlx::query_scalar("SELECT title FROM note").fetch_all(&replica).await?;
/// println!("{} notes of {}", titles.len(), replica.tenant().slug());
/// # Ok(())
/// # }
/// ```
///
/// # Age
///
/// What is read may be as old as [`max_lag`](crate::database::ReplicaConfig::max_lag). A read
/// [`after`](Self::after) a token sees all that was committed before the token was taken.
///
/// # Trouble
///
/// A statement that fails before its first row is run again, on another server, where the replica is to blame: its
/// connection is lost, it was cancelled because it was in the way of what is replayed (`40001`), or a schema, a table
/// or a column is missing that the primary has already. Once rows were handed out, and in a transaction, the error is
/// told; [`Error::is_retryable`] is true of the first two kinds. A replica that does not answer is left at the first
/// attempt, and found again when it does.
#[derive(Clone)]
pub struct TenantReadDb {
    reader: Arc<Reader>,
    after: Option<Arc<After>>,
}

impl TenantReadDb {
    pub(in crate::pool) fn open(
        tenant: Tenant,
        replicas: Arc<Replicas>,
        primary: Pool,
        surroundings: Surroundings,
    ) -> Self {
        let reader = Reader::new(tenant, replicas, primary, surroundings, Vec::new());
        Self { reader: Arc::new(reader), after: None }
    }

    /// The tenant whose tables these are, as it was when the handle was made.
    pub fn tenant(&self) -> &Tenant {
        &self.reader.tenant
    }

    /// The same tables, with one more setting of the session. See
    /// [`TenantDb::with_setting`](crate::TenantDb::with_setting).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name or value that
    /// [`SessionSettings::set`](crate::pool::SessionSettings::set) refuses.
    pub fn with_setting(&self, name: &str, value: &str) -> Result<Self> {
        let reader = Arc::new(self.reader.with_setting(name, value)?);
        Ok(Self { reader, after: self.after.clone() })
    }

    /// The same tables, no older than a [token](crate::TenantDb::commit_token): its reads see all that was committed
    /// before that was taken.
    ///
    /// A replica that is known to have replayed that much is read at once. Otherwise the first read waits for one, up
    /// to [`max_wait`](crate::database::ReplicaConfig::max_wait), and then goes to the primary, as does a read after a
    /// token of another database.
    pub fn after(&self, token: &CommitToken) -> Self {
        let after = After::new(token, self.tenant());
        let is_later = |known: &Arc<After>| after.is_comparable && known.position < after.position;
        match &self.after {
            // It has to be no older than either.
            Some(known) if !known.is_comparable || (after.is_comparable && !is_later(known)) => self.clone(),
            _ => Self { reader: Arc::clone(&self.reader), after: Some(Arc::new(after)) },
        }
    }

    /// Takes a connection and opens a transaction on it, which only reads.
    ///
    /// # Errors
    /// An [`Error`] inside [`sqlx::Error::Io`]: of kind [`ErrorKind::PoolTimeout`] if no connection became free,
    /// [`ErrorKind::MissingSchema`] if the schema is gone, [`ErrorKind::DatabaseUnavailable`] if no server can be
    /// reached; and what PostgreSQL answers to `BEGIN`.
    pub async fn begin(&self) -> Result<ReadTransaction, sqlx::Error> {
        self.begin_with(TxOptions::new()).await
    }

    /// Takes a connection and opens a transaction of this kind on it, which only reads.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); [`ErrorKind::Unsupported`] for
    /// [`Serializable`](crate::pool::IsolationLevel::Serializable), which no standby has.
    pub async fn begin_with(&self, options: TxOptions) -> Result<ReadTransaction, sqlx::Error> {
        if options.is_serializable() {
            let error = Error::new(ErrorKind::Unsupported, "a replica has no serializable transactions");
            return Err(error.with_hint("take `IsolationLevel::RepeatableRead`").into());
        }
        let options = options.read_only();
        let settings = options.settings();
        let mut attempts = self.attempts();
        loop {
            let need = Need::Transaction(if self.is_behind_pooler() { &settings } else { &[] });
            let checkout = attempts.check_out(need).await?;
            match Transaction::open(checkout, options).await {
                Ok(transaction) => return Ok(ReadTransaction::of(transaction)),
                Err(error) => attempts.fail(error)?,
            }
        }
    }

    /// Runs a query and hands out its rows as they come, in a stream that borrows nothing: it outlives the handler, as
    /// the body of a response does.
    pub fn fetch_owned<'q, T>(
        &self,
        query: impl Execute<'q, Postgres>,
    ) -> BoxStream<'static, Result<T, sqlx::Error>>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin + 'static,
    {
        let (statement, db) = (Statement::take(query), self.clone());
        Box::pin(async_stream::try_stream! {
            let mut results = db.run(statement);
            while let Some(result) = results.try_next().await? {
                if let Some(row) = result.right() {
                    yield T::from_row(&row)?;
                }
            }
        })
    }

    /// Runs a `COPY … TO STDOUT`, and hands out its data as it comes, in a stream that borrows nothing.
    ///
    /// The stream keeps its connection until it ends. Dropped before that, it closes the connection.
    pub fn copy_out(&self, sql: &str) -> BoxStream<'static, Result<Bytes, sqlx::Error>> {
        let (statement, db) = (CopyStatement::parse(sql), self.clone());
        Box::pin(async_stream::try_stream! {
            let mut checkout = db.attempts().check_out(Need::Session("`COPY`")).await?;
            let mut chunks = checkout.copy_to(statement);
            while let Some(chunk) = chunks.next().await {
                yield chunk?;
            }
        })
    }

    pub(super) fn attempts(&self) -> Attempts<'_> {
        Attempts::new(&self.reader, self.after.as_deref())
    }

    fn is_behind_pooler(&self) -> bool {
        self.reader.primary().pool.is_behind_pooler()
    }
}

impl fmt::Debug for TenantReadDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slug = self.tenant().slug().as_str();
        f.debug_struct("TenantReadDb").field("tenant", &slug).finish_non_exhaustive()
    }
}
