//! Text from a file or from stdin.
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use tenantry::migrate::sql_text;

use crate::interrupt::while_typed;

/// Reads a file, or stdin where there is none. A byte order mark and an encoding other than UTF-8 are named.
pub(crate) fn read_text(file: Option<&Path>) -> anyhow::Result<String> {
    let name = file.map_or_else(|| "stdin".to_owned(), |file| format!("`{}`", file.display()));
    let mut bytes = Vec::new();
    match file {
        Some(file) => File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)),
        None => while_typed(|| std::io::stdin().read_to_end(&mut bytes)),
    }
    .with_context(|| format!("{name} cannot be read"))?;
    Ok(sql_text(name.trim_matches('`'), bytes).map_err(tenantry::Error::from)?)
}
