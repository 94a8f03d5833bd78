//! Makes a tenant as a copy of another one.
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context as _;
use clap_complete::ArgValueCompleter;
use serde_json::{Value, json};
use tenantry::tenant::{Alias, DomainName, Tenant, TenantName};
use tenantry::{CloneOptions, Cloned, Config, NewTenant, Tenancy};

use super::show;
use crate::connect::{configuration, with_tenancy_of};
use crate::context::{Context, Finish};
use crate::input::read_text;
use crate::interrupt::{interrupted, until_interrupted};
use crate::output::{Format, note};
use crate::pg_dump::PgDump;
use crate::progress::Progress;
use crate::slugs::complete_slugs;

/// Make a tenant as a copy of another one
///
/// The copy is of one moment, while the source is served, and nobody sees it before it is whole. It has everything in
/// the source's schema and its settings but for the name. What cannot be carried is named before anything is made. The
/// first copy of a structure takes PostgreSQL's own `pg_dump`; those after it do not.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: tenantry clone acme acme-demo --except-tables audit_log --anonymize anonymize.sql"
)]
pub(crate) struct Options {
    /// The tenant to copy
    #[arg(add = ArgValueCompleter::new(complete_slugs))]
    source: String,
    /// The slug of the copy
    new: String,
    /// The name to show to people
    #[arg(long)]
    name: Option<String>,
    /// A domain of its own; repeatable
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// The database to make it in; without this, that of its source
    #[arg(long, value_name = "ALIAS", value_parser = Alias::parse)]
    database: Option<Alias>,
    /// Tables without their rows
    #[arg(long, conflicts_with_all = ["only_tables", "except_tables"])]
    no_rows: bool,
    /// Rows of these tables only
    #[arg(long, value_name = "TABLE", num_args = 1.., conflicts_with = "except_tables")]
    only_tables: Vec<String>,
    /// Rows of all tables but these
    #[arg(long, value_name = "TABLE", num_args = 1..)]
    except_tables: Vec<String>,
    /// SQL to run in the copy before anybody sees it; `-` is stdin
    #[arg(long, value_name = "FILE")]
    anonymize: Option<PathBuf>,
    /// Let rows be committed before that has run, if one transaction cannot hold so many tables
    #[arg(long, requires = "anonymize")]
    in_pieces: bool,
    /// Tables of a large tenant that are copied at a time
    #[arg(long, value_name = "N", default_value = "2")]
    jobs: NonZeroUsize,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let config = configuration(&cx.global).await?;
    let new = new_tenant(&options)?;
    let clone_options = clone_options(&options)?;
    with_tenancy_of(cx, &config, async |cx, tenancy| {
        let source = tenancy.tenant(&options.source).await?;
        let cloned = watched(cx, &config, tenancy, &source, new, clone_options).await?;
        for line in &cloned.notes {
            note(cx.output.format(), &format!("warning: {line}"));
        }
        let (source, clone, rows) = (source.slug(), cloned.tenant.slug(), cloned.rows);
        note(cx.output.format(), &format!("cloned tenant {source} as {clone}, {rows} rows"));
        print(cx, tenancy, &cloned).await
    })
    .await?;
    Ok(Finish::Done)
}

fn new_tenant(options: &Options) -> anyhow::Result<NewTenant> {
    let mut new = NewTenant::new(&options.new);
    if let Some(name) = &options.name {
        new = new.name(TenantName::parse(name)?.as_str());
    }
    if let Some(database) = &options.database {
        new = new.database(database.clone());
    }
    for domain in &options.domains {
        new = new.domain(DomainName::parse(domain)?);
    }
    Ok(new)
}

fn clone_options(options: &Options) -> anyhow::Result<CloneOptions> {
    let Options { no_rows, only_tables, except_tables, anonymize, in_pieces, jobs, .. } = options;
    let mut chosen = CloneOptions::default().jobs(*jobs);
    if *no_rows {
        chosen = chosen.without_rows();
    }
    if !only_tables.is_empty() {
        chosen = chosen.only_tables(only_tables);
    }
    if !except_tables.is_empty() {
        chosen = chosen.except_tables(except_tables);
    }
    if let Some(file) = anonymize {
        let sql = read_text(Some(file).filter(|file| file.as_os_str() != "-").map(PathBuf::as_path))?;
        chosen = chosen.anonymize(file.display().to_string(), sql);
    }
    if *in_pieces {
        chosen = chosen.anonymize_in_pieces();
    }
    Ok(chosen)
}

/// Shows how the work goes on. Once interrupted, it ends and leaves nothing behind.
async fn watched(
    cx: &Context,
    config: &Config,
    tenancy: &Tenancy,
    source: &Tenant,
    new: NewTenant,
    options: CloneOptions,
) -> anyhow::Result<Cloned> {
    let progress = Progress::new(cx.output.format());
    // The program is looked for only where it is needed.
    let dump = async |arguments: &[String]| {
        PgDump::for_server(config, tenancy, source.database()).await?.run(arguments)
    };
    let work = tenancy.clone_tenant_observed(source, new, options, &progress, dump);
    let result = until_interrupted(work, || progress.cancel()).await;
    progress.finish();
    match result {
        Err(_) if progress.is_cancelled() => Err(interrupted().into()),
        result => result,
    }
}

async fn print(cx: &mut Context, tenancy: &Tenancy, cloned: &Cloned) -> anyhow::Result<()> {
    match cx.output.format() {
        Format::Table => show::print(cx, tenancy, &cloned.tenant).await,
        Format::Json => {
            let mut json = serde_json::to_value(&cloned.tenant).context("a tenant is a JSON object")?;
            json["domains"] = json!(tenancy.domains(&cloned.tenant).await?);
            json["copied"] = json!(cloned.rows);
            json["notes"] = Value::from(cloned.notes.clone());
            cx.output.json(&json);
            Ok(())
        }
    }
}
