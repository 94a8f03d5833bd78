//! Makes a baseline, and proves that it makes what the migrations make.
//!
//! The migrations are replayed in a scratch schema (`migrate::scratch`), which the caller dumps; nothing here runs
//! `pg_dump`. The text is then applied to another scratch schema, and accepted if the catalogs say the same of both.
//! What a dump does not hold and nothing here adds is thereby found, whatever it is, and named.
//!
//! | file | what it does |
//! | --- | --- |
//! | `replay` | replays, dumps, applies the text, compares |
//! | `dump` | calls the caller's `pg_dump` |
//! | `reading`, `catalog` | reads what the catalogs say of a schema |
//! | `facts` | compares what was read |
//! | `rows` | finds the rows that migrations leave |
//! | `privileges` | adds the statements that give and take privileges |
//! | `refusal` | the reasons why none can be made |
//! | `options` | the extent of a baseline, and the result |

mod catalog;
mod dump;
mod facts;
mod options;
mod privileges;
mod reading;
mod refusal;
mod replay;
mod rows;

use self::facts::Likeness;
pub use self::options::{BaselineOptions, FirstRows, NewBaseline};
use self::refusal::{before, leaves_rows, nothing};
use self::replay::{Made, Squash};
use super::scratch::{Workshop, remove_leftovers};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Steps;
use crate::tenant::{Alias, TypeName};

/// The text of a baseline file, proven.
pub(crate) async fn make_baseline<E: From<Error>>(
    context: &Context,
    options: &BaselineOptions,
    steps: &dyn Steps,
    mut dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
) -> Result<NewBaseline, E> {
    let alias = Alias::default();
    let workshop = Workshop::of(context, &alias)?;
    remove_leftovers(workshop).await?;
    let files = context.migrations.files_of(options.type_name.as_ref())?.set();
    let latest = files.latest().ok_or_else(|| nothing("there are no tenant migrations"))?;
    let version = options.version.unwrap_or(latest);
    if files.get(version).is_none() {
        return Err(nothing(format!("there is no tenant migration {version}")).into());
    }
    let (with_rows, files) = (&options.rows, files.through(version));
    let mut squash = Squash { workshop, steps, with_rows, files, is_partial: false };
    match squash.make(&mut dump).await? {
        Made::Proven { text, .. } => Ok(NewBaseline { text, version, rows: None }),
        Made::LeavesRows(tables) => {
            let first = squash.first_rows(tables).await?;
            let version = before(&squash.files, first.version).filter(|_| options.version.is_none());
            let Some(version) = version else { return Err(leaves_rows(&squash.files, &first).into()) };
            squash = Squash { files: squash.files.through(version), is_partial: true, ..squash };
            match squash.make(&mut dump).await? {
                Made::Proven { text, .. } => Ok(NewBaseline { text, version, rows: Some(first) }),
                Made::LeavesRows(_) => Err(leaves_rows(&squash.files, &first).into()),
            }
        }
    }
}

/// Compares what the committed baseline makes with what a fresh one makes, which is proven first. Both were read
/// from what PostgreSQL wrote, so that they are the same to the letter.
pub(crate) async fn check_baseline<E: From<Error>>(
    context: &Context,
    type_name: Option<&TypeName>,
    steps: &dyn Steps,
    mut dump: impl AsyncFnMut(&[String]) -> Result<String, E>,
) -> Result<i64, E> {
    let alias = Alias::default();
    let workshop = Workshop::of(context, &alias)?;
    remove_leftovers(workshop).await?;
    let files = context.migrations.files_of(type_name)?;
    files.check_baseline().map_err(Error::from)?;
    let baseline = files
        .own_baseline()
        .ok_or_else(|| nothing("there is no baseline").with_hint("`tenantry baseline` writes it"))?;
    let version = baseline.version();
    let files = files.set().through(version);
    let squash = Squash { workshop, steps, with_rows: baseline.with_rows(), files, is_partial: false };
    let fresh = match squash.make(&mut dump).await? {
        Made::Proven { filled, .. } => filled,
        Made::LeavesRows(tables) => {
            let first = squash.first_rows(tables).await?;
            return Err(leaves_rows(&squash.files, &first).into());
        }
    };
    let started = squash.filled_by(baseline).await?;
    if let Some(difference) = started.difference(&fresh, Likeness::ToTheLetter) {
        let message = format!("`{}` is not what the migrations make: {difference}", baseline.file());
        let error = Error::new(ErrorKind::Migration, message);
        return Err(error.with_hint("write it again with `tenantry baseline`, and review it").into());
    }
    Ok(version)
}
