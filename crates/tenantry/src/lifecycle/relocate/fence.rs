//! Locks the schema against writers where it is, whoever they are, and takes its name away.
//!
//! Both are one transaction on the session that holds the lock of the schema. Whoever writes past the pool, such as a
//! job in another language or `psql`, waits for the locks, and then finds no schema of that name. It fails, and writes
//! nothing into the past.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::sleep;

use super::work::Relocation;
use crate::error::{Error, ErrorKind, Result, sqlstate};
use crate::fail_point::{self, FailPoint};
use crate::guard::{Guard, stands};
use crate::lifecycle::contents::{lockable, members, qualified};
use crate::migrate::{jittered, send_own};
use crate::registry::applied;
use crate::sql::Identifier;
use crate::structure::{Fingerprint, Subject};

/// Less than `deadlock_timeout`: nobody who waits for the fence is taken for a part of a deadlock.
const SHORT: &str = "250ms";
/// More than that, after some attempts: only then the server ends an autovacuum that is in the way.
const LONG: &str = "1500ms";
const SHORT_ATTEMPTS: u32 = 3;
const ATTEMPTS: u32 = 10;
/// The pause between two attempts, in which those who waited for the fence go on.
const PAUSE: Duration = Duration::from_millis(100);

impl Relocation<'_> {
    /// Locks the tables and sequences in a transaction, and answers with the names of the tables.
    pub(super) async fn lock_all(&self, source: &mut PgConnection) -> Result<Vec<String>> {
        let names = lockable(source, self.tenant.schema()).await?;
        let mut attempt = 0;
        loop {
            let timeout = if attempt < SHORT_ATTEMPTS { SHORT } else { LONG };
            match self.lock(source, &names, timeout).await {
                Ok(()) => return Ok(names),
                Err(error) if attempt < ATTEMPTS && is_held_up(&error) => {
                    self.send(source, "ROLLBACK").await?;
                    self.step("waiting for locks")?;
                    attempt += 1;
                    sleep(jittered(PAUSE)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks, behind the locks, whether the structure is still what was made there.
    pub(super) async fn check_same(
        &self,
        source: &mut PgConnection,
        names: &[String],
        expected: Fingerprint,
    ) -> Result<()> {
        let own_role = self.own_role();
        let subject = Subject { schema: self.tenant.schema(), own_role: own_role.as_deref() };
        let is_same = lockable(source, self.tenant.schema()).await? == names
            && Fingerprint::of(source, subject).await? == expected;
        if !is_same {
            let message = format!("somebody has just changed tables of tenant `{}`", self.tenant.slug());
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_tenant(self.tenant.slug())
                .with_hint("nothing was moved: try again"));
        }
        Ok(())
    }

    /// Names a snapshot of the locked tables.
    pub(super) async fn locked_snapshot(&self, source: &mut PgConnection) -> Result<String> {
        Ok(sqlx::query_scalar("SELECT pg_catalog.pg_export_snapshot()").fetch_one(source).await?)
    }

    /// The locks come first: with a snapshot from before them, rows that were committed meanwhile would be missing.
    async fn lock(&self, source: &mut PgConnection, names: &[String], timeout: &str) -> Result<()> {
        self.send(source, "BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        self.send(source, &format!("SET LOCAL lock_timeout = '{timeout}'")).await?;
        if !stands(Guard::MoveFence) {
            return Ok(());
        }
        if !names.is_empty() {
            let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", names.join(", "));
            self.send(source, &lock).await?;
        }
        // A sequence cannot be locked by itself, and whoever is about to change it has it for himself.
        let sequences: Vec<(String, i64)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT name, seqincrement FROM ({}) AS member (name) JOIN pg_catalog.pg_sequence \
             ON seqrelid = pg_catalog.format('%I.%I', $1, name)::pg_catalog.regclass",
            members("relkind = 'S'")
        )))
        .bind(self.tenant.schema().as_str())
        .persistent(false)
        .fetch_all(&mut *source)
        .await?;
        let alter = |(name, increment): &(String, i64)| {
            let name = qualified(self.tenant.schema(), name);
            format!("ALTER SEQUENCE {name} INCREMENT BY {increment};\n")
        };
        self.send(source, &sequences.iter().map(alter).collect::<Vec<_>>().concat()).await
    }

    /// Ends the transaction of the fence: the schema is not there any more by its name, and what it had applied is not
    /// noted.
    pub(super) async fn close(&self, source: &mut PgConnection) -> Result<()> {
        self.steps.step(crate::observe::Step::new("switching over", 0, None));
        let (schema, kept) = (self.tenant.schema(), &self.record.kept_schema);
        if stands(Guard::MoveClosed) {
            let revoke: Vec<String> = sqlx::query_scalar(
                "SELECT DISTINCT pg_catalog.format('REVOKE ALL ON SCHEMA %I FROM %s', $1, CASE grantee
                     WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) END)
                 FROM pg_catalog.pg_namespace, LATERAL pg_catalog.aclexplode(nspacl)
                 WHERE nspname = $1 AND grantee <> nspowner",
            )
            .bind(schema.as_str())
            .fetch_all(&mut *source)
            .await?;
            self.send(source, &revoke.join(";\n")).await?;
            let rename = format!(
                "ALTER SCHEMA {} RENAME TO {}",
                Identifier(schema.as_str()),
                Identifier(kept.as_str())
            );
            self.send(source, &rename).await?;
        }
        applied::forget(source, schema).await?;
        fail_point::reached(FailPoint::BeforeMoveClose);
        self.send(source, "COMMIT").await?;
        fail_point::reached(FailPoint::AfterMoveClose);
        Ok(())
    }

    pub(super) async fn send(&self, connection: &mut PgConnection, sql: &str) -> Result<()> {
        send_own(connection, self.site(), sql).await.map(drop)
    }
}

/// Returns true if somebody else has a lock that the fence needs.
pub(super) fn is_held_up(error: &Error) -> bool {
    let code = error.database_code().unwrap_or_default();
    [sqlstate::LOCK_NOT_AVAILABLE, sqlstate::DEADLOCK_DETECTED].contains(&&*code)
}
