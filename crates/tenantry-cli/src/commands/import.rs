//! Makes tenants of archives, and of what their customers have elsewhere.
mod archive;
mod csv;
mod list;
mod many;
mod one;
mod order;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use tenantry::FromArchive;
use tenantry::tenant::{Alias, DomainName, TenantName, TypeName};

use self::order::Choices;
use crate::context::{Context, Finish};
use crate::failure::Failure;
use crate::order::Order;
use crate::setting::{Setting, parse_setting, settings_of};

/// Make tenants of archives, or of customers' own databases
///
/// All of a file is verified before anything is made, and what it needs is compared with what there is. Then its
/// tenant is made in one transaction, and migrated to the version of the files. The SQL in it runs as the owner of the
/// tenants: import only what you trust.
///
/// The schema `public` of a database becomes a tenant, with its rows, in one transaction. The database is only read, at
/// one moment, while others write to it. What cannot be carried is named before anything is made. It takes
/// PostgreSQL's own `pg_dump`, not older than the server of that database.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry import acme.tar.zst --slug acme-2
  tenantry import --from postgres://reader@old-server/acme acme --dry-run
  tenantry import --from-file customers.csv --jobs 4
URL may be `env:NAME`, which a list of processes does not show, or `-` for stdin; a password may also be in
PGPASSWORD or ~/.pgpass. The first line of a CSV file names its columns: url, slug, and, where you like, name,
domain, type, database, schema, applied_through. A line may be a JSON object with these keys, `domains` and `settings`
instead. Nothing is made if a line is wrong. What is a tenant already is left as it is, so the command can be
repeated.")]
#[allow(clippy::struct_excessive_bools, reason = "flags")]
pub(crate) struct Options {
    /// The file, or `s3://BUCKET/KEY`; with `--from`, the slug of the tenant
    #[arg(value_name = "FILE|SLUG", required_unless_present = "from_file")]
    what: Option<PathBuf>,
    /// The database to import
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Another slug than the tenant in the file had; name and domains stay with the one it had
    #[arg(long, conflicts_with_all = ["from", "from_file"])]
    slug: Option<String>,
    /// The database to make the tenant in; with `--from-file`, that of lines without one
    #[arg(long, value_name = "ALIAS", value_parser = Alias::parse)]
    database: Option<Alias>,
    /// Leave out privileges and policies of other roles that are in the file
    #[arg(long, conflicts_with_all = ["from", "from_file"])]
    no_privileges: bool,
    /// Import the databases in this list; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["what", "from", "name", "settings", "domains"])]
    from_file: Option<PathBuf>,
    /// The number of databases at a time, with `--from-file`
    #[arg(long, value_name = "N", default_value = "2", requires = "from_file")]
    jobs: NonZeroUsize,
    /// The name to show to people
    #[arg(long)]
    name: Option<String>,
    /// A setting that the application keeps with it: `key=text`, or `key:=json`; repeatable
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<Setting>,
    /// A domain of its own; repeatable
    #[arg(long = "domain", value_name = "DOMAIN")]
    domains: Vec<String>,
    /// Its type, whose migrations it has beside those of all; with `--from-file`, that of lines without one
    #[arg(long = "type", value_name = "TYPE", value_parser = TypeName::parse)]
    type_name: Option<TypeName>,
    /// The schema to take from the database
    #[arg(long, value_name = "NAME", default_value = "public")]
    schema: String,
    /// Note all files up to this version as applied, whatever ledger is there
    #[arg(long, value_name = "VERSION")]
    applied_through: Option<i64>,
    /// Leave large objects behind
    #[arg(long)]
    without_large_objects: bool,
    /// Leave behind the tables that are in further schemas of the database
    #[arg(long)]
    without_other_schemas: bool,
    /// Show what would be refused and what left out, and make nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let choices = Choices {
        is_without_large_objects: options.without_large_objects,
        is_without_other_schemas: options.without_other_schemas,
        is_dry_run: options.dry_run,
    };
    if let Some(file) = &options.from_file {
        let defaults = Order {
            schema: Some(options.schema),
            type_name: options.type_name,
            database: options.database.map(|alias| alias.to_string()),
            applied_through: options.applied_through,
            ..Order::default()
        };
        return many::run(file, &defaults, options.jobs, choices, cx).await;
    }
    let Some(from) = &options.from else {
        let (file, order) = options.archive()?;
        return archive::run(file, order, cx).await;
    };
    let url = order::read_url(from)?;
    let slug = options.what.map(|slug| slug.display().to_string());
    let name = options.name.map(|name| ("name".to_owned(), name.into()));
    let order = Order {
        url: Some(url),
        slug: slug.unwrap_or_default(),
        settings: settings_of(name.into_iter().chain(options.settings))?,
        domains: options.domains,
        schema: Some(options.schema),
        type_name: options.type_name,
        database: options.database.map(|alias| alias.to_string()),
        applied_through: options.applied_through,
        ..Order::default()
    };
    one::run(order, choices, cx).await
}

impl Options {
    /// The file that is meant, and the terms.
    fn archive(self) -> anyhow::Result<(PathBuf, FromArchive)> {
        let is_for_databases = !self.settings.is_empty()
            || self.type_name.is_some()
            || self.applied_through.is_some()
            || self.without_large_objects
            || self.without_other_schemas
            || self.dry_run
            || self.schema != "public";
        if is_for_databases {
            let message = "a file has its own settings, type and schema; these options go with `--from`";
            return Err(Failure::usage(message).into());
        }
        let mut order = FromArchive::default();
        if let Some(slug) = self.slug {
            order = order.slug(slug);
        }
        if let Some(database) = self.database {
            order = order.database(database);
        }
        if let Some(name) = &self.name {
            order = order.name(TenantName::parse(name)?.as_str());
        }
        for domain in &self.domains {
            order = order.domain(DomainName::parse(domain)?);
        }
        if self.no_privileges {
            order = order.without_privileges();
        }
        Ok((self.what.unwrap_or_default(), order))
    }
}
