//! Connections that know which tenant they serve.
//!
//! Every checkout of a connection takes one path, whoever asks and whatever for:
//!
//! 1. the [preprocessors](Preprocessor) say what the session must look like ([`CheckoutRequest`] →
//!    `Preparation`, pure);
//! 2. `affinity` picks a connection, `fairness` says who is next when there is none;
//! 3. a connection that last served the same preparation and came back *clean* is handed out as it
//!    is; any other is switched, and the server confirms the switch in the same round trip;
//! 4. on return it goes back as it is (*clean*), is cleaned and verified first (*touched*), after the
//!    rest of an answer was read (*cut off*), is rolled back and verified (*in a transaction*), or is closed
//!    and replaced (*doubtful*).
//!
//! The only way to a connection is an *exchange*, which marks it busy before the first byte is sent and until
//! the answer was read. A future may be dropped at any `.await`: its lease then finds the connection busy,
//! and drains or closes it.
//!
//! [`PoolStatus`] tells what a pool does; the spans `checkout` and `statement` (level debug) have `database`, `tenant`
//! and `tenant.id`.
//! With the feature `metrics` the same goes to the `metrics` facade, labelled by `database` and `driver`
//! (`sqlx`, `tokio-postgres`, `replica-1`, `sqlx at worker-1:5432` and so on):
//! `tenantry_checkouts_total` (`source`: warm, switch, open), `tenantry_checkout_waits_total`,
//! `tenantry_checkout_wait_seconds`, `tenantry_held`, `tenantry_waiting`, `tenantry_cleaned_total`,
//! `tenantry_drained_total`, `tenantry_rolled_back_total` and `tenantry_closed_total` (`reason`: doubtful, recycled).
//!
//! Behind a pooler in transaction mode ([`PoolMode`](crate::database::PoolMode)) a connection is no session,
//! so every checkout begins a transaction with its switch, and no statement runs outside of one.
//!
//! The pool runs over a small `Driver`, so its logic is tested without a server. It asks the
//! registry nothing: who a tenant is was settled before.

mod access;
mod acquire;
mod affinity;
mod application_name;
mod await_point;
mod away;
mod channel;
mod checkout;
#[cfg_attr(not(feature = "tokio-postgres"), allow(dead_code))]
mod checks;
mod classify;
mod cleaning;
#[cfg(feature = "tokio-postgres")]
mod client;
mod client_pool;
mod commit_token;
mod copy;
mod counters;
mod databases;
mod db;
mod defaults;
mod driver;
mod executor;
mod facade;
mod fairness;
mod grant;
mod kept;
mod lease;
mod marks;
mod master_stock;
mod message;
mod metric;
mod needs_session;
mod nested;
mod nesting;
mod node_pools;
mod notifications;
mod opener;
#[cfg(feature = "sea-orm")]
mod orm;
mod pooled;
mod pooler;
mod preparation;
mod preprocessor;
mod purpose;
mod recognition;
mod record;
mod replica;
mod resets;
mod session;
mod shared;
mod slots;
mod spans;
mod standing;
mod statement;
mod step;
mod stock;
mod sync;
mod traceparent;
mod transaction;
mod tx_options;
mod types;
mod unreachable;
mod wal_position;

#[cfg(test)]
mod exploration;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use self::application_name::ApplicationName;
#[cfg(test)]
pub(crate) use self::await_point::{AwaitPoint, drops};
pub use self::checkout::Checkout;
#[cfg(feature = "tokio-postgres")]
pub use self::client::{
    ClientCheckout, ClientNestedTransaction, ClientTransaction, MasterClient, TenantClient,
};
#[cfg(feature = "diesel-async")]
pub use self::client::{
    DieselRow, DieselRows, DieselTransaction, DieselTransactionManager, MasterDiesel, TenantDiesel,
};
pub(crate) use self::client_pool::open_client;
pub use self::commit_token::CommitToken;
pub use self::counters::PoolCounts;
pub(crate) use self::databases::{Databases, no_way_past_the_pooler};
pub use self::db::{MasterDb, TenantDb};
pub(crate) use self::kept::KeptConnections;
#[cfg(feature = "testing")]
pub(crate) use self::lease::Leftover;
#[cfg(feature = "metrics")]
pub use self::metric::{METRICS, Metric, MetricKind};
pub use self::nested::NestedTransaction;
pub use self::node_pools::NodeStatus;
pub use self::notifications::{Notification, Notifications};
pub(crate) use self::opener::Opener;
#[cfg(feature = "sea-orm")]
pub use self::orm::{OrmConnection, OrmTransaction};
pub(crate) use self::preparation::Preprocessors;
pub use self::preprocessor::{
    CheckoutRequest, Hook, Preprocessor, Role, SearchPath, SessionSettings, Target,
};
pub(crate) use self::recognition::recognize;
#[cfg(feature = "testing")]
pub(crate) use self::record::WriteRecord;
pub use self::replica::{ReadTransaction, ReplicaState, ReplicaStatus, TenantReadDb};
pub use self::slots::PoolStatus;
pub(crate) use self::standing::{Standing, Surroundings};
pub(crate) use self::traceparent::CurrentTrace;
pub use self::traceparent::{InvalidTraceparent, Traceparent};
pub use self::transaction::Transaction;
pub use self::tx_options::{IsolationLevel, TxOptions};
