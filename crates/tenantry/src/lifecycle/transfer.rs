//! Carries rows from one connection to another, as text.

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

/// Settings under which a value that is written as text is the same when it is read.
pub(super) const AS_TEXT: &str = "SET LOCAL extra_float_digits = 3; SET LOCAL datestyle = 'ISO, DMY'; \
    SET LOCAL intervalstyle = postgres; SET LOCAL xmloption = content; SET LOCAL row_security = off";

/// The two ends of a copy by text.
pub(super) struct CopyStatements {
    pub(super) from: String,
    pub(super) to: String,
}

/// The side on which a copy failed, and why.
#[derive(Debug)]
pub(super) enum Broken {
    Reader(sqlx::Error),
    Writer(sqlx::Error),
}

impl From<Broken> for sqlx::Error {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Reader(error) | Broken::Writer(error) => error,
        }
    }
}

impl CopyStatements {
    /// Answers with the number of rows, which are as many lines of text. A few chunks of them are in memory at a time.
    pub(super) async fn run(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
    ) -> Result<u64, Broken> {
        let mut into = writer.copy_in_raw(&self.to).await.map_err(Broken::Writer)?;
        let sent = async {
            let mut chunks = reader.copy_out_raw(&self.from).await.map_err(Broken::Reader)?;
            let mut lines = 0;
            while let Some(chunk) = chunks.try_next().await.map_err(Broken::Reader)? {
                lines += chunk.split(|byte| *byte == b'\n').skip(1).count() as u64;
                into.send(&chunk[..]).await.map_err(Broken::Writer)?;
            }
            Ok(lines)
        };
        match sent.await {
            Ok(lines) => {
                let rows = into.finish().await.map_err(Broken::Writer)?;
                if rows == lines {
                    return Ok(rows);
                }
                Err(Broken::Writer(sqlx::Error::Protocol(format!("{rows} rows arrived of {lines}"))))
            }
            Err(error) => {
                // The copy ends with an error, which says less than the one that is known.
                let _ = into.abort("the rows cannot be read").await;
                Err(error)
            }
        }
    }
}
