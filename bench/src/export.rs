//! Archives of two hundred tenants at one version, among each other, against `pg_dump -Fc -n` of each.

use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::archive::ArchiveFile;
use tenantry::tenant::Tenant;
use tenantry::{DatabaseConfig, ExportOptions, NewTenant, Tenancy};

use crate::bench::Bench;
use crate::measure::{Spread, milliseconds_each};
use crate::pg_programs::{dump_into, dumped};
use crate::report::Line;
use crate::server::Server;

const TENANTS: usize = 200;
const TABLES: usize = 20;
const ROWS: usize = 200;
/// Tenants that `pg_dump` is timed for in a round: each takes the same, and all of them minutes.
const DUMPED: usize = 10;

pub(crate) async fn export(bench: &mut Bench) -> Result<()> {
    let server = Server::durable().await?;
    let tenants = bench.plan.tenants(TENANTS);
    let (ours, theirs) = measure(server.url(), bench.plan.rounds, tenants).await?;
    let ratio = Spread::of(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs));
    let ours = Spread::of(ours).median;
    bench.report.add(&Line::of_times(("export", "200"), ours, ratio, 0.2, "pg_dump -Fc -n, each"))
}

/// The milliseconds that a tenant takes on either side, in each round.
async fn measure(url: &str, rounds: u32, tenants: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let tenancy = Tenancy::builder().database(DatabaseConfig::from_url(url)?).install(true).connect().await?;
    let mut connection = PgConnection::connect(url).await?;
    let mut all = Vec::new();
    for number in 0..tenants {
        let tenant = tenancy.create(NewTenant::new(format!("tenant-{number}"))).await?;
        fill(&mut connection, &tenant).await?;
        all.push(tenant);
    }
    run(&mut connection, "ANALYZE").await?;
    let folder = std::env::temp_dir().join(format!("tenantry-bench-export-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        run(&mut connection, "DELETE FROM tenantry.structure").await?;
        let started = Instant::now();
        for tenant in &all {
            let file = ArchiveFile::create(folder.join(format!("{}.tar.zst", tenant.slug())), true)?;
            let dump = async |arguments: &[String]| dumped(url, arguments);
            tenancy.export(tenant, file.writer()?, &ExportOptions::default(), dump).await?;
            file.keep()?;
        }
        ours.push(milliseconds_each(started, all.len()));
        let some = &all[..all.len().min(DUMPED)];
        let started = Instant::now();
        for tenant in some {
            let file = folder.join(format!("{}.dump", tenant.slug()));
            dump_into(&file, url, tenant.schema().as_str(), &[])?;
        }
        theirs.push(milliseconds_each(started, some.len()));
    }
    std::fs::remove_dir_all(&folder)?;
    tenancy.close(Duration::from_secs(5)).await?;
    Ok((ours, theirs))
}

async fn fill(connection: &mut PgConnection, tenant: &Tenant) -> Result<()> {
    let tables: Vec<_> = (0..TABLES)
        .map(|number| {
            format!(
                "CREATE TABLE table_{number} (
                     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, body text,
                     made_at timestamptz NOT NULL DEFAULT now());
                 INSERT INTO table_{number} (name, body)
                     SELECT 'name ' || i, repeat(md5(i::text), 3) FROM generate_series(1, {ROWS}) AS i;
                 CREATE INDEX ON table_{number} (name)"
            )
        })
        .collect();
    run(connection, &format!("SET search_path TO {}; {}", tenant.schema(), tables.join("; "))).await
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
