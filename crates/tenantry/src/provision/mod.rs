//! Making tenants, and giving up half-made ones.
//!
//! A tenant that names no database gets one by `search`. [`create`] has three ways. Where there is a spare, the tenant
//! is made of that: its schema is renamed in the transaction that enters the tenant. Where all migrations are
//! transactional and the tenant lives in the default database, the schema, its tables, its ledger and the row in the
//! registry are one transaction: all of it or nothing. Otherwise the row comes first, as `provisioning`, and becomes
//! `active` last; the same command goes on after any interruption, and [`abort`] removes what there is.

mod abort;
mod agreement;
mod claim;
mod create;
mod grants;
mod half_made;
mod new_tenant;
mod on_citus;
mod proof;
mod register;
mod removal;
mod search;
mod spare_keeper;
mod spares;
mod whereabouts;

pub(crate) use self::abort::abort;
pub(crate) use self::create::{already_exists, create, lock_schema, somebody_works_on, take_lock};
pub(crate) use self::grants::{grants, own_role};
pub(crate) use self::half_made::{end_making, is_filled};
pub use self::new_tenant::NewTenant;
pub(crate) use self::new_tenant::{check_open, checked_slug};
pub(crate) use self::on_citus::{NotOnCitus, refuse_on_citus};
pub(crate) use self::proof::Proof;
pub(crate) use self::register::{applied_files, enter};
pub(crate) use self::removal::{refuse_shared, remove_schema};
pub(crate) use self::search::{database_rows, known_databases, look, measure, place};
pub use self::spare_keeper::{KeepSpares, SpareKeeper};
pub use self::spares::SpareSummary;
pub(crate) use self::spares::{Stale, fill as fill_spares, list as list_spares, remove_all as remove_spares};
