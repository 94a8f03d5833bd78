//! Says what keeps a tenant from being followed, before anything is made.

use sqlx::{Connection as _, PgConnection};

use crate::error::{ErrorKind, Result};
use crate::lifecycle::contents::first;
use crate::lifecycle::relocate::needs::asked;
use crate::lifecycle::source::ReadFor;
use crate::tenant::Tenant;

/// Reasons why the changes of a schema cannot be followed.
///
/// Of a table that is published, the server refuses changes of rows that it cannot tell apart: what has to be refused
/// here would otherwise stop those who write.
const UNFOLLOWED: &str = "keyed AS MATERIALIZED (
        SELECT rel.*, coalesce(
            (SELECT indexrelid FROM pg_index WHERE indrelid = rel.oid AND relreplident = 'i' AND indisreplident
                AND indisvalid),
            (SELECT indexrelid FROM pg_index WHERE indrelid = rel.oid AND relreplident = 'd' AND indisprimary
                AND indimmediate AND indisvalid)) AS key
        FROM rel WHERE relkind IN ('r', 'p') AND relpersistence = 'p' AND relname <> '_sqlx_migrations'
    )
    SELECT format('updates of table `%s` are in no log (REPLICA IDENTITY NOTHING)', relname)
    FROM keyed WHERE relreplident = 'n'
    UNION ALL SELECT format('the index that table `%s` has as its REPLICA IDENTITY is gone', relname)
    FROM keyed WHERE relreplident = 'i' AND key IS NULL
    UNION ALL SELECT format('table `%s` has no primary key and %s MB of rows, all of which each change would look at',
        relname, pg_relation_size(oid) / 1000000)
    FROM keyed WHERE relkind = 'r' AND key IS NULL AND pg_relation_size(oid) > 50000000
    UNION ALL SELECT format('the key of table `%s` has the generated column `%s`, or it has no key', relname, attname)
    FROM keyed JOIN pg_attribute ON attrelid = keyed.oid AND attgenerated <> '' AND NOT attisdropped
    WHERE key IS NULL OR attnum = ANY ((SELECT indkey::int2[] FROM pg_index WHERE indexrelid = key)::int2[])
    UNION ALL SELECT format('the server counts column `%s.%s`, which is in no key', relname, attname)
    FROM keyed JOIN pg_attribute ON attrelid = keyed.oid AND attidentity = 'a' AND NOT attisdropped
    WHERE key IS NOT NULL AND NOT attnum = ANY ((SELECT indkey::int2[] FROM pg_index WHERE indexrelid = key)::int2[])";

/// The things that the server lets its owner do.
#[derive(sqlx::FromRow)]
struct FollowingRights {
    wal_level: String,
    may_follow: bool,
    may_publish: bool,
    has_slot: bool,
    owner: String,
    database: String,
}

impl FollowingRights {
    async fn of(source: &mut PgConnection) -> Result<Self> {
        let allowed = "SELECT pg_catalog.current_setting('wal_level') AS wal_level,
                rolsuper OR rolreplication AS may_follow,
                pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS may_publish,
                (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots)
                    < pg_catalog.current_setting('max_replication_slots')::bigint AS has_slot,
                pg_catalog.quote_ident(rolname) AS owner,
                pg_catalog.quote_ident(pg_catalog.current_database()) AS database
            FROM pg_catalog.pg_roles WHERE rolname = current_user";
        Ok(sqlx::query_as(allowed).fetch_one(source).await?)
    }

    /// The first reason against it, and what to do.
    fn refusal(&self) -> Option<(String, String)> {
        let Self { owner, database, .. } = self;
        if self.wal_level != "logical" {
            let hint = "set `wal_level = logical` and restart the server, or move it with `--offline`";
            return Some((format!("`wal_level` of its server is `{}`", self.wal_level), hint.to_owned()));
        }
        if !self.may_follow {
            let hint =
                format!("as a superuser: `ALTER ROLE {owner} REPLICATION`; or move it with `--offline`");
            return Some((format!("role `{owner}` lacks the attribute REPLICATION"), hint));
        }
        if !self.may_publish {
            let hint =
                format!("`GRANT CREATE ON DATABASE {database} TO {owner}`, or move it with `--offline`");
            return Some((format!("role `{owner}` lacks CREATE on database `{database}`"), hint));
        }
        (!self.has_slot).then(|| {
            let hint =
                "raise `max_replication_slots` and restart the server, or drop a slot that nobody reads";
            ("all replication slots of its server are taken".to_owned(), hint.to_owned())
        })
    }
}

/// # Errors
/// [`ErrorKind::Unsupported`] with what keeps a tenant from being moved while others write.
pub(in crate::lifecycle) async fn check_online(source: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let unsupported = |reason: String, hint: String| {
        let reason = format!("{reason}, so that it cannot be followed while others write");
        Err(ReadFor::Move.refused(tenant, ErrorKind::Unsupported, reason).with_hint(hint))
    };
    if let Some((reason, hint)) = FollowingRights::of(source).await?.refusal() {
        return unsupported(reason, hint);
    }
    let mut tx = source.begin().await?;
    let reasons: Vec<(String,)> = asked(&mut tx, tenant.schema(), &format!(", {UNFOLLOWED}")).await?;
    tx.rollback().await?;
    let reasons: Vec<_> = reasons.into_iter().map(|(reason,)| reason).collect();
    if reasons.is_empty() {
        return Ok(());
    }
    unsupported(
        first(&reasons),
        "give it a primary key of plain columns, or move it with `--offline`".to_owned(),
    )
}
