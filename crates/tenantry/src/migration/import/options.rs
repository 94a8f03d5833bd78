/// The choices that somebody makes who imports migrations.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The schema whose name is taken away, `public` as a rule.
    pub schema: String,
    /// The tables of a dump whose rows become part of the migration. All other rows are left out.
    pub with_rows: Vec<String>,
    /// The roles whose privileges become part of the migrations, `PUBLIC` among them if it is named. They are left out
    /// for all others.
    pub with_grants_to: Vec<String>,
    /// The schema that extensions are made in, which every tenant sees.
    pub extension_schema: String,
    /// The digits that the name of a new file of the master begins with.
    pub master_digits: String,
    /// The digits that the name of a file begins with where the layout has no versions.
    pub tenant_digits: String,
}
