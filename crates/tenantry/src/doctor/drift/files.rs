//! Schemas against what the files make at their version.

use std::collections::BTreeMap;

use super::groups::{Alike, Kind, is_settled};
use super::telling::{names, sentence, statements_for};
use crate::doctor::finding::{Check, Finding};
use crate::doctor::patient::Patient;
use crate::doctor::roster::Roster;
use crate::error::{Error, ErrorKind, Result};
use crate::migrate::{MigrationSet, Migrations, Obstacle, Versions, Workshop, kept_versions, versions};
use crate::structure::{Deviation, Holders, Objects, Subject, mend, permission_differences};
use crate::tenant::SchemaName;

/// The way to what the files make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplayMode {
    /// Uses what was kept. Where nothing was, schemas are compared with each other only.
    Kept,
    /// The files are replayed in a scratch schema, unless what they make was kept.
    IfNeeded,
}

/// The structures that the files make, where they are known: those of all tenants, and those of each type.
pub(super) struct KnownVersions<'a> {
    known: Vec<(&'a MigrationSet, Versions)>,
    /// The findings about that.
    pub(super) findings: Vec<Finding>,
}

impl<'a> KnownVersions<'a> {
    /// Takes what was kept, or has it made where anybody is to be compared with it.
    pub(super) async fn take(
        patient: &Patient<'_>,
        files: &'a Migrations,
        replay: ReplayMode,
        groups: &BTreeMap<Kind, Vec<Alike>>,
    ) -> Self {
        let mut measure = Self { known: Vec::new(), findings: Vec::new() };
        if files.is_none() || files.check_files().is_err() {
            return measure;
        }
        let is_usable = |name| files.files_of(Some(name)).is_ok_and(|files| files.check().is_ok());
        let of_types = files.types().filter(|(name, _)| is_usable(name)).map(|(_, set)| set);
        let mut kinds: Vec<_> = groups.keys().collect();
        for set in std::iter::once(files.tenant()).chain(of_types) {
            let newest = kinds.iter().filter_map(|kind| version_of(set, kind)).max();
            kinds.retain(|kind| version_of(set, kind).is_none());
            if let Some(newest) = newest {
                measure.add(patient, set, replay, newest).await;
            }
        }
        measure
    }

    async fn add(&mut self, patient: &Patient<'_>, set: &'a MigrationSet, replay: ReplayMode, newest: i64) {
        let workshop = Workshop::new(patient.alias, patient.config, patient.layout);
        let found = match replay {
            ReplayMode::Kept => kept_versions(workshop, set).await,
            ReplayMode::IfNeeded => versions(workshop, set, patient.steps()).await.map(Some),
        };
        match found {
            Ok(versions) => {
                let obstacle = versions.as_ref().and_then(|versions| versions.obstacle_to(newest));
                self.findings.extend(obstacle.map(|obstacle| not_replayed(patient, obstacle)));
                self.known.extend(versions.map(|versions| (set, versions)));
            }
            Err(error) if replay == ReplayMode::IfNeeded => self.findings.push(unknown(patient, &error)),
            // Whoever did not ask for a replay need not be able to make one.
            Err(_) => {}
        }
    }

    /// The structures that the files of a group make, and its version; `None` if they are not known.
    fn of(&self, kind: &Kind) -> Option<(&Versions, i64)> {
        self.known.iter().find_map(|(set, versions)| Some((versions, version_of(set, kind)?)))
    }

    /// The differences of a group from what the files make; `None` if they are not known.
    pub(super) async fn differences(
        &self,
        patient: &mut Patient<'_>,
        roster: &mut Roster,
        kind: &Kind,
        group: &Alike,
    ) -> Result<Option<Vec<Deviation>>> {
        let Some((versions, version)) = self.of(kind) else { return Ok(None) };
        let history = &versions.history;
        let files = history.objects_at(Some(version)).zip(history.permissions_at(Some(version)));
        let Some((should_be, permitted)) = files else { return Ok(None) };
        let Some((schema, _)) = group.first.first() else { return Ok(None) };
        let Ok(name) = SchemaName::parse(schema) else { return Ok(None) };
        let own_role = patient.role.map(|role| role.name_for(&name));
        // The shape names roles in policies, which the files cannot do for that of a tenant.
        let subject = Subject { schema: &name, own_role: None };
        let with_role = Subject { own_role: own_role.as_deref(), ..subject };
        let application = patient.config.application_role();
        let maker = patient.owner().unwrap_or(application).to_owned();
        let holders = Holders { application, maker: Some(&maker) };
        let read = async |connection: &mut sqlx::PgConnection| {
            // Without it, the server writes the names of what is there with the schema in front.
            let may_use = "SELECT pg_catalog.has_schema_privilege($1, 'USAGE')";
            let may_use = sqlx::query_scalar(may_use).bind(name.as_str()).persistent(false);
            if !may_use.fetch_optional(&mut *connection).await?.unwrap_or(false) {
                return Ok(None);
            }
            let objects = Objects::within(connection, subject, versions.extent()).await?;
            let left_out = versions.left_out();
            let permissions = Objects::permissions(connection, with_role, holders, left_out).await?;
            Ok(Some((objects.without_own_name(&name), permissions)))
        };
        let Some((is, permissions)) = patient.catalog.ask(read).await? else { return Ok(None) };
        if !is_settled(patient, roster, &kind.digest, schema).await? {
            return Ok(None);
        }
        let mut all = crate::structure::differences(&is, &should_be);
        all.extend(untold(permission_differences(&permissions, &permitted, [&is, &should_be])));
        Ok(Some(all))
    }

    /// The finding about a group of which no other says what it should be.
    pub(super) fn tell(
        &self,
        patient: &Patient<'_>,
        kind: &Kind,
        group: &Alike,
        differences: &[Deviation],
    ) -> Finding {
        let what = format!(
            "{} {} from what the files make at version {}: {}",
            names(group),
            if group.count == 1 { "differs" } else { "differ" },
            self.of(kind).map(|(_, version)| version).unwrap_or_default(),
            sentence(differences),
        );
        let why =
            "a statement or a migration that counts on the files can fail there, and new tenants are others";
        patient.warning(Check::Drift, what, why).mend_by(statements_for(group, &mend(differences)))
    }
}

/// Leaves out what belongs to somebody whose objects no migration can change, with the privileges on it: that is told
/// by a finding of its own.
fn untold(mut differences: Vec<Deviation>) -> Vec<Deviation> {
    let is_foreign = |it: &&Deviation| it.is_out_of_reach() && it.is_within();
    let foreign: Vec<_> = differences.iter().filter(is_foreign).cloned().collect();
    differences.retain(|it| !foreign.iter().any(|foreign| foreign.is_about_the_same(it)));
    differences
}

/// The version of a schema that has applied all files up to it and nothing else.
fn version_of(set: &MigrationSet, kind: &Kind) -> Option<i64> {
    let digest = kind.digest.parse().ok()?;
    // Those that have all files of one directory and some of the other have a version, too.
    set.version_of(&digest).filter(|version| set.through(*version).digest() == digest)
}

fn not_replayed(patient: &Patient<'_>, obstacle: &Obstacle) -> Finding {
    let Obstacle { version, reason } = obstacle;
    let what = format!("the files from version {version} on cannot be replayed: {reason}");
    let why = "tenants that have applied them are compared with each other only";
    let mend = "mend the file, unless it needs rows of a tenant, or code that only the application has";
    patient.warning(Check::NotReplayed, what, why).mend_by(mend)
}

fn unknown(patient: &Patient<'_>, error: &Error) -> Finding {
    let what = format!("what the files make could not be found out: {error:#}");
    let why = "tenants were compared with each other only: a difference that all share would not be found";
    let mend = match error.kind() {
        ErrorKind::Unsupported => error.hint().unwrap_or_default().to_owned(),
        _ => format!(
            "set an `owner_url` under `[databases.{}]` in tenantry.toml whose role may create a schema, at least for \
             this command; or leave it out by `--no-replay`",
            patient.alias
        ),
    };
    patient.warning(Check::Unexamined, what, why).mend_by(mend)
}
