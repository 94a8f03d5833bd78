//! One statement with its parameters, as it is sent.

use futures_util::future::BoxFuture;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};

use crate::error::{Error, ErrorKind, Result};

pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One statement with its parameters.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) sql: &'a str,
    pub(super) parameters: Parameters<'a>,
    /// The types of the parameters. Where there is none, or [`Type::UNKNOWN`], the server infers one.
    pub(super) types: &'a [Type],
    /// The types among them that go by a name, if there are any.
    pub(super) named: Option<&'a dyn NamedTypes>,
    /// Prepared for this time only: hardly any other has the same text.
    pub(super) is_single: bool,
}

/// Parameters whose types a program knows by their names, and a server by its own numbers.
pub(super) trait NamedTypes: Send + Sync {
    /// Returns true if the server takes the parameters for what they are.
    fn fit(&self, statement: &Statement) -> bool;

    /// Asks for the types of all parameters, in the session as it is.
    fn look_up<'a>(&'a self, client: &'a Client) -> BoxFuture<'a, Result<Vec<Type>>>;
}

impl<'a> Call<'a> {
    /// A statement whose parameters have the types that the server infers.
    pub(super) fn new(sql: &'a str, parameters: Parameters<'a>) -> Self {
        Self { sql, parameters, types: &[], named: None, is_single: false }
    }

    /// The types by name, if the statement was prepared for others.
    pub(super) fn misfits(&self, statement: &Statement) -> Option<&'a dyn NamedTypes> {
        self.named.filter(|named| !named.fit(statement))
    }

    pub(super) fn check_number(&self, statement: &Statement) -> Result<()> {
        let (takes, given) = (statement.params().len(), self.parameters.len());
        if takes == given {
            return Ok(());
        }
        let message = format!("the statement takes {takes} parameters and was given {given}");
        Err(Error::new(ErrorKind::Database, message))
    }
}
