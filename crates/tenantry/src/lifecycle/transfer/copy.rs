//! Carries rows from one connection to another, as text.

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::lifecycle::contents::{SourceTable, qualified};
use crate::sql::Identifier;
use crate::tenant::SchemaName;

/// Settings under which a value that is written as text is the same when it is read.
pub(in crate::lifecycle) const AS_TEXT: &str = "SET LOCAL extra_float_digits = 3; SET LOCAL datestyle = 'ISO, DMY'; \
    SET LOCAL intervalstyle = postgres; SET LOCAL xmloption = content; SET LOCAL row_security = off";

/// The two ends of a copy by text.
pub(in crate::lifecycle) struct CopyStatements {
    pub(in crate::lifecycle) from: String,
    pub(in crate::lifecycle) to: String,
}

/// The statement that copies the rows of a table into another schema of the database.
pub(in crate::lifecycle) fn insertion(table: &SourceTable, from: &SchemaName, to: &SchemaName) -> String {
    let columns: Vec<_> = table.columns.iter().map(|name| Identifier(name).to_string()).collect();
    let columns = columns.join(", ");
    let listed = if columns.is_empty() { String::new() } else { format!("({columns})") };
    let (from, to) = (qualified(from, &table.name), qualified(to, &table.name));
    format!("INSERT INTO {to} {listed} OVERRIDING SYSTEM VALUE SELECT {columns} FROM ONLY {from}")
}

/// The side on which a copy failed, and why.
#[derive(Debug)]
pub(in crate::lifecycle) enum Broken {
    Reader(sqlx::Error),
    Writer(sqlx::Error),
}

impl From<Broken> for sqlx::Error {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Reader(error) | Broken::Writer(error) => error,
        }
    }
}

impl CopyStatements {
    /// The statements for a table between two schemas. They lead to the partitioned table: the hash of an enum's value
    /// is another one there.
    pub(in crate::lifecycle) fn of(table: &SourceTable, from: &SchemaName, to: &SchemaName) -> Self {
        let columns: Vec<_> = table.columns.iter().map(|name| Identifier(name).to_string()).collect();
        let listed = if columns.is_empty() { String::new() } else { format!("({})", columns.join(", ")) };
        let target = table.root.as_ref().unwrap_or(&table.name);
        Self {
            from: format!("COPY {} {listed} TO STDOUT", qualified(from, &table.name)),
            to: format!("COPY {} {listed} FROM STDIN", qualified(to, target)),
        }
    }

    /// Answers with the number of rows, which are as many lines of text. A few chunks of them are in memory at a time.
    pub(in crate::lifecycle) async fn run(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
    ) -> Result<u64, Broken> {
        self.carry(reader, writer, |_| {}).await
    }

    /// Does the same, reads as a role that the reader can become, if one is named, and shows each chunk of the text.
    ///
    /// Where the writer fails, the reader is its own role again: its transaction goes on.
    pub(in crate::lifecycle) async fn run_as(
        &self,
        role: Option<&str>,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        watch: impl FnMut(&[u8]),
    ) -> Result<u64, Broken> {
        read_as(reader, role).await.map_err(Broken::Reader)?;
        let copied = self.carry(reader, writer, watch).await;
        if !matches!(copied, Err(Broken::Reader(_))) {
            read_as_owner(reader, role).await.map_err(Broken::Reader)?;
        }
        copied
    }

    async fn carry(
        &self,
        reader: &mut PgConnection,
        writer: &mut PgConnection,
        mut watch: impl FnMut(&[u8]),
    ) -> Result<u64, Broken> {
        let mut into = writer.copy_in_raw(&self.to).await.map_err(Broken::Writer)?;
        let sent = async {
            let mut chunks = reader.copy_out_raw(&self.from).await.map_err(Broken::Reader)?;
            let mut lines = 0;
            while let Some(chunk) = chunks.try_next().await.map_err(Broken::Reader)? {
                lines += chunk.split(|byte| *byte == b'\n').skip(1).count() as u64;
                watch(&chunk);
                into.send(&chunk[..]).await.map_err(Broken::Writer)?;
            }
            Ok(lines)
        };
        match sent.await {
            Ok(lines) => {
                let rows = into.finish().await.map_err(Broken::Writer)?;
                if rows == lines {
                    return Ok(rows);
                }
                Err(Broken::Writer(sqlx::Error::Protocol(format!("{rows} rows arrived of {lines}"))))
            }
            Err(error) => {
                // The copy ends with an error, which says less than the one that is known.
                let _ = into.abort("the rows cannot be read").await;
                Err(error)
            }
        }
    }
}

/// Has the transaction read as another role, if one is named.
pub(in crate::lifecycle) async fn read_as(
    reader: &mut PgConnection,
    role: Option<&str>,
) -> Result<(), sqlx::Error> {
    let Some(role) = role else { return Ok(()) };
    let become_it = format!("SET LOCAL ROLE {}", Identifier(role));
    sqlx::raw_sql(AssertSqlSafe(become_it)).execute(reader).await.map(drop)
}

/// Ends what [`read_as`] has begun.
pub(in crate::lifecycle) async fn read_as_owner(
    reader: &mut PgConnection,
    role: Option<&str>,
) -> Result<(), sqlx::Error> {
    if role.is_some() {
        sqlx::raw_sql("SET LOCAL ROLE NONE").execute(reader).await?;
    }
    Ok(())
}
