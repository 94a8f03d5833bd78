//! Servers that are thrown away: not durable, and gone with their last user.
//!
//! One shell script, the *keeper*, owns each server and its folder. Users hold a named pipe open; when its
//! last writer is gone, however it went, the keeper stops the server and removes the folder.
//!
//! * [`keeper`]: starting a keeper and telling it what to do.
//! * [`shared`]: how the processes of one test run find the same server.
//! * [`clerk`]: the thread which makes and drops databases on it.
//! * [`pooler`]: a PgBouncer in front of one, with a keeper of its own kind.
//!
//! Everything is below one folder per user, `tenantry-<uid>` in `/dev/shm` or else the temporary directory:
//! `s-<random>` is a server, `p-<random>` a PgBouncer, `shared-<digest>` the link to the server everybody
//! uses, `template-<digest>` what `initdb` made, ready to be copied. The last keeper removes the folder. Since
//! the template goes as well, a test run leaves nothing behind, at the price of one `initdb` (about a second)
//! per run.
mod clerk;
mod database;
mod keeper;
mod pooler;
mod server;
mod shared;

pub use self::{database::ScratchDatabase, pooler::ScratchPooler, server::ScratchServer};
pub(crate) use self::{server::blocking, shared::Share};
