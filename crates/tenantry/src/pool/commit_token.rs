//! A token that says what a reader wants to see.

use std::fmt;
use std::str::FromStr;

use super::db::TenantDb;
use super::wal_position::WalPosition;
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::Alias;

/// A moment in what was written to a database: all that was committed before it was taken.
///
/// [`TenantReadDb::after`](super::TenantReadDb::after) reads nothing older. It is a short text, `default:0/16B3748`,
/// and may travel in a cookie or a header to whoever reads next. A reader who sends a false one waits for nothing, and
/// then reads at the primary.
///
/// ```
/// use tenantry::pool::CommitToken;
///
/// let token: CommitToken = "default:0/16B3748".parse()?;
/// assert_eq!(token.to_string(), "default:0/16B3748");
/// assert!("0/16B3748".parse::<CommitToken>().is_err());
/// # Ok::<(), tenantry::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommitToken {
    database: Alias,
    position: WalPosition,
}

impl CommitToken {
    /// The database that it is of: positions of two servers cannot be compared.
    pub fn database(&self) -> &Alias {
        &self.database
    }

    pub(super) fn position(&self) -> WalPosition {
        self.position
    }
}

impl TenantDb {
    /// A token of this moment, for readers of replicas who are to see all that was committed before. It takes one round
    /// trip.
    ///
    /// ```no_run
    /// # async fn example(tenancy: tenantry::Tenancy) -> Result<(), Box<dyn std::error::Error>> {
    /// let acme = tenancy.tenant("acme").await?;
    /// let db = tenancy.db(&acme)?;
    /// sqlx::query("INSERT INTO note (title) VALUES ('new')").execute(&db).await?;
    /// let token = db.commit_token().await?;
    ///
    /// let replica = tenancy.replica(&acme)?.after(&token);
    /// let notes: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&replica).await?;
    /// assert!(notes > 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and what PostgreSQL answers where the server is a standby.
    pub async fn commit_token(&self) -> Result<CommitToken, sqlx::Error> {
        // What is inserted and not flushed yet counts: another's commit may have been seen without waiting for that.
        let question = "SELECT pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text, \
                        pg_catalog.current_setting('wal_block_size')::pg_catalog.int8";
        let (position, page): (String, i64) = sqlx::query_as(question).fetch_one(self).await?;
        let position = WalPosition::parse(&position).ok_or_else(|| {
            Error::new(ErrorKind::Decode, format!("`{position}` is no position in a write-ahead log"))
        })?;
        let position = position.before_header(page.unsigned_abs());
        Ok(CommitToken { database: self.tenant().database().clone(), position })
    }
}

impl fmt::Display for CommitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.database, self.position)
    }
}

impl FromStr for CommitToken {
    type Err = Error;

    /// Reads what `Display` has written.
    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (database, position) = text.split_once(':')?;
            Some(Self { database: Alias::parse(database).ok()?, position: WalPosition::parse(position)? })
        };
        parse().ok_or_else(|| Error::invalid_input("this is no token of a commit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_token_is_refused() {
        for text in
            ["", ":", "default", "default:", "default:0", "Default:0/0", "default:0/0 ", "default:0/0:1"]
        {
            let error = text.parse::<CommitToken>().expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
}
