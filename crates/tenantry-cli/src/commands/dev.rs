//! The embedded PostgreSQL, for development.
use clap_complete::ArgValueCompleter;
use serde_json::json;
use tenantry_embedded::KeptServer;

use crate::connect::{self, with_tenancy};
use crate::context::{Context, Finish};
use crate::output::{Format, note};
use crate::session_url::SessionUrl;
use crate::slugs::complete_slugs;

/// Run the embedded PostgreSQL; print URLs for other programs
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Start the embedded PostgreSQL; its data is in `.tenantry/`
    Start,
    /// Stop it; the data stays
    Stop,
    /// Tell whether it runs, and where
    Status,
    /// Print a database URL, password included, whose sessions begin in a tenant's schema
    #[command(
        after_help = "Example: DATABASE_URL=$(tenantry dev url --tenant acme --with-master) cargo sqlx prepare"
    )]
    Url {
        /// In the schema of this tenant instead of the master schema
        #[arg(long, value_name = "SLUG", add = ArgValueCompleter::new(complete_slugs))]
        tenant: Option<String>,
        /// Let tables of the master schema be found as well, after those of the tenant: to check the queries of a
        /// program that has both, never to run it
        #[arg(long, requires = "tenant")]
        with_master: bool,
    },
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    match options.action {
        Action::Start => start(cx).await?,
        Action::Stop => stop(cx).await?,
        Action::Status => status(cx).await?,
        Action::Url { tenant, with_master } => url(tenant, with_master, cx).await?,
    }
    Ok(Finish::Done)
}

async fn start(cx: &mut Context) -> anyhow::Result<()> {
    let mut config = connect::read(&cx.global)?;
    if config.has_default_database() {
        note(cx.output.format(), "a database is configured; commands use that one, not the embedded one");
    }
    let server = connect::use_embedded(&mut config, cx.output.format()).await?;
    print(cx, Some(&server));
    Ok(())
}

async fn stop(cx: &mut Context) -> anyhow::Result<()> {
    match find(cx).await? {
        Some(server) => server.stop().await?,
        None => note(cx.output.format(), "it was not running"),
    }
    print(cx, None);
    Ok(())
}

async fn status(cx: &mut Context) -> anyhow::Result<()> {
    let server = find(cx).await?;
    print(cx, server.as_ref());
    Ok(())
}

/// The server, found without reading the configuration: a mistake there must not keep it running.
async fn find(cx: &Context) -> anyhow::Result<Option<KeptServer>> {
    Ok(KeptServer::find(&connect::directory(&cx.global)?).await?)
}

fn print(cx: &mut Context, server: Option<&KeptServer>) {
    if cx.output.format() == Format::Json {
        let json = server.map_or_else(
            || json!({ "running": false }),
            |server| {
                json!({
                    "running": true,
                    "host": "127.0.0.1",
                    "port": server.port(),
                    "pid": server.pid(),
                    "version": server.version(),
                    "data_directory": server.data_directory(),
                    "log_file": server.log_file(),
                })
            },
        );
        cx.output.json(&json);
        return;
    }
    let Some(server) = server else {
        cx.output.line("not running");
        return;
    };
    cx.output.facts(&[
        ("running", format!("PostgreSQL {}", server.version())),
        ("address", format!("127.0.0.1:{}", server.port())),
        ("process", server.pid().to_string()),
        ("data", server.data_directory().display().to_string()),
        ("log", server.log_file().display().to_string()),
    ]);
}

async fn url(tenant: Option<String>, with_master: bool, cx: &mut Context) -> anyhow::Result<()> {
    with_tenancy(cx, async |cx, config, tenancy| {
        let tenant = match &tenant {
            Some(slug) => Some(tenancy.tenant(slug).await?),
            None => None,
        };
        let url = match &tenant {
            Some(tenant) if with_master => SessionUrl::of_both(config, tenancy, tenant).await?,
            tenant => SessionUrl::of(config, tenancy, tenant.as_ref()).await?,
        };
        let url = url.with_password();
        match cx.output.format() {
            Format::Json => cx.output.json(&json!({ "url": url })),
            Format::Table => cx.output.line(&url),
        }
        Ok(())
    })
    .await
}
