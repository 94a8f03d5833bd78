//! Tells whether an installation is set up as it should be, and whether its parts agree.
//!
//! [`Tenancy::doctor`](crate::Tenancy::doctor) and [`Builder::doctor`](crate::Builder::doctor) look at each
//! database and answer with [`Finding`]s: what is wrong, why that matters, and what mends it. Nothing is
//! changed, and the registry need not be there. The connections are plain ones of its own, so that it can
//! look at what the pool could not work with.
//!
//! | file | what it looks at | [`Check`]s |
//! | --- | --- | --- |
//! | `pooler` | poolers on the ways to the database | `PoolMode`, `DirectWay` |
//! | `defaults` | sessions as the application opens them | `StartUp` |
//! | `read_only` | servers that take no writes | `ReadOnly` |
//! | `replicas` | replicas that cannot be read | `Replica` |
//! | `roles` | what the application's role is | `Superuser`, `MayCreate`, `Memberships` |
//! | `privileges` | what it may use | `Registry`, `MissingPrivilege`, `MayCreate` |
//! | `renames` | schemas that were renamed | `RenamedSchema` |
//! | `schemas` | the registry against the schemas | `OrphanSchema`, `MissingSchema`, `HalfMade` |
//! | `standing` | tenants against the files | `UnusableType`, `Failed`, `ChangedFile`, `MissingFile`, `Behind` |
//! | `types` | changes of a tenant's type | `HalfMade` |
//! | `runs` | the last run over the fleet | `InterruptedRun` |
//! | `begun` | what was begun on tenants and never ended | `Unfinished` |
//! | `ledgers` | ledgers against `tenantry.applied` | `InterruptedMigration`, `Ledger` |
//! | `extensions` | extensions that tenants do not see | `ExtensionElsewhere` |
//! | `owners` | objects that belong to others | `ForeignOwner` |
//! | `foreign_keys` | what ties tenants to each other | `CrossingForeignKey`, `SharedForeignKey` |
//! | `drift` | schemas against the files and each other | `Drift`, `NotReplayed` |
//! | `citus` | the kind of server | `Engine` |
//! | | nodes, schemas and keys on Citus | `CitusNode`, `CitusSetting`, `NotDistributed`, `NoPrimaryKey` |
//! | `capacity` | the server's limits against the need | `Locks`, `Connections` |
//!
//! A check is a function from a `Patient` to findings. Its questions are about all schemas of a database, or
//! about a page of them, never about one. One that cannot be answered is a finding itself, and stops no
//! other.

mod begun;
mod capacity;
mod citus;
mod defaults;
mod drift;
mod extensions;
mod finding;
mod foreign_keys;
mod ledgers;
mod owners;
mod patient;
mod pooler;
mod privileges;
mod read_only;
mod renames;
mod replicas;
mod roles;
mod roster;
mod runs;
mod schemas;
mod session;
mod standing;
mod types;

use std::fmt;

pub(crate) use self::drift::ReplayMode;
pub use self::finding::{Check, Finding, Severity};
use self::patient::Patient;
use self::roster::Roster;
use self::session::{Session, list};
use crate::database::{DatabaseConfig, Layout, Way};
use crate::migrate::Migrations;
use crate::observe::Steps;
use crate::pool::Role;
use crate::tenant::Alias;

/// Looks at every database, one after the other.
pub(crate) async fn examine<'a>(
    databases: impl Iterator<Item = (&'a Alias, &'a DatabaseConfig)>,
    layout: &Layout,
    role: Option<&Role>,
    migrations: &Migrations,
    replay: ReplayMode,
    steps: &dyn Steps,
) -> Vec<Finding> {
    let databases: Vec<_> = databases.collect();
    let default = databases.iter().find(|(alias, _)| **alias == Alias::default());
    let mut roster = match default {
        Some((_, config)) => Roster::open(config).await,
        None => None,
    };
    let mut findings = Vec::new();
    for (alias, config) in databases {
        let mut patient = Patient::new(alias, config, layout, role, steps);
        match patient.examine().await {
            Ok(found) => {
                findings.extend(found);
                patient.catalog = Session::for_catalog(config).await;
                findings.extend(patient.examine_fleet(roster.as_mut(), migrations, replay).await);
            }
            Err(error) => findings.push(unreachable(alias, config, &error)),
        }
        patient.close().await;
    }
    if let Some(roster) = &mut roster {
        roster.close().await;
    }
    findings
}

fn unreachable(alias: &Alias, config: &DatabaseConfig, error: &sqlx::Error) -> Finding {
    let what = format!("{} cannot be examined: {error}", config.address());
    Finding::error(Check::Unreachable, alias, what, "no tenant that lives there can be served")
        .mend_by("check that the server runs there and that `url` is right")
}

impl Patient<'_> {
    /// The ways to the database, and who goes there.
    async fn examine(&mut self) -> Result<Vec<Finding>, sqlx::Error> {
        let mut findings = Vec::new();
        let mode = pooler::mode(self).await?;
        // Behind a pooler in the wrong mode, settings would be left in sessions that others share.
        if mode.is_none() {
            findings.extend(defaults::application(self).await);
        }
        findings.extend(read_only::server(self, self.config.application(), "url").await);
        findings.extend(mode);
        findings.extend(pooler::missing_direct_url(self));
        for way in [Way::Direct, Way::Owner] {
            if let Some(finding) = pooler::way_past(self, way).await {
                findings.push(finding);
                continue;
            }
            findings.extend(defaults::way(self, way).await);
            if let Some(route) = self.config.way(way) {
                findings.extend(read_only::server(self, route, way.key()).await);
            }
        }
        let looked = replicas::look(self).await;
        findings.extend(self.or_unexamined("the replicas", looked));
        findings.extend(roles::superuser(self).await?);
        findings.extend(roles::creating(self).await?);
        findings.extend(roles::memberships(self).await?);
        Ok(findings)
    }

    /// The schemas that live there.
    async fn examine_fleet(
        &mut self,
        mut roster: Option<&mut Roster>,
        migrations: &Migrations,
        replay: ReplayMode,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let state = roster::state(&mut self.catalog, self.alias).await;
        match state {
            Ok(roster::RegistryState::Readable) => {}
            Ok(roster::RegistryState::Missing) => return vec![privileges::missing_registry(self)],
            Ok(roster::RegistryState::Unreadable) => {
                let looked = privileges::registry(self).await;
                return self.or_unexamined("the privileges on the registry", looked);
            }
            Err(_) => return self.or_unexamined("the registry", state.map(|_| Vec::new())),
        }
        let counted = match roster.as_deref_mut() {
            Some(roster) => roster.count(self.alias).await,
            None => Ok(0),
        };
        let counted = counted.map(|schemas| self.schemas = schemas).err();
        findings.extend(self.examine_privileges().await);
        let questions = [owners::question(self), foreign_keys::question(self)];
        let [foreign, leading_out] = self.ask_both(questions.each_ref().map(String::as_str)).await;
        let looked = foreign.and_then(|rows| owners::foreign(self, &rows));
        findings.extend(self.or_unexamined("the owners of what is in the schemas", looked));
        let looked = extensions::elsewhere(self).await;
        findings.extend(self.or_unexamined("the extensions", looked));
        let looked = citus::look(self).await;
        findings.extend(self.or_unexamined("the kind of the server", looked));
        let looked = runs::interrupted(self).await;
        findings.extend(self.or_unexamined("the runs", looked));
        if let Some(roster) = roster.as_deref_mut() {
            findings.extend(
                counted
                    .into_iter()
                    .flat_map(|error| self.or_unexamined::<Vec<_>, _>("the number of tenants", Err(error))),
            );
            let looked = renames::look(self, roster).await;
            findings.extend(self.or_unexamined("the names of schemas", looked));
            let looked = schemas::orphans(self, roster).await;
            findings.extend(self.or_unexamined("the schemas", looked));
            let looked = schemas::missing(self, roster).await;
            findings.extend(self.or_unexamined("the rows of the registry", looked));
            let looked = types::half_changed(self, roster).await;
            findings.extend(self.or_unexamined("the types of tenants", looked));
            let looked = begun::unfinished(self, roster).await;
            findings.extend(self.or_unexamined("what was begun on tenants", looked));
            let looked = ledgers::compare(self, roster).await;
            findings.extend(self.or_unexamined("the ledgers", looked));
            let looked = standing::compare(self, roster, migrations).await;
            findings.extend(self.or_unexamined("what tenants have applied", looked));
        }
        let looked = leading_out.and_then(|rows| {
            let crossing = foreign_keys::crossing(self, &rows)?;
            Ok::<_, sqlx::Error>(
                crossing.into_iter().chain(foreign_keys::shared(self, &rows)?).collect::<Vec<_>>(),
            )
        });
        findings.extend(self.or_unexamined("the foreign keys of tenants", looked));
        if let Some(roster) = roster {
            let looked = drift::compare(self, roster, migrations, replay).await;
            findings.extend(self.or_unexamined("what is in the schemas", looked));
        }
        let looked = capacity::locks(self).await;
        findings.extend(self.or_unexamined("the locks of the server", looked));
        let looked = capacity::connections(self).await;
        findings.extend(self.or_unexamined("the connections of the server", looked));
        findings
    }

    /// The roles, and what they may do with the schemas.
    async fn examine_privileges(&mut self) -> Vec<Finding> {
        let looked = privileges::registry(self).await;
        let mut findings = self.or_unexamined("the privileges on the registry", looked);
        let looked = privileges::shared(self).await;
        findings.extend(self.or_unexamined("the privileges on shared schemas", looked));
        let looked = privileges::tenants(self).await;
        findings.extend(self.or_unexamined("the privileges on the schemas of tenants", looked));
        let looked = privileges::roles(self).await;
        findings.extend(self.or_unexamined("the roles of tenants", looked));
        findings
    }

    /// The findings, or one that it could not be looked for.
    fn or_unexamined<T, E: fmt::Display>(&self, subject: &str, looked: Result<T, E>) -> Vec<Finding>
    where
        T: IntoIterator<Item = Finding>,
    {
        match looked {
            Ok(findings) => findings.into_iter().collect(),
            Err(error) => {
                let what = format!("{subject} could not be looked at: {error:#}");
                let finding = self.error(Check::Unexamined, what, "trouble there would not be found");
                vec![finding.mend_by("mend that, then run `tenantry doctor` again")]
            }
        }
    }
}
