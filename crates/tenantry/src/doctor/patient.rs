//! A database that is looked at.

use std::collections::HashSet;

use sqlx::postgres::PgRow;

use super::finding::{Check, Finding};
use super::session::{Session, list};
use crate::database::{DatabaseConfig, Layout, Route, Way};
use crate::migrate::SchemaLock;
use crate::observe::{Step, Steps};
use crate::pool::Role;
use crate::registry::examination::{APPLIED, APPLIED_SCHEMA};
use crate::sql::Literal;
use crate::tenant::{Alias, SchemaName};

/// One database, with a connection of the application's role and one that may see more.
pub(super) struct Patient<'a> {
    pub(super) alias: &'a Alias,
    pub(super) config: &'a DatabaseConfig,
    pub(super) layout: &'a Layout,
    /// Set where every tenant has a role of its own.
    pub(super) role: Option<&'a Role>,
    steps: &'a dyn Steps,
    /// The number of schemas that the registry knows here, for the progress.
    pub(super) schemas: usize,
    pub(super) application: Session,
    /// The session of the schemas' owner, where there is a way for that; otherwise the application's.
    pub(super) catalog: Session,
    /// A second one like it, for questions about many schemas. `None` until there is such a question.
    second: Option<Session>,
    is_alone: bool,
    /// The names of schemas that were renamed, old and new, which is told of each.
    pub(super) renamed: HashSet<String>,
    /// The schemas whose ledgers are not as they should be, which is told of each.
    pub(super) told_of_ledger: HashSet<String>,
    /// The schema with most in it, and how much, once all were looked at.
    pub(super) largest: Option<(i64, String)>,
}

/// Schemas for which a second connection is worth its time.
const MANY: usize = 50;

impl<'a> Patient<'a> {
    pub(super) fn new(
        alias: &'a Alias,
        config: &'a DatabaseConfig,
        layout: &'a Layout,
        role: Option<&'a Role>,
        steps: &'a dyn Steps,
    ) -> Self {
        let [application, catalog] = [(); 2].map(|()| Session::new(config.application()));
        Self {
            alias,
            config,
            layout,
            role,
            steps,
            schemas: 0,
            application,
            catalog,
            second: None,
            is_alone: false,
            renamed: HashSet::new(),
            told_of_ledger: HashSet::new(),
            largest: None,
        }
    }

    /// The one who is told of progress.
    pub(super) fn steps(&self) -> &'a dyn Steps {
        self.steps
    }

    /// Tells how many of the schemas are done.
    pub(super) fn step(&self, what: &str, done: usize) {
        self.steps.step(Step::new(what, done, Some(self.schemas.max(done))));
    }

    pub(super) async fn close(&mut self) {
        self.application.close().await;
        self.rest().await;
    }

    /// Closes the sessions that look at schemas, with all that their processes remember of those.
    pub(super) async fn rest(&mut self) {
        self.catalog.close().await;
        if let Some(second) = &mut self.second {
            second.close().await;
        }
    }

    /// Asks about some schemas on two connections at a time, each about half of them.
    pub(super) async fn ask_in_halves<T, S>(
        &mut self,
        schemas: &[S],
        ask: impl AsyncFn(&mut Session, &[S]) -> Result<Vec<T>, sqlx::Error>,
    ) -> Result<Vec<T>, sqlx::Error> {
        let Some(second) = second(&self.catalog, &mut self.second, &mut self.is_alone, schemas.len()).await
        else {
            return ask(&mut self.catalog, schemas).await;
        };
        let (left, right) = schemas.split_at(schemas.len() / 2);
        let (left, right) = tokio::join!(ask(&mut self.catalog, left), ask(second, right));
        let mut answers = left?;
        answers.extend(right?);
        Ok(answers)
    }

    /// Asks two questions about all schemas, at the same time where these are many.
    pub(super) async fn ask_both(&mut self, questions: [&str; 2]) -> [Result<Vec<PgRow>, sqlx::Error>; 2] {
        let Self { catalog, second: other, is_alone, schemas, .. } = self;
        let [one, two] = questions;
        match second(catalog, other, is_alone, *schemas).await {
            Some(second) => tokio::join!(catalog.rows(one), second.rows(two)).into(),
            None => [catalog.rows(one).await, catalog.rows(two).await],
        }
    }

    pub(super) fn error(&self, check: Check, what: impl Into<String>, why: &str) -> Finding {
        Finding::error(check, self.alias, what, why)
    }

    pub(super) fn warning(&self, check: Check, what: impl Into<String>, why: &str) -> Finding {
        Finding::warning(check, self.alias, what, why)
    }

    /// A query for `oid` and `nspname` of the schemas of tenants and spares, as far as they have applied
    /// anything.
    pub(super) fn tenant_schemas(&self) -> String {
        format!(
            "SELECT pg_namespace.oid, nspname FROM pg_catalog.pg_namespace \
             JOIN {APPLIED} ON {APPLIED_SCHEMA} = nspname::text WHERE nspname NOT IN ({})",
            list(self.shared_schemas()),
        )
    }

    /// Picks the schemas on which nobody works at this moment.
    pub(super) async fn idle(&mut self, schemas: &[&str]) -> Result<Vec<String>, sqlx::Error> {
        let each = schemas.iter().filter_map(|schema| SchemaName::parse(schema).ok()).map(|schema| {
            let is_held = SchemaLock::of(&schema).is_held();
            format!("SELECT {}::text WHERE NOT {is_held}", Literal(schema.as_str()))
        });
        let each: Vec<_> = each.collect();
        if each.is_empty() { Ok(Vec::new()) } else { self.catalog.column(&each.join(" UNION ALL ")).await }
    }

    /// The role that makes and migrates the schemas, if there is a login of its own for that.
    pub(super) fn owner(&self) -> Option<&str> {
        self.config.way(Way::Owner).map(Route::role)
    }

    /// Returns true if the schemas belong to somebody else than the application.
    pub(super) fn has_two_logins(&self) -> bool {
        self.owner().is_some_and(|owner| owner != self.config.application_role())
    }

    /// The names of the schemas that are there for all tenants.
    pub(super) fn shared_schemas(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.layout.master_schema)
            .chain(&self.layout.extension_schemas)
            .map(SchemaName::as_str)
    }
}

/// The session beside the first one, if there are schemas enough for it and the server has room.
async fn second<'a>(
    catalog: &Session,
    second: &'a mut Option<Session>,
    is_alone: &mut bool,
    schemas: usize,
) -> Option<&'a mut Session> {
    if schemas < MANY {
        return None;
    }
    if second.is_none() && !*is_alone {
        *second = catalog.beside().await;
        *is_alone = second.is_none();
    }
    second.as_mut()
}
