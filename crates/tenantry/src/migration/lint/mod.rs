//! Warnings about migration files: what works, and a fleet suffers from.
//!
//! A refusal (`refusal`) is about what would break the run. A [`Warning`] is about what works today and
//! makes a fleet of live tenants hard to operate; the [`Rule`]s say what and why. Everything here is pure:
//! the text of a file goes in, warnings come out.
//!
//! | file | what it does |
//! | --- | --- |
//! | `rule`, `advice`, `finding`, `warning` | what is reported |
//! | `piece` | a statement and the statements in its body (`DO`, functions), each as tokens |
//! | `names`, `positions` | `outside-name`, `shared-foreign-key` |
//! | `constraints` | `unnamed-constraint` |
//! | `extension` | `extension-schema` |
//! | `empty_down` | `empty-down` |
//! | `shared`, `catalog`, `enums`, `ledger` | `database-wide`, `catalog-without-schema`, `enum-value-used`, `ledger` |
//! | `kindness` | `drop-table`, `drop-column`, `not-null-without-default`, `index-not-concurrent` |
//! | `citus`, `citus_code` | `citus-…` |
//! | `file` | what the statements of a file know of each other |
//! | `allow` | comments that silence a rule; `unknown-rule` |
//!
//! There is no grammar of SQL in here, only its tokens and the positions in which a name is that of an
//! object. Where that leaves a doubt, nothing is reported: warnings that are wrong teach to overlook those
//! that are right. SQL in strings, as in `EXECUTE format(…)`, is not looked at.

mod advice;
mod allow;
mod catalog;
mod citus;
mod citus_code;
mod constraints;
mod empty_down;
mod enums;
mod extension;
mod file;
mod finding;
mod kindness;
mod ledger;
mod names;
mod piece;
mod positions;
mod references;
mod rule;
mod shared;
mod warning;

pub(super) use self::empty_down::is_empty_down;
use self::file::File;
use self::finding::Finding;
use self::piece::FileReading;
pub(crate) use self::references::reference_tables;
pub use self::{rule::Rule, warning::Warning};
use super::script::Script;
use crate::sql::lexer::line_and_column;
use crate::tenant::SchemaName;

/// The schemas a file is for, which decide what is outside of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home<'a> {
    Master,
    Tenant { extensions: &'a [SchemaName], server: TenantServer<'a> },
}

/// The server that tenants are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TenantServer<'a> {
    Postgres,
    /// These tables of the master schema are on every node.
    Citus {
        reference_tables: &'a [String],
    },
}

/// Every warning about one file, by its place.
pub(crate) fn lint(script: &Script, home: Home<'_>) -> Vec<Warning> {
    let readings: Vec<_> =
        script.statements().iter().map(|statement| FileReading::of(script.tokens_of(statement))).collect();
    let allowed = allow::read(script, &readings);
    let file = File::of(&readings, script.source().migration_type.is_down_migration());
    let mut findings = allowed.findings();
    findings.extend(empty_down::in_file(script));
    let mut values = Vec::new();
    for (index, reading) in readings.iter().enumerate() {
        let used = reading.pieces.iter().filter_map(|piece| enums::used(piece, &values));
        let found = reading.pieces.iter().flat_map(|piece| judge(piece, home, &file)).chain(used);
        findings.extend(found.filter(|finding| !allowed.covers(index, finding.rule)));
        values.extend(reading.pieces.iter().filter_map(|piece| enums::added(piece, &file)));
    }
    findings.sort_by_key(|finding| finding.at);
    findings.into_iter().map(|finding| warning(script, home, finding)).collect()
}

fn judge(piece: &piece::Piece<'_>, home: Home<'_>, file: &File) -> Vec<Finding> {
    let mut findings: Vec<_> = ledger::written(piece).into_iter().collect();
    match home {
        Home::Master => findings.extend(extension::without_schema(piece)),
        Home::Tenant { extensions, server } => {
            findings.extend(names::outside(piece, extensions));
            findings.extend(constraints::unnamed(piece));
            findings.extend(extension::in_tenant(piece));
            findings.extend(shared::changed(piece));
            findings.extend(catalog::without_schema(piece));
            findings.extend(kindness::to_live_tenants(piece, file));
            if let TenantServer::Citus { reference_tables } = server {
                findings.retain(|finding| !references::is_fine(piece, finding, reference_tables));
                findings.extend(citus::judge(piece, file));
                findings.extend(citus_code::judge(piece));
            }
        }
    }
    findings
}

fn warning(script: &Script, home: Home<'_>, finding: Finding) -> Warning {
    let is_on_citus = matches!(home, Home::Tenant { server: TenantServer::Citus { .. }, .. });
    let is_error = is_on_citus && finding.rule.is_fatal_on_citus();
    let (line, column) = line_and_column(script.sql(), finding.at);
    Warning {
        rule: finding.rule,
        file: script.file().to_owned(),
        version: script.source().version,
        line,
        column,
        message: finding.message,
        is_error,
    }
}

#[cfg(test)]
mod tests;
