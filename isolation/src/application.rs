//! An application, as its clients see it.

use std::future::Future;

/// The connections that the pool of an application may have: so few that one which is lost is missed.
pub const CONNECTIONS: u32 = 2;

/// An application whose tenants have notes, as its clients see it.
///
/// The host says whose notes are meant. A call gives up by itself after some seconds.
pub trait Application: Clone + Send + Sync + 'static {
    /// The titles of all notes.
    fn list(&self, host: &str) -> impl Future<Output = Result<Vec<String>, Failed>> + Send;

    /// Makes a note.
    fn add(&self, host: &str, title: &str) -> impl Future<Output = Result<(), Failed>> + Send;

    /// Has a note made in a transaction that then sleeps for ten seconds before it commits, and goes away meanwhile.
    fn leave(&self, host: &str, title: &str) -> impl Future<Output = ()> + Send;

    /// Has a note made in a transaction whose handler then panics.
    fn panic(&self, host: &str, title: &str) -> impl Future<Output = ()> + Send;
}

/// The answer to a call that failed: the status of HTTP or of gRPC, or none if there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The number of the status.
    pub status: Option<u16>,
    /// The text that came with it.
    pub text: String,
}
