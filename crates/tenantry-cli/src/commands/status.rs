//! The state of everything on one screen.
mod replicas;
mod spares;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;
use tenantry::migrate::{Migration, MigrationSet};
use tenantry::registry::{Probe, Run};
use tenantry::tenant::{Alias, Digest, Slug, Status, Tenant, TypeName};
use tenantry::{Config, Tenancy};

use self::replicas::Replica;
use self::spares::Spares;
use crate::causes::Causes;
use crate::connect::{self, PROBE_TIMEOUT, with_tenancy};
use crate::context::{Context, Finish};
use crate::failure::{Failure, Report};
use crate::fleet::{Listed, Migrated, Pages};
use crate::output::{Format, print_report};

/// Show databases, tenants and migrations on one screen
#[derive(Debug, clap::Args)]
pub(crate) struct Options {}

#[derive(Serialize)]
struct Screen {
    databases: Vec<Database>,
    #[serde(flatten)]
    fleet: Option<Fleet>,
}

/// The registry's part of the status.
#[derive(Serialize)]
struct Fleet {
    tenants: BTreeMap<&'static str, Counts>,
    versions: Vec<AtVersion>,
    /// The tenants whose last migration failed, by the cause.
    #[serde(rename = "groups")]
    causes: Causes,
    spares: Spares,
    migrations: Migrations,
    last_run: Option<Run>,
}

#[derive(Serialize)]
struct Database {
    #[serde(rename = "database")]
    alias: Alias,
    address: String,
    server_version: Option<String>,
    registry: Option<bool>,
    error: Option<Report>,
    replicas: Vec<Replica>,
}

/// The tenants of one status.
#[derive(Clone, Copy, Default, Serialize)]
struct Counts {
    total: usize,
    up_to_date: usize,
    behind: usize,
    failed: usize,
    /// Tenants of a database that does not answer.
    #[serde(skip_serializing_if = "is_zero")]
    unknown: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The tenants that keep up with the fleet and have applied the same.
#[derive(Serialize)]
struct AtVersion {
    #[serde(rename = "type")]
    type_name: Option<TypeName>,
    files: Files,
    version: Option<i64>,
    tenants: usize,
    /// The first of them.
    slug: Slug,
}

/// The files that a schema has applied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Files {
    /// None at all, as far as is known.
    Nothing,
    /// Others than there are up to any version: one in between is missing, or a file was changed.
    Other,
    /// All up to a version.
    UpToVersion,
}

impl Files {
    /// The digest of a schema from which everything was undone.
    fn of_nothing() -> Digest {
        tenantry::Migrations::none().tenant().digest()
    }
}

#[derive(Serialize)]
struct Migrations {
    master: Directory,
    tenant: Directory,
    types: BTreeMap<TypeName, Directory>,
}

#[derive(Serialize)]
struct Directory {
    path: String,
    files: usize,
    latest: Option<i64>,
    /// For the master schema, of which there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Migrated>,
}

pub(crate) async fn run(_: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let config = connect::configuration(&cx.global).await?;
    let mut screen = Screen { databases: databases(&config).await?, fleet: None };
    // Also when a database is down: then the others are shown, and the error after them.
    let result = with_tenancy(cx, async |_, config, tenancy| {
        screen.fleet = Some(fleet(config, tenancy).await?);
        Ok(())
    })
    .await;
    match cx.output.format() {
        Format::Json => cx.output.json(&screen),
        Format::Table => print(cx, &screen),
    }
    result?;
    cx.output.flush();
    let away = screen.databases.iter().filter(|database| database.error.is_some());
    let away: Vec<_> =
        away.map(|Database { alias, .. }| format!("database `{alias}` cannot be reached")).collect();
    for message in &away {
        let failure = Failure::new("database_unavailable", message);
        let hint = "check that PostgreSQL runs there and that the URL is right; what is shown is without it";
        print_report(cx.output.format(), &Report::of(&failure.with_hint(hint)));
    }
    Ok(if away.is_empty() { Finish::Done } else { Finish::SomeFailed })
}

/// Asks all at once: where several are down, the waiting is that for one.
async fn databases(config: &Config) -> anyhow::Result<Vec<Database>> {
    let asked = config.databases()?.into_iter().map(async |(alias, database)| {
        let (probe, replicas) = tokio::join!(Probe::of(&database, PROBE_TIMEOUT), replicas::ask(&database));
        Database {
            alias,
            address: database.address(),
            server_version: probe.as_ref().ok().map(|probe| probe.server_version.clone()),
            registry: probe.as_ref().ok().map(|probe| probe.has_registry),
            error: probe.err().map(|error| Report::of(&error)),
            replicas,
        }
    });
    Ok(join_all(asked).await)
}

async fn fleet(config: &Config, tenancy: &Tenancy) -> anyhow::Result<Fleet> {
    let mut tenants: BTreeMap<_, _> =
        Status::ALL.into_iter().map(|status| (status.as_str(), Counts::default())).collect();
    let (mut versions, mut causes) = (BTreeMap::new(), Causes::default());
    let mut pages = Pages::of(tenancy);
    loop {
        let page = pages.next().await?;
        if page.is_empty() {
            break;
        }
        for Listed { tenant, migrated } in page {
            tenants.entry(tenant.status().as_str()).or_default().add(migrated);
            if let Some(error) = tenant.last_error() {
                causes.add_text(error, tenant.slug().as_str());
            }
            let is_known = migrated != Migrated::Unknown;
            if is_known && matches!(tenant.status(), Status::Active | Status::Suspended) {
                let (_, count) =
                    versions.entry(place(tenancy, &tenant)).or_insert_with(|| (tenant.slug().clone(), 0));
                *count += 1;
            }
        }
    }
    let at_version = |((type_name, files, version), (slug, tenants))| AtVersion {
        type_name,
        files,
        version,
        tenants,
        slug,
    };
    Ok(Fleet {
        tenants,
        causes,
        versions: versions.into_iter().map(at_version).collect(),
        spares: Spares::of(config, tenancy).await?,
        migrations: migrations(config, tenancy).await?,
        last_run: tenancy.runs(1).await?.pop(),
    })
}

/// The type and the version of a tenant; those furthest behind come first.
fn place(tenancy: &Tenancy, tenant: &Tenant) -> (Option<TypeName>, Files, Option<i64>) {
    let files = tenancy.migrations().of_type(tenant.type_name());
    let (files, version) = match tenant.digest() {
        None => (Files::Nothing, None),
        Some(digest) => match files.and_then(|files| files.version_of(digest)) {
            Some(version) => (Files::UpToVersion, Some(version)),
            None if *digest == Files::of_nothing() => (Files::Nothing, None),
            None => (Files::Other, None),
        },
    };
    (tenant.type_name().cloned(), files, version)
}

impl Counts {
    fn add(&mut self, migrated: Migrated) {
        self.total += 1;
        match migrated {
            Migrated::UpToDate => self.up_to_date += 1,
            Migrated::Behind => self.behind += 1,
            Migrated::Failed => self.failed += 1,
            Migrated::Unknown => self.unknown += 1,
        }
    }
}

async fn migrations(config: &Config, tenancy: &Tenancy) -> anyhow::Result<Migrations> {
    let (master, tenant) = config.migration_directories();
    let files = tenancy.migrations();
    let directory = |path: std::path::PathBuf, files: &MigrationSet| Directory {
        path: path.display().to_string(),
        files: files.len(),
        latest: files.latest(),
        state: None,
    };
    let mut types = BTreeMap::new();
    for (name, path) in config.type_directories() {
        if let Some(set) = files.of_type(Some(&name)) {
            let own = set.iter().filter(|migration| migration.is_of_type());
            let latest = own.clone().next_back().map(Migration::version);
            let path = path.display().to_string();
            types.insert(name, Directory { path, files: own.count(), latest, state: None });
        }
    }
    let (master, tenant) = (directory(master, files.master()), directory(tenant, files.tenant()));
    let mut migrations = Migrations { master, tenant, types };
    migrations.master.state = Some(master_state(tenancy).await?);
    Ok(migrations)
}

async fn master_state(tenancy: &Tenancy) -> tenantry::Result<Migrated> {
    let is_up_to_date = tenancy.is_master_up_to_date().await?;
    Ok(if is_up_to_date { Migrated::UpToDate } else { Migrated::Behind })
}

fn print(cx: &mut Context, screen: &Screen) {
    let registry = |database: &Database| match database.registry {
        Some(true) => "installed",
        Some(false) => "missing",
        None => "",
    };
    let rows = screen.databases.iter().map(|database| {
        let server = database.server_version.clone().unwrap_or_else(|| "unreachable".to_owned());
        let alias = database.alias.to_string();
        vec![alias, database.address.clone(), server, registry(database).to_owned()]
    });
    cx.output.table(&["DATABASE", "ADDRESS", "SERVER", "REGISTRY"], rows);
    let all = screen.databases.iter().map(|database| (&database.alias, &database.replicas[..]));
    replicas::print(&mut cx.output, all);
    if let Some(fleet) = &screen.fleet {
        print_tenants(cx, &fleet.tenants);
        print_versions(cx, &fleet.versions);
        fleet.causes.print(&mut cx.output);
        print_migrations(cx, &fleet.migrations);
        print_rest(cx, fleet);
    }
}

fn print_versions(cx: &mut Context, versions: &[AtVersion]) {
    if versions.is_empty() {
        return;
    }
    cx.output.line("");
    let name = |at: &AtVersion| match (at.files, at.version) {
        (Files::UpToVersion, Some(version)) => version.to_string(),
        (Files::Other, _) => "other files".to_owned(),
        _ => "nothing".to_owned(),
    };
    let has_types = versions.iter().any(|at| at.type_name.is_some());
    let rows = versions.iter().map(|at| {
        let mut row = vec![name(at), at.tenants.to_string(), at.slug.to_string()];
        row.extend(has_types.then(|| at.type_name.as_ref().map(ToString::to_string).unwrap_or_default()));
        row
    });
    let header = ["AT VERSION", "TENANTS", "FIRST", "TYPE"];
    let shown = if has_types { header.len() } else { header.len() - 1 };
    cx.output.rows(Some(&header[..shown]), &[1], rows);
}

/// The parts that are not always there.
fn print_rest(cx: &mut Context, fleet: &Fleet) {
    let mut facts = Vec::new();
    facts.extend(fleet.spares.told().map(|told| ("spares", told)));
    if let Some(run) = &fleet.last_run {
        let (id, state) = (run.id, run.state.as_str());
        let counts = format!("{} migrated, {} failed", run.migrated, run.failed);
        facts.push(("last run", format!("{id}, {state}: {counts}, by {}", run.operator)));
    }
    if !facts.is_empty() {
        cx.output.line("");
        cx.output.facts(&facts);
    }
}

fn print_tenants(cx: &mut Context, tenants: &BTreeMap<&'static str, Counts>) {
    cx.output.line("");
    if tenants.values().all(|counts| counts.total == 0) {
        cx.output.line("no tenants");
        return;
    }
    let shown = if tenants.values().any(|counts| counts.unknown > 0) { 5 } else { 4 };
    // In the order of a tenant's life, and only what there is.
    let counts = Status::ALL.into_iter().map(|status| (status.as_str(), tenants[status.as_str()]));
    let rows = counts.filter(|(_, counts)| counts.total > 0).map(|(status, counts)| {
        let numbers = [counts.total, counts.up_to_date, counts.behind, counts.failed, counts.unknown];
        let numbers = numbers.into_iter().take(shown).map(|number| number.to_string());
        std::iter::once(status.to_owned()).chain(numbers).collect()
    });
    let header = ["TENANTS", "TOTAL", "UP TO DATE", "BEHIND", "FAILED", "UNKNOWN"];
    cx.output.rows(Some(&header[..=shown]), &[1, 2, 3, 4, 5][..shown], rows);
}

fn print_migrations(cx: &mut Context, migrations: &Migrations) {
    cx.output.line("");
    let of_types = migrations.types.iter().map(|(name, directory)| (name.as_str(), directory));
    let rows = [("master", &migrations.master), ("tenant", &migrations.tenant)];
    let rows = rows.into_iter().chain(of_types).map(|(kind, directory)| {
        vec![
            kind.to_owned(),
            directory.path.clone(),
            directory.files.to_string(),
            directory.latest.map(|version| version.to_string()).unwrap_or_default(),
            directory.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        ]
    });
    cx.output.rows(Some(&["MIGRATIONS", "PATH", "FILES", "LATEST", "STATE"]), &[2, 3], rows);
}
