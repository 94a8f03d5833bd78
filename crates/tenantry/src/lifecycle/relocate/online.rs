//! Moves a tenant while others go on writing to it.
//!
//! The source keeps the changes behind a copy in a slot, and they are repeated in the target until little is left. Only
//! then checkouts wait, for as long as the last of it takes. All of it is plain SQL, as the owner of the tables: the
//! target needs no way to the source, and the two may be of other versions.
//!
//! | file | what it does |
//! | --- | --- |
//! | `needs` | says what keeps a tenant from being followed |
//! | `slot` | has the source keep changes, and lets it forget them |
//! | `moment` | tells what the copy has seen from what is to be repeated |
//! | `decode` | reads what the server tells of changes |
//! | `repeat` | writes the statements that repeat them |
//! | `catch_up` | repeats them in the target |
//! | `late` | tells what has to wait until all of them are repeated |
//! | `ending` | removes what the move needed, for a tenant that is served by now |

mod catch_up;
mod decode;
mod ending;
mod late;
mod moment;
mod needs;
mod repeat;
mod slot;

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::time::sleep;

use self::catch_up::Follower;
use self::late::BehindRows;
use self::moment::Moment;
pub(super) use self::needs::check_online;
use super::blueprint::Blueprint;
use super::options::Carried;
use super::work::Relocation;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::lifecycle::contents::{SourceTable, lockable, members};
use crate::migrate::{commit, jittered};
use crate::registry::{MoveStep, moves};
use crate::structure::{Fingerprint, Subject};

/// Moments that are tried, at which both places are to be the same.
const MOMENTS: u32 = 20;
/// The pause between two of them.
const PAUSE: Duration = Duration::from_millis(100);

impl Relocation<'_> {
    /// The steps that can be undone, and the one behind which none can, for a tenant that is written to meanwhile.
    pub(super) async fn until_closed_online(
        &self,
        registry: &mut PgConnection,
        source: &mut PgConnection,
        target: &mut PgConnection,
        blueprint: &Blueprint,
    ) -> Result<Carried> {
        self.make(source, target, blueprint).await?;
        moves::note(registry, self.record.id, MoveStep::Made).await?;
        fail_point::reached(FailPoint::MoveMade);
        self.begin_following(registry, source).await?;
        let fingerprint = self.fingerprint(source).await?;
        fail_point::reached(FailPoint::MoveFollowed);
        let (unlogged, logged) = self.divided(source, &blueprint.tables).await?;
        let (rows, moment) = self.copy_as_of_now(&logged).await?;
        fail_point::reached(FailPoint::MoveCopied);
        let behind = blueprint.structure.behind_rows(self.tenant.schema(), self.own_role().as_deref());
        let behind = BehindRows::of(&behind)?;
        self.complete_early(source, target, &behind.early).await?;
        let mut follower = Follower::open(self, moment, &logged).await?;
        let mut marker = self.context.databases.unlimited_owner_connection(&self.record.source).await?;
        sqlx::raw_sql("SET synchronous_commit TO on").execute(&mut marker).await?;
        follower.catch_up().await?;
        self.compare_while_written(&mut follower, &mut marker, &logged).await?;
        follower.catch_up().await?;
        self.step("waiting for what is under way")?;
        let gated_at = Some(Instant::now());
        self.gate(registry).await?;
        fail_point::reached(FailPoint::MoveGated);
        self.wait_for_quiet(source).await?;
        let names = self.lock_all(source).await?;
        fail_point::reached(FailPoint::MoveFenced);
        let snapshot = self.locked_snapshot(source).await?;
        // One looks at the source, while the other works on the target.
        let same = self.check_same(source, &names, fingerprint);
        let rest = async {
            follower.drain(&mut marker).await?;
            fail_point::reached(FailPoint::MoveDrained);
            let last = self.copy_rows(&snapshot, &unlogged).await?;
            self.complete_late(&mut marker, target, &behind.late).await?;
            Ok(last)
        };
        let ((), last) = tokio::try_join!(same, rest)?;
        self.check_wanted()?;
        self.close(source).await?;
        Ok(Carried { rows: rows + last, gated_at, notes: blueprint.notes.clone() })
    }

    /// The structure of the source, now that rows are told in another way.
    async fn fingerprint(&self, source: &mut PgConnection) -> Result<Fingerprint> {
        let own_role = self.own_role();
        let subject = Subject { schema: self.tenant.schema(), own_role: own_role.as_deref() };
        let mut tx = source.begin().await?;
        let fingerprint = Fingerprint::of(&mut tx, subject).await?;
        tx.rollback().await?;
        Ok(fingerprint)
    }

    /// The tables of which the log has nothing, and the others.
    async fn divided(
        &self,
        source: &mut PgConnection,
        tables: &[SourceTable],
    ) -> Result<(Vec<SourceTable>, Vec<SourceTable>)> {
        let unlogged: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(members("relkind = 'r' AND relpersistence = 'u'")))
                .bind(self.tenant.schema().as_str())
                .persistent(false)
                .fetch_all(source)
                .await?;
        Ok(tables.iter().cloned().partition(|table| unlogged.contains(&table.name)))
    }

    /// Copies the rows as they are at this moment, which it answers with.
    async fn copy_as_of_now(&self, tables: &[SourceTable]) -> Result<(u64, Moment)> {
        self.step("locking tables")?;
        let (held, snapshot, moment) = self.now().await?;
        let rows = self.carry_rows(&snapshot, tables).await?;
        drop(held);
        Ok((rows, moment))
    }

    /// Holds a moment of the source: a session that has locked the tables against changes of their structure, the name
    /// of its snapshot, and what that has seen.
    async fn now(&self) -> Result<(PgConnection, String, Moment)> {
        let mut held = self.context.databases.unlimited_owner_connection(&self.record.source).await?;
        let names = lockable(&mut held, self.tenant.schema()).await?;
        self.send(&mut held, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        if !names.is_empty() {
            let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
            self.send(&mut held, &lock).await?;
        }
        let (snapshot, moment): (String, String) =
            sqlx::query_as("SELECT pg_catalog.pg_export_snapshot(), pg_catalog.pg_current_snapshot()::text")
                .fetch_one(&mut held)
                .await?;
        let moment = Moment::parse(&moment).ok_or_else(|| {
            Error::new(ErrorKind::Database, format!("the server's snapshot `{moment}` cannot be understood"))
        })?;
        Ok((held, snapshot, moment))
    }

    /// Compares all rows of both places as they are at one moment of the source, while others write there.
    async fn compare_while_written(
        &self,
        follower: &mut Follower<'_>,
        marker: &mut PgConnection,
        tables: &[SourceTable],
    ) -> Result<()> {
        for _ in 0..MOMENTS {
            let (held, snapshot, moment) = self.now().await?;
            if follower.follow_to(&moment, marker).await? {
                let compared = self.compare_rows(&snapshot, tables).await;
                drop(held);
                return compared;
            }
            sleep(jittered(PAUSE)).await;
        }
        let message =
            format!("transactions of tenant `{}` do not end behind their commit", self.tenant.slug());
        Err(Error::new(ErrorKind::Conflict, message)
            .with_tenant(self.tenant.slug())
            .with_hint("does a standby answer that commits wait for? The move was undone"))
    }

    /// Indexes, keys and privileges, so that changes find their rows; and materialized views, which show what they
    /// showed at the copy.
    async fn complete_early(
        &self,
        source: &mut PgConnection,
        target: &mut PgConnection,
        early: &str,
    ) -> Result<()> {
        self.step("making indexes and keys")?;
        let mut tx = target.begin().await?;
        self.make_behind(&mut tx, early).await?;
        self.transfer().carrier().refresh(source, &mut tx).await?;
        commit(tx, self.site()).await?;
        self.transfer().gather_statistics(target, None).await
    }

    /// Makes all that would have acted on the changes, which are there now. Its commit is on disk, and all before it.
    async fn complete_late(
        &self,
        source: &mut PgConnection,
        target: &mut PgConnection,
        late: &str,
    ) -> Result<()> {
        let mut tx = target.begin().await?;
        let settings =
            format!("SET LOCAL synchronous_commit TO on; SET LOCAL search_path TO {}", self.site().path());
        self.send(&mut tx, &format!("{settings};\n{late}")).await?;
        self.transfer().carrier().set_sequences(source, &mut tx).await?;
        commit(tx, self.site()).await
    }
}
