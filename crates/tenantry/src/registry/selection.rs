//! Tenants that are chosen by what the registry knows of them.

use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Postgres};

use super::store::{self, SELECT_TENANT, TenantRow};
use crate::error::{Error, ErrorKind, Result};
use crate::pool::MasterDb;
use crate::tenant::{Slug, Status, Tenant};

/// A choice of tenants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection<'a> {
    /// All, if `None`.
    pub(crate) only: Option<&'a [Slug]>,
    /// SQL of the operator's own, over the columns of `tenantry.tenant`.
    pub(crate) condition: Option<&'a str>,
    pub(crate) except: &'a [Slug],
    pub(crate) statuses: &'a [Status],
    /// Only those that are served: active, or suspended and readable, or no longer suspended; or about to be,
    /// at another place.
    pub(crate) only_served: bool,
}

impl<'a> Selection<'a> {
    /// All tenants in one of these statuses.
    pub(crate) fn of(statuses: &'a [Status]) -> Self {
        Self { only: None, condition: None, except: &[], statuses, only_served: false }
    }
}

impl Selection<'_> {
    /// Reads those after this slug, in the order of their slugs.
    pub(crate) async fn page(
        &self,
        registry: &mut PgConnection,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Tenant>> {
        let select = self.select(after, limit);
        let rows = self.read(registry, async |connection| select.fetch_all(connection).await).await?;
        Ok(rows.into_iter().map(TenantRow::into_tenant).collect())
    }

    /// The same through the pool, as the application.
    pub(crate) async fn page_in(&self, registry: &MasterDb, after: &str, limit: i64) -> Result<Vec<Tenant>> {
        let select = self.select(after, limit);
        if self.condition.is_none() {
            let rows = select.fetch_all(registry).await.map_err(|error| self.explain(error))?;
            return Ok(rows.into_iter().map(TenantRow::into_tenant).collect());
        }
        let mut tx = registry.begin().await?;
        // The pool begins the transaction, which nobody has used yet.
        sqlx::query("SET LOCAL transaction_read_only TO on").execute(&mut *tx).await?;
        let rows = select.fetch_all(&mut *tx).await.map_err(|error| self.explain(error))?;
        tx.commit().await?;
        Ok(rows.into_iter().map(TenantRow::into_tenant).collect())
    }

    fn select<'a>(&'a self, after: &'a str, limit: i64) -> QueryAs<'a, Postgres, TenantRow, PgArguments> {
        let select = format!(
            "{SELECT_TENANT} WHERE {} AND tenant.slug > $4 COLLATE \"C\" \
             ORDER BY tenant.slug COLLATE \"C\" LIMIT $5",
            self.filter()
        );
        sqlx::query_as(AssertSqlSafe(select))
            .bind(self.only.map(texts))
            .bind(texts(self.except))
            .bind(self.statuses())
            .bind(after)
            .bind(limit)
    }

    /// Counts them, or those whose setting `canary` is true.
    pub(crate) async fn count(&self, registry: &mut PgConnection, tagged: bool) -> Result<u64> {
        let count = format!(
            "SELECT count(*) FROM tenantry.tenant WHERE {} AND (settings @> '{{\"canary\": true}}' OR NOT $4)",
            self.filter()
        );
        let count: i64 = self
            .read(registry, async |connection| {
                sqlx::query_scalar(AssertSqlSafe(count))
                    .bind(self.only.map(texts))
                    .bind(texts(self.except))
                    .bind(self.statuses())
                    .bind(tagged)
                    .fetch_one(connection)
                    .await
            })
            .await?;
        Ok(count.unsigned_abs())
    }

    fn statuses(&self) -> Vec<&'static str> {
        self.statuses.iter().map(|status| status.as_str()).collect()
    }

    /// In parentheses and on lines of its own, the condition stays one whatever it holds.
    fn filter(&self) -> String {
        let mut filter = "($1::text[] IS NULL OR tenant.slug = ANY ($1)) AND tenant.slug <> ALL ($2) \
                          AND tenant.status = ANY ($3)"
            .to_owned();
        if self.only_served {
            filter.push_str(
                " AND (tenant.status IN ('active', 'moving') OR tenant.status = 'suspended' AND (\
                 tenant.suspension @> '{\"read_only\": true}' OR (tenant.suspension->>'until')::timestamptz <= now()))",
            );
        }
        if let Some(condition) = self.condition {
            filter.push_str(" AND tenant.id IN (SELECT id FROM tenantry.tenant WHERE (\n");
            filter.push_str(condition);
            filter.push_str("\n))");
        }
        filter
    }

    /// Reads only, where there is a condition: it may call functions, which are not to change anything.
    async fn read<T>(
        &self,
        registry: &mut PgConnection,
        read: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T> {
        if self.condition.is_none() {
            return read(registry).await.map_err(|error| self.explain(error));
        }
        let mut tx = registry.begin_with("BEGIN READ ONLY").await?;
        let found = read(&mut tx).await.map_err(|error| self.explain(error))?;
        tx.commit().await?;
        Ok(found)
    }

    /// Blames the condition for what PostgreSQL refuses, where there is one.
    fn explain(&self, error: sqlx::Error) -> Error {
        let refusal = error.as_database_error().map(|refusal| refusal.message().to_owned());
        match (self.condition, refusal) {
            (Some(condition), Some(refusal)) => {
                let message = format!("tenants cannot be chosen by `{condition}`: {refusal}");
                Error::new(ErrorKind::InvalidInput, message)
                    .with_hint(
                        "it is a condition over the columns of `tenantry.tenant`, \
                         as in `settings->>'plan' = 'pro'`",
                    )
                    .with_source(error)
            }
            _ => store::unreadable(error),
        }
    }
}

fn texts(slugs: &[Slug]) -> Vec<&str> {
    slugs.iter().map(Slug::as_str).collect()
}
