//! The name of a channel, of which each schema has its own.

use super::checkout::Checkout;
use super::driver::Driver;
use super::shared::Pool;
use super::statement::Statement;
use crate::error::{Error, ErrorKind, Result};
use crate::tenant::SchemaName;

/// The longest that PostgreSQL lets a channel's name be, in bytes.
const LONGEST: usize = 63;

/// The name by which PostgreSQL knows a channel of a schema: `note.t_acme_0a1b2c3d4e`.
///
/// No name has a dot, so that no two channels of two schemas share one.
pub(super) fn channel_of(schema: &SchemaName, name: &str) -> Result<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_plain) {
        let message = format!("channel {name:?} is not made of lower-case letters, digits and `_`");
        return Err(Error::invalid_input(message));
    }
    let channel = format!("{name}.{schema}");
    if channel.len() > LONGEST {
        let message = format!("channel {channel:?} is longer than {LONGEST} bytes");
        let left = LONGEST.saturating_sub(schema.as_str().len() + 1);
        return Err(Error::invalid_input(message).with_hint(format!("use a name of at most {left} bytes")));
    }
    Ok(channel)
}

/// Refuses to announce something where nobody listens.
///
/// # Errors
/// [`ErrorKind::Unsupported`] on a connection that leads to a node.
pub(super) fn refuse_at_node<D: Driver>(pool: &Pool<D>) -> Result<()> {
    let Some(node) = pool.node() else { return Ok(()) };
    let message =
        format!("those who listen are at the coordinator, and this connection leads to the worker {node}");
    Err(Error::new(ErrorKind::Unsupported, message)
        .with_hint("announce it with `notify` of the handle, once the transaction is committed"))
}

impl Checkout {
    /// Announces something on a channel of the tenant, or of the master schema, to those who
    /// [listen](crate::Tenancy::listen). In a transaction, they hear of it when that is committed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is not made of lower-case
    /// letters, digits and `_`, or is too long; what PostgreSQL answers, for example to a payload of 8,000 bytes or
    /// more. [`ErrorKind::Unsupported`] on a connection to a worker of Citus, where nobody listens.
    pub async fn notify(&mut self, channel: &str, payload: &str) -> Result<(), sqlx::Error> {
        refuse_at_node(&self.pool)?;
        let channel = channel_of(&self.schema, channel)?;
        let notify = sqlx::query("SELECT pg_catalog.pg_notify($1, $2)").bind(channel).bind(payload);
        self.first_row(Statement::take(notify)?).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expect: Option<&str>) {
        let schema = SchemaName::parse("t_acme_0a1b2c3d4e").expect("a name");
        assert_eq!(channel_of(&schema, name).ok().as_deref(), expect, "{name}");
    }

    #[test]
    fn a_channel_belongs_to_one_schema() {
        check("note", Some("note.t_acme_0a1b2c3d4e"));
        check("note_2", Some("note_2.t_acme_0a1b2c3d4e"));
        check(&"n".repeat(45), Some(&format!("{}.t_acme_0a1b2c3d4e", "n".repeat(45))));
        for name in ["", "a.b", "Note", "no te", "n\"", "ä", &"n".repeat(46)] {
            check(name, None);
        }
    }
}
