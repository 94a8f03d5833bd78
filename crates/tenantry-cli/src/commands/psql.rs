//! Opens psql in the schema of a tenant.
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use clap_complete::ArgValueCompleter;
use tenantry_embedded::Binaries;

use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::failure::Failure;
use crate::session_url::SessionUrl;
use crate::slugs::complete_slugs;

/// Open psql in the schema of a tenant, or the master schema
///
/// The prompt names the tenant, unless your `.psqlrc` has another one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: tenantry psql --tenant acme -- -c 'SELECT count(*) FROM note'")]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Arguments for psql itself, after `--`
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Begin in the schema of this tenant
    #[arg(long, value_name = "SLUG", add = ArgValueCompleter::new(complete_slugs))]
    tenant: Option<String>,
    /// Begin in the master schema
    #[arg(long)]
    master: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let url = with_tenancy(cx, async |_, config, tenancy| {
        let tenant = match &options.target.tenant {
            Some(slug) => Some(tenancy.tenant(slug).await?),
            None => None,
        };
        SessionUrl::of(config, tenancy, tenant.as_ref()).await
    })
    .await?;
    // A slug has no character that means something in a prompt.
    let place = options.target.tenant.as_deref().unwrap_or("master");
    let prompts = [1, 2].map(|number| format!("--set=PROMPT{number}={place}@%/%R%x%# ").into());
    // Behind ours, so that arguments of the user's own win.
    let arguments: Vec<_> = prompts.into_iter().chain(options.arguments).collect();
    become_psql(&url, &arguments)
}

/// Replaces this process; returns only if there is no psql.
fn become_psql(url: &SessionUrl, arguments: &[OsString]) -> anyhow::Result<Finish> {
    let error = psql(Path::new("psql"), url, arguments).exec();
    if error.kind() != io::ErrorKind::NotFound {
        return Err(error).context("psql cannot be run");
    }
    // The packages of some systems leave it beside the server's programs.
    if let Ok(binaries) = Binaries::find() {
        let error = psql(&binaries.directory().join("psql"), url, arguments).exec();
        if error.kind() != io::ErrorKind::NotFound {
            return Err(error).context("psql cannot be run");
        }
    }
    Err(Failure::new("missing_program", "there is no psql on this machine")
        .with_hint("install it (`apt-get install postgresql-client` or `brew install libpq`), or use `tenantry exec`")
        .into())
}

fn psql(program: &Path, url: &SessionUrl, arguments: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.arg("--dbname").arg(url.without_password()).args(arguments);
    // Arguments can be read by everybody on the machine, the environment cannot.
    if let Some(password) = url.password() {
        command.env("PGPASSWORD", password);
    }
    command
}
