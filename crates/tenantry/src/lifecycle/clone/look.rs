//! Looks at what is asked of a clone.

use super::options::CloneOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::contents::SourceTable;

/// # Errors
/// [`ErrorKind::InvalidInput`] for a name of the options that no table has.
pub(super) fn check_names(options: &CloneOptions, tables: &[SourceTable]) -> Result<()> {
    let is_known = |name: &&String| {
        tables.iter().any(|table| table.name == **name || table.root.as_ref() == Some(*name))
    };
    match options.named().iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => {
            let message = format!("there is no table `{name}` with rows in the tenant that is to be cloned");
            Err(Error::new(ErrorKind::InvalidInput, message))
        }
    }
}
