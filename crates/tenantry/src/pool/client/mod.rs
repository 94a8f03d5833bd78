//! The same pool over tokio-postgres, for code that is written against it.
//!
//! [`TenantClient`] and [`MasterClient`] are what [`TenantDb`](crate::TenantDb) and
//! [`MasterDb`](crate::MasterDb) are for sqlx: other types and other connections, the same promises.
//! What tokio-postgres adds is that requests need not wait for each other. A connection that has to be
//! switched for a single statement or a transaction gets the switch in the same pipeline.
//!
//! It makes no use of tokio-postgres' own transactions, whose requests cannot be sent in one pipeline.

mod access;
mod call;
mod checkout;
mod connect;
mod connection;
mod copy;
#[cfg(feature = "diesel-async")]
mod diesel;
mod driver;
mod ending;
mod handle;
mod nested;
mod pipeline;
mod rows;
mod secrets;
mod statements;
mod tls;
mod transaction;

pub use self::checkout::ClientCheckout;
#[cfg(feature = "diesel-async")]
pub use self::diesel::{
    DieselRow, DieselRows, DieselTransaction, DieselTransactionManager, MasterDiesel, TenantDiesel,
};
pub(super) use self::driver::ClientDriver;
pub use self::handle::{MasterClient, TenantClient};
pub use self::nested::ClientNestedTransaction;
pub use self::transaction::ClientTransaction;
