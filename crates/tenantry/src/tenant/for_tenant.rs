use serde::{Deserialize, Serialize};

use super::{Tenant, TenantId};

/// A job and whose it is, for a queue to keep until a worker opens it.
///
/// It carries the id of its tenant, which never changes and never passes to somebody else, as a slug may. Only
/// [`open`](Self::open) takes the job out again, together with the tables that it works on. So the tenant is looked up
/// when the job runs, not when it is enqueued, and a job that is opened is for a tenant that is served.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tenantry::{ForTenant, Tenancy, TenantDb};
///
/// #[derive(Serialize, Deserialize)]
/// struct Remind {
///     note: i64,
/// }
///
/// // In a request: what the queue keeps.
/// fn enqueue(db: &TenantDb, note: i64) -> serde_json::Result<String> {
///     serde_json::to_string(&ForTenant::new(db.tenant(), Remind { note }))
/// }
///
/// // In the worker, perhaps days later.
/// async fn run(tenancy: &Tenancy, job: ForTenant<Remind>) -> tenantry::Result<()> {
///     let (db, Remind { note }) = job.open(tenancy).await?;
///     sqlx::query("UPDATE note SET reminded = now() WHERE id = $1").bind(note).execute(&db).await?;
///     Ok(())
/// }
/// # let json = r#"{ "tenant": "0192f0c1-7a6b-4c5d-8e9f-5d4e3f2a1b0c", "job": { "note": 7 }, "later": true }"#;
/// # let job: ForTenant<Remind> = serde_json::from_str(json).unwrap();
/// # assert_eq!(job.tenant_id().to_string(), "0192f0c1-7a6b-4c5d-8e9f-5d4e3f2a1b0c");
/// ```
///
/// As JSON it is `{"tenant": "0192f0c1-…", "job": …}`. A program of today ignores the keys that one of tomorrow may
/// add, and a payload without a tenant, or with a slug for one, is an error of serde's.
///
/// Whoever can write the queue's table can name any tenant: a queue is trusted like the tables themselves.
///
/// # What does not compile
///
/// The job alone, without the tables of a tenant:
///
/// ```compile_fail,E0616
/// # use tenantry::{ForTenant, Tenancy};
/// # struct Remind;
/// # async fn run(tenancy: &Tenancy, job: ForTenant<Remind>) -> tenantry::Result<()> {
/// let remind = job.job;
/// # Ok(())
/// # }
/// ```
///
/// A job of a slug, which may be somebody else's when the job runs:
///
/// ```compile_fail,E0308
/// # use tenantry::ForTenant;
/// # struct Remind;
/// # fn enqueue() -> ForTenant<Remind> {
/// ForTenant::new("acme", Remind)
/// # }
/// ```
///
/// Statements of a job that has not opened anything:
///
/// ```compile_fail,E0277
/// # use tenantry::{ForTenant, Tenancy};
/// # struct Remind;
/// # async fn run(tenancy: &Tenancy, job: ForTenant<Remind>) -> tenantry::Result<()> {
/// sqlx::query("UPDATE note SET reminded = now()").execute(tenancy).await?;
/// # Ok(())
/// # }
/// ```
///
/// Tables of a tenant that nobody has looked up:
///
/// ```compile_fail,E0624
/// # use tenantry::TenantDb;
/// # fn guess() {
/// let db = TenantDb::new;
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ForTenant<J> {
    tenant: TenantId,
    job: J,
}

impl<J> ForTenant<J> {
    /// Makes a job of this tenant: of `db.tenant()` in a request.
    pub fn new(tenant: &Tenant, job: J) -> Self {
        Self { tenant: tenant.id(), job }
    }

    /// The id of its tenant, for a log or a key by which a queue tells jobs apart.
    pub const fn tenant_id(&self) -> TenantId {
        self.tenant
    }

    /// Takes it apart, for whoever looks the tenant up.
    pub(crate) fn into_parts(self) -> (TenantId, J) {
        (self.tenant, self.job)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    const ID: &str = "0192f0c1-7a6b-4c5d-8e9f-5d4e3f2a1b0c";

    fn read(payload: serde_json::Value) -> Result<ForTenant<Vec<u8>>, String> {
        serde_json::from_value(payload).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_and_what_is_added_is_ignored() {
        let written = ForTenant { tenant: ID.parse().unwrap(), job: vec![1_u8, 2] };
        assert_eq!(serde_json::to_value(&written).unwrap(), json!({ "tenant": ID, "job": [1, 2] }));
        for payload in [
            json!({ "tenant": ID, "job": [1, 2] }),
            json!({ "job": [1, 2], "tenant": ID, "trace": { "parent": "00-…" } }),
        ] {
            assert_eq!(read(payload), Ok(written.clone()));
        }
    }

    #[test]
    fn a_payload_that_was_edited_by_hand_is_refused_unless_it_names_an_id() {
        for (payload, says) in [
            (json!({ "job": [] }), "missing field `tenant`"),
            (json!({ "tenant": ID }), "missing field `job`"),
            (json!({ "tenant": null, "job": [] }), "null"),
            (json!({ "tenant": "", "job": [] }), "UUID"),
            (json!({ "tenant": "acme", "job": [] }), "UUID"),
            (json!({ "tenant": format!("{ID}'; DROP TABLE note"), "job": [] }), "UUID"),
            (json!({ "tenant": [ID, ID], "job": [] }), "UUID"),
            (json!({ "slug": "acme", "job": [] }), "missing field `tenant`"),
            (json!("acme"), "ForTenant"),
            (json!([1, 2]), "UUID"),
        ] {
            let error = read(payload.clone()).unwrap_err();
            assert!(error.contains(says), "{payload}: {error}");
        }
    }
}
