//! Assertions on isolation that every web framework has to pass, from outside: over the wire, with two tenants.
//!
//! They know nothing of Tenantry, and nothing of the framework: an application is somebody who answers at an address.
//! [`Application`] says what is asked of it; [`Http`] asks over HTTP/1.1, byte by byte, so that a request may be as
//! hostile or end as suddenly as it likes. [`tenants_keep_apart`] holds for each `Application`, the others over HTTP.
//!
//! The application is to serve tenants `acme` and `globex` at `NAME.example.com`, from a pool of [`CONNECTIONS`].
#![allow(clippy::missing_panics_doc, reason = "assertions panic")]

mod application;
mod assertions;
mod http;
mod wire;

pub use self::application::{Application, CONNECTIONS, Failed};
pub use self::assertions::tenants_keep_apart;
pub use self::http::{hosts_are_not_believed_blindly, paths_lead_to_their_tenant};
pub use self::wire::Http;
