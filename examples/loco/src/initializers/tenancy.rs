//! The tenancy: connects it once, and has each request know its tenant.

use async_trait::async_trait;
use axum::Router as AxumRouter;
use loco_rs::app::{AppContext, Initializer};
use loco_rs::config::Config;
use loco_rs::{Error, Result};
use serde::Deserialize;
use tenantry::migrate::MigrateOptions;
use tenantry::resolve::Subdomain;
use tenantry::{DatabaseConfig, Migrations, Tenancy};

pub struct TenancyInitializer;

#[async_trait]
impl Initializer for TenancyInitializer {
    fn name(&self) -> String {
        "tenancy".to_owned()
    }

    async fn before_run(&self, ctx: &AppContext) -> Result<()> {
        tenancy(ctx).await.map(drop)
    }

    async fn after_routes(&self, router: AxumRouter, ctx: &AppContext) -> Result<AxumRouter> {
        // Around all that Loco has added, so each request knows its tenant before anything else sees it.
        let tenancy = tenancy(ctx).await?;
        Ok(router.layer(tenancy.layer()))
    }
}

/// The `settings` of `config/*.yaml`.
#[derive(Deserialize)]
struct Settings {
    /// The tenant `acme` is at `acme.` and this.
    domain: String,
}

/// The tenancy of this process. Tasks get here without the initializer, so whoever asks first connects it.
pub async fn tenancy(ctx: &AppContext) -> Result<Tenancy> {
    if let Some(tenancy) = ctx.shared_store.get::<Tenancy>() {
        return Ok(tenancy);
    }
    let Settings { domain } = ctx.config.settings()?;
    let tenancy = connect(&ctx.config, &domain).await.map_err(Error::wrap)?;
    ctx.shared_store.insert(tenancy.clone());
    Ok(tenancy)
}

async fn connect(config: &Config, domain: &str) -> tenantry::Result<Tenancy> {
    let tenancy = Tenancy::builder()
        .database(DatabaseConfig::from_url(&config.database.uri)?)
        .migrations(Migrations::from_dirs("migrations/master", "migrations/tenant")?)
        .resolver(Subdomain::of(domain)?)
        .install(config.database.auto_migrate)
        .connect()
        .await?;
    if config.database.auto_migrate {
        tenancy.migrate(MigrateOptions { wait: true, ..MigrateOptions::default() }, ()).await?;
    }
    Ok(tenancy)
}
