//! Reads all of a tenant but its rows, before anything is made.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::needs::{MoveNeeds, asked};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::lifecycle::contents::{SourceTable, tables};
use crate::lifecycle::source::{ReadFor, begin, notes, whole_ledger};
use crate::structure::{Objects, Structure, StructurePart, Subject};
use crate::tenant::Tenant;

/// The bytes of each table, by its name.
const SIZES: &str = "SELECT relname::text, pg_relation_size(rel.oid) FROM rel WHERE relkind = 'r'";

/// All that is known of a tenant before it is moved.
pub(super) struct Blueprint {
    pub(super) structure: Structure,
    /// Everything that the server says of the schema.
    pub(super) whole: Objects,
    /// The same without owners and privileges.
    pub(super) shape: Objects,
    /// The tables with rows, the largest first.
    pub(super) tables: Vec<SourceTable>,
    pub(super) needs: MoveNeeds,
    pub(super) notes: Vec<String>,
}

impl Blueprint {
    /// Refuses what cannot be moved, and reads the rest in one transaction, which locks nobody out.
    pub(super) async fn read<E: From<Error>>(
        context: &Context,
        source: &mut PgConnection,
        tenant: &Tenant,
        dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
    ) -> Result<Self, E> {
        let statement = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut tx = begin(source, context, tenant, ReadFor::Move, statement).await?;
        whole_ledger(&mut tx, tenant, ReadFor::Move).await?;
        let schema = tenant.schema();
        let own_role = context.role.as_ref().map(|role| role.name_for(schema));
        let subject = Subject { schema, own_role: own_role.as_deref() };
        let notes = notes(&mut tx, schema).await?;
        let needs = MoveNeeds::read(&mut tx, schema, own_role.as_deref()).await?;
        let tables = ordered(tables(&mut tx, schema).await?, asked(&mut tx, schema, SIZES).await?);
        let structure = Structure::of(&mut tx, subject, dump).await?;
        let whole = Objects::of(&mut tx, subject).await?;
        let shape = Objects::within(&mut tx, subject, StructurePart::Shape(&[])).await?;
        tx.rollback().await.map_err(Error::from)?;
        Ok(Self { structure, whole, shape, tables, needs, notes })
    }

    /// Keeps the structure for whoever copies the next tenant that has it.
    pub(super) async fn keep(&self, source: &mut PgConnection) -> Result<()> {
        if self.structure.is_kept() { Ok(()) } else { self.structure.keep(source).await }
    }
}

/// Large tables come first, so that no connection is left alone with one at the end.
fn ordered(mut tables: Vec<SourceTable>, sizes: Vec<(String, i64)>) -> Vec<SourceTable> {
    let sizes: HashMap<_, _> = sizes.into_iter().collect();
    tables.sort_by_key(|table| std::cmp::Reverse(sizes.get(&table.name).copied().unwrap_or_default()));
    tables
}
