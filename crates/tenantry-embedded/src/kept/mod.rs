//! The server for development: durable, detached, and found again by everybody who needs it.
//!
//! * [`place`]: which files make up the server of a folder.
//! * [`state`]: what the next process must know: the port and the passwords.
//! * [`launch`]: making the data and starting the server.
//! * [`server`]: the handle the caller gets.
//!
//! Whether a server runs is answered by a lock, not by a number in a file: the server inherits the locked
//! file as its standard input and holds it until its last process is gone, however that happens.
mod launch;
mod place;
mod server;
mod state;

pub use self::server::KeptServer;
