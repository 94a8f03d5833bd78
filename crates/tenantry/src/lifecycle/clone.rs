//! Makes a tenant as a copy of another one.
//!
//! Writers go on meanwhile, and none of what they do is in the copy. A migration of the source waits, because the
//! session that reads it holds the lock of its schema.
//!
//! | file | what it does |
//! | --- | --- |
//! | `within` | copies in the default database, in one transaction with the registry |
//! | `across` | copies by several sessions: to or from another database, or what one transaction cannot hold, or much |
//! | `share` | decides which of the two |
//! | `rows` | copies rows within one transaction |
//! | `anonymize` | runs the operator's SQL in the copy |
//! | `proof` | proves that the copy is what it should be |

mod across;
mod anonymize;
mod look;
mod options;
mod pair;
mod proof;
mod rows;
mod share;
mod within;

use serde_json::json;

pub use self::options::CloneOptions;
use self::pair::Pair;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::migration::Script;
use crate::observe::Steps;
use crate::provision::{NewTenant, NotOnCitus, refuse_on_citus};
use crate::registry::audit::Action;
use crate::tenant::{Alias, Status, Tenant, Verb};

/// A tenant that was made as a copy of another one.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Cloned {
    /// The new tenant, which can be served.
    pub tenant: Tenant,
    /// The rows that were copied, without those of the ledger.
    pub rows: u64,
    /// True if the structure was known, so that nothing had to be dumped.
    pub structure_was_kept: bool,
    /// Things that the clone is without, or has beyond its source: indexes that are not valid, publications.
    pub notes: Vec<String>,
}

/// Makes the tenant. `dump` gives what `pg_dump` says of the source's database with these arguments, and is called
/// where nobody has cloned this structure before.
pub(crate) async fn clone<E: From<Error>>(
    context: &Context,
    source: &Tenant,
    new: &NewTenant,
    options: &CloneOptions,
    steps: &dyn Steps,
    dump: &mut impl AsyncFnMut(&[String]) -> Result<String, E>,
) -> Result<Cloned, E> {
    check_order(source, new)?;
    let script = options.script()?;
    let clone = draft(context, source, new)?;
    context.databases.config(clone.database())?;
    refuse_on_citus(context, NotOnCitus::Clone, &[source.database(), clone.database()]).await?;
    let pair = Pair { context, source, clone: &clone, options, steps };
    let work = Cloning { pair, script: script.as_ref(), new };
    let is_at_home = |tenant: &Tenant| *tenant.database() == Alias::default();
    if is_at_home(source)
        && is_at_home(&clone)
        && let Some(cloned) = work.within(dump).await?
    {
        return Ok(cloned);
    }
    work.across(dump).await
}

fn check_order(source: &Tenant, new: &NewTenant) -> Result<()> {
    let unsupported = |message: &str, hint: &str| {
        let message = format!("tenant `{}` cannot be cloned: {message}", source.slug());
        Err(Error::new(ErrorKind::Unsupported, message).with_tenant(source.slug()).with_hint(hint))
    };
    if new.type_name().is_some_and(|given| source.type_name() != Some(given)) {
        return unsupported(
            "a clone is of the type of its source",
            "clone it first, and change the type of the clone with `tenantry set CLONE --type TYPE`",
        );
    }
    if new.registers_existing() {
        return unsupported("a clone gets a new schema", "leave out which one it gets");
    }
    Ok(())
}

/// The tenant that is made. It has the type, the database and the settings of its source, but for the name, where the
/// order has no other.
fn draft(context: &Context, source: &Tenant, new: &NewTenant) -> Result<Tenant> {
    let inherited = source.settings().as_object().into_iter().flatten().filter(|(key, _)| *key != "name");
    let database = new.chosen_database().unwrap_or_else(|| source.database()).clone();
    let new = new.clone().database(database);
    let new = match source.type_name() {
        Some(type_name) => new.of_type(type_name.clone()),
        None => new,
    };
    new.with_defaults(inherited).draft(context, Status::Active)
}

/// A clone that is being made.
struct Cloning<'a> {
    pair: Pair<'a>,
    script: Option<&'a Script>,
    new: &'a NewTenant,
}

impl<'a> Cloning<'a> {
    /// The entry in the audit.
    fn action(&self) -> Action<'a> {
        let Pair { context, source, options, .. } = self.pair;
        let mut told = options.told();
        told["source"] = json!(source.slug());
        Action { options: told, ..Action::new(Verb::Clone, &context.operator) }
    }
}
