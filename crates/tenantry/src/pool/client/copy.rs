//! `COPY` through tokio-postgres.

use futures_util::stream::BoxStream;
use futures_util::{SinkExt as _, StreamExt as _, pin_mut};
use sqlx_core::bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_postgres::Client;

use super::checkout::ClientCheckout;
use crate::error::{Error, Result};
use crate::pool::await_point::{AwaitPoint, at};
use crate::pool::copy::{CHUNK, CopyStatement, unreadable};
use crate::pool::lease::Activity;

impl ClientCheckout {
    /// Runs a `COPY … FROM STDIN` with all that can be read from the source, and answers with the number of rows.
    ///
    /// Dropping the future closes the connection, and nothing is written.
    ///
    /// ```no_run
    /// # async fn example(client: tenantry::pool::TenantClient) -> tenantry::Result<()> {
    /// let csv = "first\nsecond\n".as_bytes();
    /// let mut tx = client.begin().await?;
    /// tx.execute("DELETE FROM note", &[]).await?;
    /// let rows = tx.copy_in("COPY note (title) FROM STDIN WITH (FORMAT csv)", csv).await?;
    /// assert_eq!(rows, 2);
    /// tx.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What PostgreSQL answers, for example to a row that it cannot read;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the text is no single `COPY` or the
    /// source cannot be read. Nothing is written then.
    pub async fn copy_in(&mut self, sql: &str, source: impl AsyncRead + Send + Unpin) -> Result<u64> {
        let statement = CopyStatement::parse(sql)?;
        self.prepare_copy(sql).await?;
        let sql = self.marks.text(statement.sql());
        let copied = self.lease.exchange(Activity::Call, async |_, connection| {
            at(AwaitPoint::Statement, send(connection.client(), &sql, source)).await
        });
        copied.await?.map_err(unreadable)
    }

    /// Runs a `COPY … TO STDOUT`, and hands out its data as it comes.
    ///
    /// Dropped before its end, the stream closes the connection.
    ///
    /// ```no_run
    /// # async fn example(client: tenantry::pool::TenantClient) -> tenantry::Result<()> {
    /// use futures_util::TryStreamExt as _;
    ///
    /// let mut csv = Vec::new();
    /// let mut chunks = client.copy_out("COPY note (title) TO STDOUT WITH (FORMAT csv)");
    /// while let Some(chunk) = chunks.try_next().await? {
    ///     csv.extend_from_slice(&chunk);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn copy_out(&mut self, sql: &str) -> BoxStream<'_, Result<Bytes>> {
        let statement = CopyStatement::parse(sql);
        Box::pin(async_stream::try_stream! {
            let statement = statement?;
            self.prepare_copy(statement.sql()).await?;
            let sql = self.marks.text(statement.sql());
            let exchange = self.lease.begin(Activity::Call);
            let mut failure = None;
            match at(AwaitPoint::Statement, exchange.client().copy_out(&*sql)).await {
                Ok(chunks) => {
                    pin_mut!(chunks);
                    while let Some(chunk) = at(AwaitPoint::Statement, chunks.next()).await {
                        match chunk {
                            Ok(chunk) => yield chunk,
                            Err(error) => {
                                failure = Some(Error::from(error));
                                break;
                            }
                        }
                    }
                }
                Err(error) => failure = Some(Error::from(error)),
            }
            match failure {
                None => exchange.finish(),
                Some(error) => Err(exchange.fail(error))?,
            }
        })
    }

    async fn prepare_copy(&mut self, sql: &str) -> Result<()> {
        self.settle().await?;
        self.switch_now().await?;
        self.note_effect(sql)
    }
}

/// The number of rows, or the error of the source, after which the server is told to forget what it has.
async fn send(
    client: &Client,
    sql: &str,
    mut source: impl AsyncRead + Send + Unpin,
) -> Result<Result<u64, std::io::Error>> {
    let sink = client.copy_in::<_, Bytes>(sql).await?;
    pin_mut!(sink);
    let mut chunk = vec![0; CHUNK];
    loop {
        match source.read(&mut chunk).await {
            Ok(0) => return Ok(Ok(sink.as_mut().finish().await?)),
            Ok(length) => sink.send(Bytes::copy_from_slice(&chunk[..length])).await?,
            Err(error) => return Ok(Err(error)),
        }
    }
}
