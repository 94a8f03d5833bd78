//! The call of `pg_dump`.

use super::rows::{self, Table};
use crate::error::Error;
use crate::migrate::scratch::Scratch;
use crate::registry::LEDGER;
use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// Dumps the scratch schema with the rows of some tables, whatever policies they have.
pub(super) async fn dump_of<E: From<Error>>(
    scratch: &mut Scratch<'_>,
    with_rows: &[String],
    dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
) -> Result<String, E> {
    let schema = scratch.schema.clone();
    let tables = rows::tables(&mut scratch.connection, &schema).await?;
    let (wanted, others): (Vec<_>, Vec<_>) =
        tables.into_iter().partition(|table| with_rows.contains(&table.name));
    let forced = || wanted.iter().filter(|table| table.is_forced);
    let statements: Vec<_> = forced().map(|table| rows::lift(&schema, &table.name)).collect();
    scratch.run(&statements).await?;
    let mut text = dump(&arguments(&schema, &others)).await?;
    // Behind the rows, which policies could refuse.
    for table in forced() {
        text.push_str(&rows::force(&schema, &table.name));
        text.push_str(";\n");
    }
    Ok(text)
}

/// One schema without its ledger, its owners and its privileges. The other tables have no rows, but a dump would still
/// ask them for some, which policies refuse, and indexes whose functions need the schema's path.
fn arguments(schema: &SchemaName, others: &[Table]) -> Vec<String> {
    let schema = Identifier(schema.as_str());
    let mut arguments = vec![
        "--no-owner".to_owned(),
        "--no-privileges".to_owned(),
        "--no-publications".to_owned(),
        "--column-inserts".to_owned(),
        "--rows-per-insert=100".to_owned(),
        format!("--schema={schema}"),
        format!("--exclude-table={schema}.{LEDGER}"),
    ];
    let without = |table: &Table| format!("--exclude-table-data={schema}.{}", Identifier(&table.name));
    arguments.extend(others.iter().map(without));
    arguments
}
