//! Reads of a tenant from replicas of its database.
//!
//! A [`TenantReadDb`] asks one of the standbys that follow the primary, on connections of a pool of its own, which are
//! prepared and verified as those of the primary are. Sessions are read-only, and the answer to each switch says that
//! the server is a standby.
//!
//! Nobody asks a server how far it is for a request's sake. Tasks ask primary and replicas now and then, on connections
//! of their own, and a [`ReplicaState`] is made of the answers, without I/O: one that is behind, away, promoted or of
//! another server is left, and found again by the next look that finds it well. A read that fails
//! for the replica's sake is asked elsewhere, unless rows were handed out already.
//!
//! | file | what it is |
//! | --- | --- |
//! | `written` | what the primary had written, and when: how old a replica's answers are |
//! | `judge` | a look at a replica, and what it means |
//! | `member` | one replica: its pool, and what is known of it |
//! | `watch` | the tasks that look |
//! | `choice` | which replica is asked |
//! | `set` | the replicas of a database |
//! | `reader` | the ways of one tenant to the servers |
//! | `attempts` | the servers that one read is asked of, in turn |
//! | `refusal` | texts that would let a session write |
//! | `handle`, `executor`, `transaction` | what a handler holds |

mod attempts;
mod choice;
mod executor;
mod handle;
mod judge;
mod member;
mod reader;
mod refusal;
mod set;
mod transaction;
mod watch;
mod written;

pub use self::handle::TenantReadDb;
pub use self::judge::ReplicaState;
pub use self::member::ReplicaStatus;
#[cfg(feature = "sea-orm")]
pub(super) use self::refusal::refuse_write_mode;
pub(super) use self::set::Replicas;
pub use self::transaction::ReadTransaction;
