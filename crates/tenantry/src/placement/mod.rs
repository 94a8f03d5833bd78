//! The database that a tenant is made in, or moves to: a choice among those that take tenants.
//!
//! [`PlaceTenant`] is the choice: a [`Policy`], or a function of the application's own. Settings of the tenant may
//! narrow down what there is to choose from, and that comes first (`Rules`). Nothing here asks a
//! database: what is known of each is [`DatabaseFigures`], which `provision` reads from the registry.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `database_figures` | a database, and how much is in it |
//! | `newcomer` | a tenant that looks for a database |
//! | `policy` | the policies that have a name |
//! | `rules` | settings of a tenant that leave few databases to choose from |
//! | `choice` | rules, then the policy, then what is said where nothing is left |
//! | `size` | the size of a database between two measurements |
//! | `plan` | the databases of many tenants, one after the other |

mod choice;
mod database_figures;
mod newcomer;
mod plan;
mod policy;
mod rules;
#[cfg(test)]
mod simulation;
mod size;

pub(crate) use self::choice::{KnownDatabases, Placement};
pub use self::database_figures::DatabaseFigures;
pub use self::newcomer::Newcomer;
pub(crate) use self::plan::PlacementPlan;
pub use self::policy::{PlaceTenant, Policy};
pub(crate) use self::rules::Rules;
pub(crate) use self::size::{Measured, estimate};
