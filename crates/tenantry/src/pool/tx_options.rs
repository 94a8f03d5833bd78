//! The kind of a transaction.

/// The isolation of a transaction from those that run at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IsolationLevel {
    /// Each statement sees what was committed before it began. PostgreSQL's default.
    ReadCommitted,
    /// All statements see what was committed before the first of them.
    RepeatableRead,
    /// The same as if transactions ran one after the other. One that cannot fails with `40001` and is run again by its
    /// owner: [`Error::is_retryable`](crate::Error::is_retryable) is true of it.
    Serializable,
}

/// The kind of transaction that `begin_with` opens. What is left out is as the server has it.
///
/// ```no_run
/// # async fn example(db: tenantry::TenantDb) -> Result<(), sqlx::Error> {
/// use tenantry::pool::{IsolationLevel, TxOptions};
///
/// let report = TxOptions::new().isolation(IsolationLevel::Serializable).read_only().deferrable();
/// let mut tx = db.begin_with(report).await?;
/// let total: i64 = sqlx::query_scalar("SELECT count(*) FROM note").fetch_one(&mut *tx).await?;
/// # let _ = total;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TxOptions {
    isolation: Option<IsolationLevel>,
    is_read_only: bool,
    is_deferrable: bool,
}

impl TxOptions {
    /// A transaction like that of `begin`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the isolation level.
    pub fn isolation(mut self, level: IsolationLevel) -> Self {
        self.isolation = Some(level);
        self
    }

    /// Refuses statements that write.
    pub fn read_only(mut self) -> Self {
        self.is_read_only = true;
        self
    }

    /// Waits at the beginning until it can neither fail with a serialization failure nor cause one. It
    /// means something only together with [`IsolationLevel::Serializable`] and [`read_only`](Self::read_only).
    pub fn deferrable(mut self) -> Self {
        self.is_deferrable = true;
        self
    }

    pub(super) fn is_serializable(self) -> bool {
        self.isolation == Some(IsolationLevel::Serializable)
    }

    /// The statement that begins such a transaction.
    pub(super) fn begin(self) -> String {
        let mut statement = String::from("BEGIN");
        if let Some(level) = self.isolation {
            statement.push_str(" ISOLATION LEVEL ");
            statement.push_str(&level.name().to_ascii_uppercase());
        }
        if self.is_read_only {
            statement.push_str(" READ ONLY");
        }
        if self.is_deferrable {
            statement.push_str(" DEFERRABLE");
        }
        statement
    }

    /// The settings that make one of a transaction that was begun, before its first query.
    pub(super) fn settings(self) -> Vec<(String, String)> {
        let isolation = self.isolation.map(|level| ("transaction_isolation", level.name()));
        let read_only = self.is_read_only.then_some(("transaction_read_only", "on"));
        let deferrable = self.is_deferrable.then_some(("transaction_deferrable", "on"));
        let all = [isolation, read_only, deferrable].into_iter().flatten();
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl IsolationLevel {
    fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(options: TxOptions, begin: &str, settings: &[(&str, &str)]) {
        assert_eq!(options.begin(), begin);
        let made = options.settings();
        let made: Vec<_> = made.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(made, settings);
    }

    #[test]
    fn the_statement_and_the_settings_mean_the_same() {
        let new = TxOptions::new;
        check(new(), "BEGIN", &[]);
        check(
            new().isolation(IsolationLevel::RepeatableRead),
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            &[("transaction_isolation", "repeatable read")],
        );
        check(new().read_only(), "BEGIN READ ONLY", &[("transaction_read_only", "on")]);
        check(
            new().isolation(IsolationLevel::Serializable).deferrable().read_only(),
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
            &[
                ("transaction_isolation", "serializable"),
                ("transaction_read_only", "on"),
                ("transaction_deferrable", "on"),
            ],
        );
    }
}
