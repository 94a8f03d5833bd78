//! A clone of a tenant of forty tables and some 100 MB, among a thousand other schemas, against `pg_dump | pg_restore`.

use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::tenant::Tenant;
use tenantry::{CloneOptions, DatabaseConfig, NewTenant, Tenancy};

use crate::bench::Bench;
use crate::create::table_with_rows;
use crate::measure::Spread;
use crate::pg_programs::{dump_file, dump_into, dumped, restore};
use crate::report::Line;
use crate::server::Server;

const TABLES: usize = 40;
const OTHER_SCHEMAS: usize = 1_000;
/// Of some 250 bytes each, which with their indexes are some 100 MB in all tables.
const ROWS: usize = 8_000;

/// The time of one round, in milliseconds.
struct Round {
    cached: f64,
    uncached: f64,
    programs: f64,
}

pub(crate) async fn clone(bench: &mut Bench) -> Result<()> {
    let server = Server::durable().await?;
    let rounds = measure(server.url(), bench.plan.rounds).await?;
    for (case, ours, most) in [
        ("cached", Round::cached as fn(&Round) -> f64, 0.6),
        ("uncached", Round::uncached as fn(&Round) -> f64, 1.0),
    ] {
        let ratio = Spread::of(rounds.iter().map(|round| ours(round) / round.programs));
        let ours = Spread::of(rounds.iter().map(ours)).median;
        let by_programs = "pg_dump -Fc -n | pg_restore";
        bench.report.add(&Line::of_times(("clone", case), ours, ratio, most, by_programs))?;
    }
    Ok(())
}

impl Round {
    fn cached(&self) -> f64 {
        self.cached
    }

    fn uncached(&self) -> f64 {
        self.uncached
    }
}

async fn measure(url: &str, rounds: u32) -> Result<Vec<Round>> {
    let tenancy = Tenancy::builder().database(DatabaseConfig::from_url(url)?).install(true).connect().await?;
    let acme = tenancy.create(NewTenant::new("acme")).await?;
    let mut connection = PgConnection::connect(url).await?;
    fill(&mut connection, &acme).await?;
    let source = Source { tenancy: &tenancy, tenant: &acme, url };
    let mut measured = Vec::new();
    for round in 0..=rounds {
        run(&mut connection, "DELETE FROM tenantry.structure").await?;
        let uncached = source.timed(&mut connection, &format!("uncached-{round}")).await?;
        let cached = source.timed(&mut connection, &format!("cached-{round}")).await?;
        let programs = programs(&mut connection, url, &acme).await?;
        // The first of each pays for caches that are empty.
        if round > 0 {
            measured.push(Round { cached, uncached, programs });
        }
    }
    tenancy.close(Duration::from_secs(5)).await?;
    Ok(measured)
}

/// The tenant that is cloned.
struct Source<'a> {
    tenancy: &'a Tenancy,
    tenant: &'a Tenant,
    url: &'a str,
}

impl Source<'_> {
    async fn timed(&self, connection: &mut PgConnection, slug: &str) -> Result<f64> {
        let started = Instant::now();
        let dump = async |arguments: &[String]| dumped(self.url, arguments);
        let new = NewTenant::new(slug);
        let cloned = self.tenancy.clone_tenant(self.tenant, new, CloneOptions::default(), dump).await?;
        let elapsed = started.elapsed();
        // So that the next ones find the disk as this one did.
        run(connection, &format!("DROP SCHEMA {} CASCADE", cloned.tenant.schema())).await?;
        Ok(elapsed.as_secs_f64() * 1e3)
    }
}

/// The same by the programs of PostgreSQL. They know no other name, so the source steps aside meanwhile.
async fn programs(connection: &mut PgConnection, url: &str, acme: &Tenant) -> Result<f64> {
    let schema = acme.schema();
    let file = dump_file();
    let started = Instant::now();
    dump_into(&file, url, schema.as_str(), &["-Z0"])?;
    run(connection, &format!("ALTER SCHEMA {schema} RENAME TO aside")).await?;
    restore(&file, url, &[])?;
    let elapsed = started.elapsed();
    std::fs::remove_file(&file)?;
    run(connection, &format!("DROP SCHEMA {schema} CASCADE; ALTER SCHEMA aside RENAME TO {schema}")).await?;
    Ok(elapsed.as_secs_f64() * 1e3)
}

/// Makes the tables of the tenant, and schemas of five tables for others, some at a time, for each table takes locks.
async fn fill(connection: &mut PgConnection, acme: &Tenant) -> Result<()> {
    run(connection, &format!("SET search_path TO {}", acme.schema())).await?;
    for number in 0..TABLES {
        run(connection, &table_with_rows(number, ROWS)).await?;
    }
    for number in 0..OTHER_SCHEMAS {
        let tables: Vec<_> = (0..5)
            .map(|table| {
                format!("CREATE TABLE other_{number}.table_{table} (id int PRIMARY KEY, name text UNIQUE)")
            })
            .collect();
        run(connection, &format!("CREATE SCHEMA other_{number}; {}", tables.join("; "))).await?;
    }
    run(connection, "ANALYZE").await
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
