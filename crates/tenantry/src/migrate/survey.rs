//! Looks for what stands in the way of a run, and for what is pending, before any schema is touched.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;

use super::caution::Canaries;
use super::conflict::Conflict;
use super::fleet::tenants;
use super::ledger;
use super::options::MigrateOptions;
use super::plan::{Goal, plan};
use super::workers::Workers;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::{Migration, digest_of};
use crate::tenant::{Alias, Digest, SchemaName, Slug, Tenant, TypeName};

/// The files that some schema has not applied, and what is wrong with files rather than with one schema.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) master: Pending,
    pub(super) tenants: Pending,
    conflicts: Vec<(Conflict, Whose)>,
    /// True if tagged canaries are to be the first, and nobody is tagged.
    lacks_canaries: bool,
}

/// The versions that would be applied.
#[derive(Default)]
pub(super) struct Pending {
    versions: BTreeSet<PendingVersion>,
    /// Of a schema that cannot be looked at, all may be pending.
    is_unknown: bool,
}

/// A version, and the type whose own file it is.
type PendingVersion = (Option<TypeName>, i64);

/// The schemas that have one conflict.
#[derive(Default)]
struct Whose {
    has_master: bool,
    tenants: u64,
    first: Option<Slug>,
}

/// The answer of a ledger to a goal.
#[derive(Default)]
struct Look {
    pending: Vec<PendingVersion>,
    conflicts: Vec<Conflict>,
}

/// Looks at every schema of a run. Tenants that have applied the same are asked once, and those that are where they
/// are to be, not at all.
///
/// # Errors
/// If it is not known which migrations there are, the registry cannot be read, or a tenant that is named cannot be
/// migrated.
pub(super) async fn survey(context: &Context, options: &MigrateOptions) -> Result<Survey> {
    let Context { databases, layout, migrations, .. } = context;
    let goals = options.goals(migrations)?;
    let workers = Workers::of(databases);
    let mut survey = Survey::default();
    // Since a run began that goes on, somebody may have been removed.
    if options.resumes.is_none() {
        let check = async |registry: &mut PgConnection| options.fleet.check_excluded(registry).await;
        workers.in_registry(check).await?;
    }
    if options.has_master() {
        let goal = options.in_order(Goal::latest(migrations.master()));
        let look =
            async |connection: &mut PgConnection| look(connection, &layout.master_schema, goal, None).await;
        let (look, _) = workers.in_registry(look).await?;
        survey.master.add(Some(&look));
        survey.note(&look.conflicts, None);
    }
    let mut known = Ledgers { by_digest: HashMap::new(), away: HashSet::new() };
    let mut tenants = std::pin::pin!(tenants(databases, &workers, &options.fleet));
    survey.lacks_canaries = options.wants_tagged_canaries();
    while let Some(tenant) = tenants.try_next().await? {
        survey.lacks_canaries &= !Canaries::is_tagged(&tenant);
        // One of an unknown type says so itself.
        let Ok(goal) = goals.of_tenant(&tenant) else { continue };
        if tenant.digest() != Some(&goal.digest()) {
            let look = known.look(&workers, &tenant, goal).await;
            survey.tenants.add(look.as_deref());
            survey.note(look.as_deref().map_or(&[], |look| &look.conflicts), Some(&tenant));
        }
    }
    Ok(survey)
}

impl Survey {
    fn note(&mut self, conflicts: &[Conflict], tenant: Option<&Tenant>) {
        for conflict in conflicts.iter().filter(|conflict| conflict.is_of_the_fleet()) {
            let known = self.conflicts.iter().position(|(known, _)| known == conflict);
            let index = known.unwrap_or_else(|| {
                self.conflicts.push((conflict.clone(), Whose::default()));
                self.conflicts.len() - 1
            });
            self.conflicts[index].1.add(tenant);
        }
    }

    /// # Errors
    /// If something is wrong with the files, however many schemas it is wrong for, or there are no canaries.
    pub(super) fn check(&self) -> Result<()> {
        if self.lacks_canaries {
            let message = "none of the tenants is tagged as a canary";
            return Err(Error::new(ErrorKind::InvalidInput, message).with_hint(
                "tag one with `tenantry set SLUG --setting canary:=true`, or say how many are to be the first",
            ));
        }
        let Some((first, whose)) = self.conflicts.first() else { return Ok(()) };
        let told: Vec<_> = self
            .conflicts
            .iter()
            .map(|(conflict, whose)| format!("{conflict} ({})", whose.to_text()))
            .collect();
        let error = Error::new(ErrorKind::Migration, told.join("; ")).with_hint(first.hint());
        Err(match &whose.first {
            Some(slug) if whose.tenants == 1 && self.conflicts.len() == 1 => error.with_tenant(slug),
            _ => error,
        })
    }
}

impl Pending {
    fn add(&mut self, look: Option<&Look>) {
        match look {
            Some(look) => self.versions.extend(look.pending.iter().cloned()),
            None => self.is_unknown = true,
        }
    }

    pub(super) fn has(&self, type_name: Option<&TypeName>, version: i64) -> bool {
        self.is_unknown || self.versions.contains(&(type_name.cloned(), version))
    }
}

impl Whose {
    fn add(&mut self, tenant: Option<&Tenant>) {
        match tenant {
            None => self.has_master = true,
            Some(tenant) => {
                self.tenants += 1;
                self.first.get_or_insert_with(|| tenant.slug().clone());
            }
        }
    }

    fn to_text(&self) -> String {
        match (&self.first, self.tenants) {
            (None, _) => "the master schema".to_owned(),
            (Some(slug), 1) => format!("tenant `{slug}`"),
            (Some(slug), count) => format!("{count} tenants, the first is `{slug}`"),
        }
    }
}

/// The ledgers of those who are of one type and have applied the same.
struct Ledgers {
    by_digest: HashMap<(Option<TypeName>, Digest), Arc<Look>>,
    /// Databases that do not answer. Each of their tenants will say so.
    away: HashSet<Alias>,
}

impl Ledgers {
    /// `None` if the ledger cannot be read.
    async fn look(&mut self, workers: &Workers<'_>, tenant: &Tenant, goal: Goal<'_>) -> Option<Arc<Look>> {
        let key = tenant.digest().map(|digest| (tenant.type_name().cloned(), *digest));
        if let Some(known) = key.as_ref().and_then(|key| self.by_digest.get(key)) {
            return Some(Arc::clone(known));
        }
        if self.away.contains(tenant.database()) {
            return None;
        }
        let look = async |connection: &mut PgConnection| {
            look(connection, tenant.schema(), goal, tenant.digest()).await
        };
        match workers.with(tenant.database(), look).await {
            Ok((look, is_of_digest)) => {
                let look = Arc::new(look);
                if let Some(key) = key.filter(|_| is_of_digest) {
                    self.by_digest.insert(key, Arc::clone(&look));
                }
                Some(look)
            }
            Err(error) => {
                if error.kind() == ErrorKind::DatabaseUnavailable {
                    self.away.insert(tenant.database().clone());
                }
                None
            }
        }
    }
}

/// Reads a ledger, and says whether it is that of all schemas with this digest: one that says something else, or
/// that a migration began and did not end, speaks for itself alone.
async fn look(
    connection: &mut PgConnection,
    schema: &SchemaName,
    goal: Goal<'_>,
    digest: Option<&Digest>,
) -> Result<(Look, bool)> {
    let rows = ledger::read(connection, schema).await?;
    let applied = digest_of(rows.iter().map(|row| (row.version, row.checksum.as_slice())));
    let is_of_digest = Some(&applied) == digest && rows.iter().all(|row| row.success);
    let is_pending = |version: i64| goal.has(version) && rows.iter().all(|row| row.version != version);
    let type_name = |file: &Migration| goal.files().type_name().filter(|_| file.is_of_type()).cloned();
    let pending = goal.files().iter().filter(|file| is_pending(file.version()));
    let pending = pending.map(|file| (type_name(file), file.version())).collect();
    let conflicts = plan(goal, &rows).err().unwrap_or_default();
    Ok((Look { pending, conflicts }, is_of_digest))
}
