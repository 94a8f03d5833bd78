//! Judges the migration files, without a database.
use std::fmt::Display;

use serde::Serialize;
use tenantry::migrate::{MigrationError, Warning};
use tenantry::{Config, Migrations};

use crate::connect;
use crate::context::{Context, Finish};
use crate::failure::{Failure, Report};
use crate::output::{Format, note};
use crate::visible::visible;

/// Find mistakes in the migration files, without a database
///
/// An error is about something that no migration may hold. A warning is about something that works, and that a
/// fleet of tenants will suffer from. A comment `-- lint: allow RULE` silences a rule for its statement.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Rules: shared-foreign-key, outside-name, unnamed-constraint, extension-schema, empty-down, \
                  database-wide, catalog-without-schema, enum-value-used, ledger, drop-table, drop-column, \
                  not-null-without-default, index-not-concurrent, unknown-rule. For Citus, \
                  citus-add-serial-or-identity, citus-inline-check, citus-add-constraint-alone, \
                  citus-volatile-update, citus-rename-constraint, citus-inherits, citus-trigger, \
                  citus-function-path, citus-no-primary-key, citus-int-serial, \
                  citus-foreign-key-into-tenant, \
                  citus-detach-concurrently."
)]
pub(crate) struct Options {
    /// Fail if there are warnings, too
    #[arg(long)]
    deny_warnings: bool,
    /// Judge this version and later ones only: an applied file cannot be changed any more
    #[arg(long, value_name = "VERSION", allow_negative_numbers = true)]
    since: Option<i64>,
    /// Judge for this kind of server; by default for Citus if `tenantry.toml` names it as the `engine` of a database
    #[arg(long, value_name = "ENGINE")]
    engine: Option<Server>,
}

/// The kinds of servers that files are judged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Server {
    Postgres,
    Citus,
}

/// Everything that was found.
#[derive(Default, Serialize)]
struct Findings {
    errors: Vec<Mistake>,
    warnings: Vec<Warning>,
}

/// The statements that no migration may hold.
#[derive(Serialize)]
struct Mistake {
    file: String,
    line: Option<usize>,
    #[serde(flatten)]
    report: Report,
    #[serde(skip)]
    text: String,
}

pub(crate) fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    let config = connect::read(&cx.global)?;
    let findings = find(&config, &options);
    match cx.output.format() {
        Format::Json => cx.output.json(&findings),
        Format::Table => print(cx, &findings),
    }
    let fatal = findings.warnings.iter().filter(|warning| warning.is_error()).count();
    let (errors, warnings) = (findings.errors.len() + fatal, findings.warnings.len() - fatal);
    let found = counted(errors, warnings);
    if errors > 0 || options.deny_warnings && warnings > 0 {
        return Err(Failure::new("lint", found).into());
    }
    note(cx.output.format(), &found);
    Ok(Finish::Done)
}

/// Judges every file; one that is refused is judged no further, and hides nothing of the others.
fn find(config: &Config, options: &Options) -> Findings {
    let migrations = Migrations::of(config);
    let mut mistakes = migrations.mistakes();
    let server =
        options.engine.unwrap_or(if config.names_citus() { Server::Citus } else { Server::Postgres });
    let schemas = config.extension_schemas_or_default();
    let mut warnings = match server {
        Server::Citus => migrations.lint_on_citus(&schemas),
        Server::Postgres => migrations.lint_with(&schemas),
    };
    if let Some(since) = options.since {
        mistakes.retain(|mistake| mistake.version().is_none_or(|version| version >= since));
        warnings.retain(|warning| warning.version() >= since);
    }
    Findings { errors: mistakes.into_iter().map(Mistake::from).collect(), warnings }
}

impl From<MigrationError> for Mistake {
    fn from(error: MigrationError) -> Self {
        let (file, line) = (error.file().to_owned(), error.line());
        let text = with_hint(&error, error.hint().as_deref());
        Self { file, line, text, report: Report::of(&tenantry::Error::from(error)) }
    }
}

fn print(cx: &mut Context, findings: &Findings) {
    for mistake in &findings.errors {
        cx.output.line(&visible(&mistake.text));
    }
    for warning in &findings.warnings {
        cx.output.line(&visible(&to_text(warning)));
    }
}

/// A warning as people read it.
pub(crate) fn to_text(warning: &Warning) -> String {
    with_hint(warning, Some(warning.hint()))
}

fn with_hint(finding: &impl Display, hint: Option<&str>) -> String {
    let hint = hint.map(|hint| format!("\n  hint: {hint}"));
    format!("{finding}{}", hint.unwrap_or_default())
}

/// `2 errors`, `1 warning`, `no warnings`
pub(crate) fn counted(errors: usize, warnings: usize) -> String {
    match (errors, warnings) {
        (0, 0) => "no warnings".to_owned(),
        (0, 1) => "1 warning".to_owned(),
        (0, warnings) => format!("{warnings} warnings"),
        (1, _) => "1 error".to_owned(),
        (errors, _) => format!("{errors} errors"),
    }
}
