//! Migrations that are functions of the application.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use sqlx::PgConnection;

use crate::error::BoxError;

/// The first line of a file that stands for a function. Such a file holds nothing but comments.
pub(super) const MARK: &str = "-- code";

/// The function that [`Migrations::with_code`](super::Migrations::with_code) takes.
pub type CodeFuture<'c> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'c>>;

/// A function that changes one schema.
#[derive(Clone)]
pub(crate) struct Code(Arc<dyn for<'c> Fn(&'c mut PgConnection) -> CodeFuture<'c> + Send + Sync>);

impl Code {
    pub(super) fn new(
        function: impl for<'c> Fn(&'c mut PgConnection) -> CodeFuture<'c> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) async fn call(&self, connection: &mut PgConnection) -> Result<(), BoxError> {
        (self.0)(connection).await
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}
