use crate::tenant::TypeName;

/// The extent of a baseline.
///
/// ```
/// use tenantry::migrate::BaselineOptions;
///
/// let options = BaselineOptions::default().at(42).with_rows(["plan", "role"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaselineOptions {
    pub(super) type_name: Option<TypeName>,
    pub(super) version: Option<i64>,
    pub(super) rows: Vec<String>,
}

impl BaselineOptions {
    /// Makes it of all files of the tenants of a type. Default: of those of tenants without one.
    pub fn of_type(self, type_name: TypeName) -> Self {
        Self { type_name: Some(type_name), ..self }
    }

    /// Ends the baseline at this version. Default: the newest that leaves no rows in other tables than those
    /// of [`with_rows`](Self::with_rows).
    pub fn at(self, version: i64) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Carries the rows that the migrations leave in these tables. Default: none.
    pub fn with_rows(mut self, tables: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.rows.extend(tables.into_iter().map(Into::into));
        self.rows.sort();
        self.rows.dedup();
        self
    }
}

/// A baseline that was proven to make what the migrations make.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewBaseline {
    /// The text of the file.
    pub text: String,
    /// The newest version that is part of it.
    pub version: i64,
    /// The reason why it ends before the newest migration, if that was not asked for.
    pub rows: Option<FirstRows>,
}

/// The version from which on the migrations leave rows in tables whose rows are not carried.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FirstRows {
    /// The version.
    pub version: i64,
    /// The path of its file.
    pub file: String,
    /// All tables that hold rows in the end, by name.
    pub tables: Vec<String>,
}
