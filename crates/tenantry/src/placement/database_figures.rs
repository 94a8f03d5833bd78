use crate::tenant::Alias;

/// A database that takes new tenants, and how much is in it.
///
/// ```
/// use tenantry::placement::DatabaseFigures;
/// use tenantry::tenant::Alias;
///
/// let eu = DatabaseFigures::new(Alias::parse("eu")?, 120);
/// assert_eq!((eu.alias.as_str(), eu.tenants, eu.bytes), ("eu", 120, None));
/// # Ok::<(), tenantry::tenant::InvalidAlias>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatabaseFigures {
    /// The name of the database.
    pub alias: Alias,
    /// The tenants that live there, in whatever status. The figure is up to a minute old.
    pub tenants: u64,
    /// The room that it takes on its server, where that is known: measured now and then, and estimated meanwhile by the
    /// tenants that came since.
    pub bytes: Option<u64>,
    /// The turn at which it last got a tenant; 0 for none.
    pub turn: u64,
}

impl DatabaseFigures {
    /// A database with this many tenants, of which nothing else is known.
    pub const fn new(alias: Alias, tenants: u64) -> Self {
        Self { alias, tenants, bytes: None, turn: 0 }
    }

    /// The same with a size.
    #[must_use]
    pub fn with_bytes(self, bytes: u64) -> Self {
        Self { bytes: Some(bytes), ..self }
    }

    /// The same with the turn at which it last got a tenant.
    #[must_use]
    pub fn with_turn(self, turn: u64) -> Self {
        Self { turn, ..self }
    }
}
