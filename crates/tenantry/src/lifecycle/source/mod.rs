//! The tenant that a clone or an archive is made of.
//!
//! | file | what it does |
//! | --- | --- |
//! | `purpose` | says what it is read for |
//! | `moment` | locks it, and opens a transaction that sees it as it is at one moment |
//! | `refusal` | looks for what cannot be carried |

mod moment;
mod purpose;
mod refusal;

pub(super) use self::moment::{begin, check_source, whole_ledger};
pub(super) use self::purpose::ReadFor;
pub(super) use self::refusal::{needed_extensions, needed_servers, needed_shared, notes};
