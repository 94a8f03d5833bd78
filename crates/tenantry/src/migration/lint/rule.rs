use std::fmt;

/// A rule of the lint for migration files.
///
/// A rule is silenced for one statement by a comment in front of it, inside it, or behind it on its last
/// line. What follows the names is for people:
///
/// ```sql
/// -- lint: allow shared-foreign-key, unnamed-constraint because plans are never deleted
/// CREATE TABLE subscription (plan bigint REFERENCES public.plan, CHECK (plan > 0));
/// ```
///
/// A file that some schema has applied can no longer be changed, not even by such a comment. So `tenantry
/// migrate` looks at the files it is about to apply, and `tenantry lint --since VERSION` leaves the older
/// ones out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// `shared-foreign-key`: a tenant's table refers to a table outside of the tenant.
    ///
    /// Each tenant puts triggers on the shared table, so that a `DELETE` there visits the tables of all of
    /// them, and making or dropping a tenant locks it for everybody. A tenant can neither be exported
    /// nor moved to another database without the row it refers to.
    ///
    /// ```sql
    /// -- bad
    /// CREATE TABLE subscription (plan_id bigint REFERENCES public.plan (id));
    /// -- good
    /// CREATE TABLE subscription (plan_id bigint NOT NULL); -- the id of a plan in the master schema
    /// ```
    SharedForeignKey,
    /// `outside-name`: a tenant's migration names the schema of something.
    ///
    /// Unqualified names mean the schema that is being migrated. A name with a schema means the same
    /// thing for every tenant: what is created or written there is created or written once per tenant, and
    /// what is read there ties the tenants to it. Looked at are names of objects: tables, views,
    /// sequences, functions, indexes and types where they are defined, `SCHEMA` itself, the literals in
    /// `nextval('…')` and `'…'::regclass`. Columns, such as `note.title` or `NEW.title`, and the types of
    /// columns are not. `pg_catalog`, `information_schema`, `pg_temp` and the extension schemas are fine.
    ///
    /// ```sql
    /// -- bad
    /// CREATE TABLE public.note (id bigint PRIMARY KEY);
    /// -- good
    /// CREATE TABLE note (id bigint PRIMARY KEY);
    /// ```
    OutsideName,
    /// `unnamed-constraint`: a constraint of a tenant's table has no name of its own.
    ///
    /// A later migration can change a constraint only by its name, which must be the same in every schema.
    /// PostgreSQL makes one up from the table and the columns it finds in the constraint, and appends a
    /// number where that is taken, so it may depend on the order in which a schema has got what it has.
    ///
    /// Not reported are names that depend on nothing but the table and one column: `PRIMARY KEY`,
    /// `NOT NULL`, and `UNIQUE` and `REFERENCES` written behind their column. Nor are temporary tables.
    ///
    /// ```sql
    /// -- bad
    /// ALTER TABLE note ADD CHECK (title <> '');
    /// -- good
    /// ALTER TABLE note ADD CONSTRAINT note_has_title CHECK (title <> '');
    /// ```
    UnnamedConstraint,
    /// `extension-schema`: an extension is created where tenants do not see it.
    ///
    /// A database has an extension once. In a tenant's migration it would go into the schema of the first
    /// tenant that runs it, so it belongs to the master migrations. There it needs `SCHEMA`, with a
    /// schema from `extension_schemas`; without it, the extension goes into the master schema, which is not
    /// in a tenant's path.
    ///
    /// ```sql
    /// -- bad
    /// CREATE EXTENSION citext;
    /// -- good, in a master migration
    /// CREATE EXTENSION citext SCHEMA extensions;
    /// ```
    ExtensionSchema,
    /// `empty-down`: a `.down.sql` holds no statement.
    ///
    /// The ledger would forget the migration and the schema would keep what it made, so that the next run could not
    /// apply it again. `migrate --to` refuses to go back that way. Where there is nothing to undo, say so:
    ///
    /// ```sql
    /// -- bad
    /// -- Add down migration script here
    /// -- good
    /// DROP TABLE note;
    /// -- good, for what cannot be told from not having run
    /// -- lint: allow empty-down
    /// ```
    EmptyDown,
    /// `unknown-rule`: a comment silences something that is no rule.
    ///
    /// ```sql
    /// -- bad
    /// CREATE TABLE note (CHECK (title <> ''), title text); -- lint: allow unnamed
    /// -- good
    /// CREATE TABLE note (CHECK (title <> ''), title text); -- lint: allow unnamed-constraint
    /// ```
    UnknownRule,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 6] = [
        Self::SharedForeignKey,
        Self::OutsideName,
        Self::UnnamedConstraint,
        Self::ExtensionSchema,
        Self::EmptyDown,
        Self::UnknownRule,
    ];

    /// The name by which it is reported and silenced. It never changes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SharedForeignKey => "shared-foreign-key",
            Self::OutsideName => "outside-name",
            Self::UnnamedConstraint => "unnamed-constraint",
            Self::ExtensionSchema => "extension-schema",
            Self::EmptyDown => "empty-down",
            Self::UnknownRule => "unknown-rule",
        }
    }

    /// The advice where it is broken.
    pub fn hint(self) -> &'static str {
        match self {
            Self::SharedForeignKey => {
                "leave `REFERENCES` out and keep the column: each tenant would put triggers on the shared table, \
                 and lock it for all when it is made or dropped"
            }
            Self::OutsideName => {
                "leave the schema out, because an unqualified name means the tenant's own; what is shared belongs \
                 to the master migrations"
            }
            Self::UnnamedConstraint => {
                "write `CONSTRAINT name` in front of it, so that a later migration can rely on the name"
            }
            Self::ExtensionSchema => {
                "put `CREATE EXTENSION … SCHEMA extensions` into a master migration: every tenant sees that schema"
            }
            Self::EmptyDown => {
                "write what undoes it, or `-- lint: allow empty-down` where there is nothing to undo; without the \
                 file, there is no way back"
            }
            Self::UnknownRule => "write `-- lint: allow RULE`, with rules separated by commas",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == name)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
