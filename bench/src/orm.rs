//! An entity that is found by its key through `SeaORM`.

use anyhow::{Result, ensure};
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait as _, SqlxPostgresConnector};
use tenantry::{PoolConfig, TenantDb};

use crate::bench::Bench;
use crate::fleet::Route;
use crate::measure::{Team, Worker, interleave, warm_up};
use crate::report::{Line, Target};
use crate::side::plain_pool;
use crate::zipf::{Draw, Traffic};

const TASKS: usize = 16;
const CONNECTIONS: u32 = 8;

#[allow(unreachable_pub, reason = "SeaORM's derives need it")]
mod note {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "note")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub title: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One tenant that may use the whole pool, against `SeaORM` on sqlx's pool.
pub(crate) async fn find(bench: &mut Bench) -> Result<()> {
    let tenants = bench.fleet.tenants(1).await?;
    // The reserve is for others, and there is nobody else.
    let config = PoolConfig { max_connections: CONNECTIONS, reserve: Some(0), ..PoolConfig::default() };
    let opened = bench.fleet.open(Route::Direct, config).await?;
    let pool = plain_pool(&bench.fleet.url(Route::Direct), tenants[0].schema().as_str(), CONNECTIONS)?;
    let stock = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    let db = opened.tenancy.db(&tenants[0])?;
    let draws = || (0..TASKS).map(|seed| Draw::new(&Traffic::Uniform(1), seed));
    let mut ours = Team::new(draws().map(|draw| OurFinds { db: db.clone(), draw }));
    let mut theirs = Team::new(draws().map(|draw| StockFinds { db: stock.clone(), draw }));
    warm_up(&bench.plan, [&mut ours, &mut theirs]).await?;
    let rounds = interleave(&bench.plan, [&mut ours, &mut theirs]).await?;
    opened.close().await?;
    let (target, against) = (Target::RatioAtLeast(1.0), "SeaORM on sqlx's pool, no tenancy");
    bench.report.add(&Line::of_rates(("sea-orm", "find"), TASKS, &rounds, target, against))
}

/// Ours.
struct OurFinds {
    db: TenantDb,
    draw: Draw,
}

impl Worker for OurFinds {
    async fn step(&mut self) -> Result<()> {
        find_note(&self.db, self.draw.note()).await
    }
}

/// `SeaORM` on sqlx's pool, without tenancy.
struct StockFinds {
    db: DatabaseConnection,
    draw: Draw,
}

impl Worker for StockFinds {
    async fn step(&mut self) -> Result<()> {
        find_note(&self.db, self.draw.note()).await
    }
}

async fn find_note(db: &impl ConnectionTrait, id: i32) -> Result<()> {
    let note = note::Entity::find_by_id(id).one(db).await?;
    ensure!(note.is_some_and(|note| note.id == id && !note.title.is_empty()), "there is no note {id}");
    Ok(())
}
