//! The cost of adopting a schema, among few and among many.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqlSafeStr as _};
use tenantry::lifecycle::SchemaChoice;
use tenantry::tenant::Alias;
use tenantry::{Adoption, DatabaseConfig, Migrations, Tenancy};

use crate::bench::Bench;
use crate::measure::Spread;
use crate::report::Line;
use crate::server::Server;

const FEW: usize = 100;
const MANY: usize = 1_000;
/// Schemas that are adopted at a time.
const JOBS: usize = 4;
/// Tables of each schema, with a key and an index.
const TABLES: usize = 10;

/// A schema of a thousand against one of a hundred. A thousand take a second for each millisecond.
pub(crate) async fn per_schema(bench: &mut Bench) -> Result<()> {
    let (few, many) = (bench.plan.tenants(FEW), bench.plan.tenants(MANY));
    let (mut small, mut large) = (Place::make(few).await?, Place::make(many).await?);
    let (mut ratios, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..bench.plan.rounds {
        let baseline = small.adopt_all().await?;
        let each = large.adopt_all().await?;
        ratios.push(each / baseline);
        ours.push(each);
    }
    let ours = Spread::of(ours).median;
    let case = format!("schema of {many}");
    let against = format!("a schema of {few}");
    bench.report.add(&Line::of_times(("adopt", &case), ours, Spread::of(ratios), 1.25, &against))
}

/// A server with schemas that nobody owns.
struct Place {
    server: Server,
    connection: PgConnection,
    count: usize,
}

impl Place {
    async fn make(count: usize) -> Result<Self> {
        let server = Server::fast().await?;
        let mut connection = PgConnection::connect(server.url()).await?;
        for number in 0..count {
            let make = format!("CREATE SCHEMA old_{number}; SET search_path TO old_{number}; {}", tables());
            run(&mut connection, make).await?;
        }
        run(&mut connection, "RESET search_path; ANALYZE".to_owned()).await?;
        let mut place = Self { server, connection, count };
        // The first time pays for the replay and for caches that are empty.
        place.adopt_all().await?;
        Ok(place)
    }

    /// Adopts all of them, in milliseconds for each, and lets them go again.
    async fn adopt_all(&mut self) -> Result<f64> {
        let tenancy = open(self.server.url()).await?;
        let started = Instant::now();
        let found = tenancy.adoptable(&Alias::default(), &SchemaChoice::Like("old\\_%".to_owned())).await?;
        let adopted = stream::iter(found).map(async |found| tenancy.adopt(&Adoption::of(found)).await);
        let adopted: Vec<_> = adopted.buffer_unordered(JOBS).try_collect().await?;
        let elapsed = started.elapsed();
        ensure!(adopted.len() == self.count, "{} were adopted", adopted.len());
        let newest = tenancy.migrations().tenant().digest();
        ensure!(
            adopted.iter().all(|tenant| tenant.digest() == Some(&newest)),
            "not all are at the newest version"
        );
        for tenant in adopted {
            let drop = format!("DROP TABLE {}._sqlx_migrations", tenant.schema());
            run(&mut self.connection, drop).await?;
        }
        run(&mut self.connection, "DELETE FROM tenantry.tenant; DELETE FROM tenantry.applied".to_owned())
            .await?;
        tenancy.close(Duration::from_secs(5)).await?;
        #[expect(clippy::cast_precision_loss, reason = "a thousand")]
        Ok(elapsed.as_secs_f64() * 1e3 / self.count as f64)
    }
}

async fn open(url: &str) -> Result<Tenancy> {
    let tenant = Migrator { migrations: Cow::from(vec![file()]), ..Migrator::DEFAULT };
    let migrations = Migrations::from_migrators(sqlx::migrate!("migrations/master"), tenant)?;
    let builder = Tenancy::builder().database(DatabaseConfig::from_url(url)?).migrations(migrations);
    Ok(builder.install(true).connect().await?)
}

fn file() -> Migration {
    Migration::new(
        1,
        Cow::from("tables"),
        MigrationType::Simple,
        AssertSqlSafe(tables()).into_sql_str(),
        false,
    )
}

fn tables() -> String {
    let table = |number: usize| {
        format!(
            "CREATE TABLE table_{number} (
                 id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL,
                 made_at timestamptz NOT NULL DEFAULT now());
             CREATE INDEX ON table_{number} (name);"
        )
    };
    (0..TABLES).map(table).collect()
}

async fn run(connection: &mut PgConnection, sql: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
