use std::fmt;

/// The kind of thing that was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeakKind {
    /// Rows came, went or changed, or a sequence went on.
    Rows,
    /// A table or another object that is no type came, went or changed.
    Object,
    /// A type came, went or changed.
    Type,
    /// A schema came, went or changed.
    Schema,
    /// A setting is left in a session or in the database.
    Setting,
    /// An advisory lock is held.
    Lock,
    /// A transaction is open.
    Transaction,
    /// Something else is left in a session: a temporary table, a cursor, a channel that it listens on.
    Session,
}

/// Something that a test changed or left behind without a handle for it.
///
/// `Display` says what it is and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    kind: LeakKind,
    what: String,
    place: String,
}

impl Leak {
    pub(super) fn new(kind: LeakKind, what: impl Into<String>, place: impl Into<String>) -> Self {
        Self { kind, what: what.into(), place: place.into() }
    }

    /// Tells what kind of thing it is.
    pub fn kind(&self) -> LeakKind {
        self.kind
    }

    /// The place where it is: a tenant, the master schema, a session.
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.what, self.place)
    }
}

/// Writes all leaks of a test, with what to do about them.
pub(super) fn report(leaks: &[Leak]) -> String {
    let mut text = String::from("the test changed or left behind what it has no handle for:");
    for leak in leaks {
        text.push_str("\n  - ");
        text.push_str(&leak.to_string());
    }
    let is_in_schema = |leak: &Leak| {
        matches!(leak.kind, LeakKind::Rows | LeakKind::Object | LeakKind::Type | LeakKind::Schema)
    };
    if leaks.iter().any(is_in_schema) {
        text.push_str(
            "\nhint: if the test means to change a tenant, take its handle from the world (an argument of its name, \
             `world.db(…)`, `world.request(…)`), or say `world.allow_changes_of(…)`",
        );
    }
    if leaks.iter().any(|leak| matches!(leak.kind, LeakKind::Setting | LeakKind::Lock | LeakKind::Session)) {
        text.push_str(
            "\nhint: a function that changes its session is not seen in the text of the statement that calls it; \
             `verify = \"always\"` of the pool cleans behind each statement",
        );
    }
    text
}
