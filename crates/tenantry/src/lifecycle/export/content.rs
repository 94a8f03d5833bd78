//! Reads what goes into an archive.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::super::archived::{archived_extension, archived_kept_file, archived_migration};
use super::super::contents::{SourceTable, qualified, tables};
use super::super::source::{ReadFor, needed_extensions, notes, whole_ledger};
use super::super::transfer::{AS_TEXT, read_as, read_as_owner};
use super::pipe::Pipe;
use crate::archive::{
    ArchivedSequence, ArchivedTable, Ending, LARGEST_MEMBER, Manifest, MemberName, WrittenArchive, listed,
};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::fail_point::{self, FailPoint};
use crate::migrate::{Ledger, Site, ledger_creation, send_own};
use crate::observe::{Step, Steps};
use crate::registry::{LEDGER, kept_files};
use crate::sql::Literal;
use crate::structure::{PsqlTexts, Structure, Subject};
use crate::tenant::{Digest, DomainName, Tenant};

const READING: &str = include_str!("reading.sql");

/// The columns of the table of the migrations.
const LEDGER_COLUMNS: [&str; 6] =
    ["version", "description", "installed_on", "success", "checksum", "execution_time"];

/// The contents of an archive, but for the rows.
pub(super) struct Content {
    tenant: Tenant,
    manifest: Manifest,
    texts: PsqlTexts,
    /// The roles that see all rows of tables, where policies hide some from their owner.
    readers: BTreeMap<String, String>,
    pub(super) notes: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct SchemaFacts {
    materialized_views: Vec<String>,
    asking_tables: Vec<String>,
    sequences: Vec<String>,
    server_version: i32,
    encoding: String,
    owner: String,
}

impl Content {
    /// Reads it in a transaction that is open. `dump` is called where the structure is not known.
    pub(super) async fn read<E: From<Error>>(
        tx: &mut PgConnection,
        context: &Context,
        tenant: &Tenant,
        domains: Vec<DomainName>,
        dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<(Structure, Self), E> {
        let written_at = OffsetDateTime::now_utc();
        let applied = whole_ledger(tx, tenant, ReadFor::Export).await?;
        let notes = notes(tx, tenant.schema()).await?;
        let extensions = needed_extensions(tx, tenant.schema()).await?;
        let reading: SchemaFacts = sqlx::query_as(READING)
            .bind(tenant.schema().as_str())
            .persistent(false)
            .fetch_one(&mut *tx)
            .await
            .map_err(Error::from)?;
        let tables = tables(tx, tenant.schema()).await?;
        let readers = tables.iter().filter_map(|table| Some((table.name.clone(), table.reader.clone()?)));
        let readers = readers.collect();
        let tables = archived_tables(tables, &reading.asking_tables);
        check(tenant, &reading, &tables)?;
        let kept_files = kept_files::all(tx, tenant.schema()).await?;
        let kept_files = kept_files.into_iter().map(archived_kept_file).collect::<Result<_>>()?;
        let sequences = sequences(tx, tenant, &reading.sequences).await?;
        let own_role = context.role.as_ref().map(|role| role.name_for(tenant.schema()));
        let subject = Subject { schema: tenant.schema(), own_role: own_role.as_deref() };
        let structure = Structure::of(tx, subject, dump).await?;
        let texts = structure.for_psql()?;
        let manifest = Manifest {
            format: Manifest::FORMAT,
            written_at,
            slug: tenant.slug().clone(),
            type_name: tenant.type_name().cloned(),
            settings: tenant.settings().as_object().cloned().unwrap_or_else(Map::<String, Value>::new),
            domains,
            version: applied.last().map(|row| row.version),
            digest: Ledger::of(tenant.schema(), &applied).digest(),
            migrations: applied.iter().map(archived_migration).collect(),
            fingerprint: Digest::from_bytes(*structure.fingerprint().as_bytes()),
            server_version: reading.server_version.unsigned_abs(),
            encoding: reading.encoding,
            owner: reading.owner,
            extensions: extensions.into_iter().map(archived_extension).collect(),
            roles: texts.roles.clone(),
            tablespaces: structure.outside_names()?.tablespaces,
            has_own_role: texts.has_own_role,
            names_in_strings: texts.names.clone(),
            sequences,
            materialized_views: reading.materialized_views,
            kept_files,
            tables,
            members: Vec::new(),
        };
        Ok((structure, Self { tenant: tenant.clone(), manifest, texts, readers, notes }))
    }

    /// Writes all of it, with the rows that the transaction sees.
    pub(super) async fn write(
        &self,
        tx: &mut PgConnection,
        context: &Context,
        mut pipe: Pipe,
        steps: &dyn Steps,
    ) -> Result<WrittenArchive> {
        let site = Site::of_tenant(&context.layout, &self.tenant);
        pipe.add(MemberName::PreData, self.texts.pre_data.clone().into_bytes()).await?;
        fail_point::reached(FailPoint::ExportBegun);
        send_own(tx, site, &format!("SET LOCAL search_path TO {}; {AS_TEXT}", site.path())).await?;
        let total = self.manifest.tables.len();
        for (index, table) in self.manifest.tables.iter().enumerate() {
            steps.step(Step::new("writing tables", index, Some(total)));
            self.write_rows(tx, &mut pipe, (index + 1, table), steps).await?;
        }
        steps.step(Step::new("writing tables", total, Some(total)));
        pipe.add(MemberName::PostData, self.texts.post_data.clone().into_bytes()).await?;
        pipe.add(MemberName::Privileges, self.texts.privileges.clone().into_bytes()).await?;
        let ending = Ending {
            manifest: self.manifest.clone(),
            ledger: ledger_creation(LEDGER),
            extensions: context.layout.extension_schemas.clone(),
        };
        pipe.finish(ending).await
    }

    /// Divides the rows between two of them, so that each member can be copied by itself.
    async fn write_rows(
        &self,
        tx: &mut PgConnection,
        pipe: &mut Pipe,
        (number, table): (usize, &ArchivedTable),
        steps: &dyn Steps,
    ) -> Result<()> {
        let reader = self.readers.get(&table.name).map(String::as_str);
        read_as(tx, reader).await?;
        self.write_copy(tx, pipe, (number, table), steps).await?;
        read_as_owner(tx, reader).await?;
        Ok(())
    }

    async fn write_copy(
        &self,
        tx: &mut PgConnection,
        pipe: &mut Pipe,
        (number, table): (usize, &ArchivedTable),
        steps: &dyn Steps,
    ) -> Result<()> {
        let from = qualified(self.tenant.schema(), &table.name);
        let copy = format!("COPY {from} {} TO STDOUT", listed(&table.columns));
        let mut rows = tx.copy_out_raw(&copy).await?;
        let (mut member, mut part) = (Vec::new(), 0);
        loop {
            let row = rows.try_next().await?;
            let is_full = row.as_ref().is_none_or(|row| member.len() + row.len() > LARGEST_MEMBER);
            if is_full && !member.is_empty() {
                check_wanted(steps, &self.tenant)?;
                part += 1;
                pipe.add(MemberName::Rows { table: number, part }, std::mem::take(&mut member)).await?;
            }
            match row {
                Some(row) => member.extend_from_slice(&row),
                None => return check_wanted(steps, &self.tenant),
            }
        }
    }
}

/// The tables with rows, those last that may ask others, and the ledger behind them.
fn archived_tables(mut found: Vec<SourceTable>, asking: &[String]) -> Vec<ArchivedTable> {
    let asking: BTreeSet<_> = asking.iter().collect();
    found.sort_by_key(|table| asking.contains(&table.name));
    let ledger = LEDGER_COLUMNS.map(str::to_owned).to_vec();
    let all = found.into_iter().map(|table| {
        // The value of an enum has another hash elsewhere, so that its row may belong into another partition.
        let root = table.root.filter(|_| table.by_text);
        (root.unwrap_or_else(|| table.name.clone()), table.name, table.columns)
    });
    let all = all.chain([(LEDGER.to_owned(), LEDGER.to_owned(), ledger)]);
    let empty = Digest::from_bytes([0; 32]);
    all.map(|(into, name, columns)| ArchivedTable { name, into, columns, rows: 0, bytes: 0, sha256: empty })
        .collect()
}

/// Refuses what an archive cannot say.
fn check(tenant: &Tenant, reading: &SchemaFacts, tables: &[ArchivedTable]) -> Result<()> {
    let refused = |reason: String| Err(ReadFor::Export.refused(tenant, ErrorKind::Unsupported, reason));
    if reading.encoding == "SQL_ASCII" {
        return refused("nobody knows the encoding of its texts, for its database is SQL_ASCII".to_owned());
    }
    // A command of psql ends with its line.
    let names = tables.iter().flat_map(|table| table.columns.iter().chain([&table.name]));
    let names = names.chain(&reading.materialized_views).chain(&reading.sequences);
    match names.into_iter().find(|name| name.contains(['\n', '\r'])) {
        None => Ok(()),
        Some(name) => refused(format!("there is the end of a line in the name {name:?}")),
    }
}

async fn sequences(
    tx: &mut PgConnection,
    tenant: &Tenant,
    names: &[String],
) -> Result<Vec<ArchivedSequence>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let each = names.iter().map(|name| {
        let from = qualified(tenant.schema(), name);
        format!("SELECT {}::text AS name, last_value, is_called FROM {from}", Literal(name))
    });
    let each: Vec<_> = each.collect();
    let all = sqlx::AssertSqlSafe(each.join(" UNION ALL "));
    Ok(sqlx::query_as(all).persistent(false).fetch_all(tx).await?)
}

/// Ends work that was cancelled.
fn check_wanted(steps: &dyn Steps, tenant: &Tenant) -> Result<()> {
    if steps.is_cancelled() {
        return Err(Error::new(ErrorKind::Conflict, "it was cancelled").with_tenant(tenant.slug()));
    }
    Ok(())
}
