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
    /// `database-wide`: a tenant's migration changes what all schemas of the database share.
    ///
    /// Extensions, roles, publications, subscriptions, event triggers, casts, languages, foreign servers, and
    /// what is granted on a database: the file runs once per tenant, several at a time, and every run changes
    /// the same object. The first makes it, the second finds it there, and two at once get in each other's way.
    ///
    /// ```sql
    /// -- bad
    /// CREATE ROLE reader;
    /// -- good, with the role in a master migration
    /// GRANT SELECT ON note TO reader;
    /// ```
    DatabaseWide,
    /// `catalog-without-schema`: a look into the catalogs asks for a name in any schema.
    ///
    /// `pg_tables`, `pg_class`, `information_schema.columns` and their like list what is in all schemas: once a
    /// first tenant has the table, the file believes that all have it. Not reported is a query that says
    /// `current_schema()`, uses `to_regclass('…')` or `'…'::regclass`, or asks `pg_table_is_visible`.
    ///
    /// ```sql
    /// -- bad
    /// SELECT count(*) FROM pg_tables WHERE tablename = 'note';
    /// -- good
    /// SELECT to_regclass('note') IS NOT NULL;
    /// ```
    CatalogWithoutSchema,
    /// `enum-value-used`: a file adds a value to an enum and uses it.
    ///
    /// PostgreSQL refuses the use until the value is committed, and a file is one transaction.
    ///
    /// ```sql
    /// -- bad
    /// ALTER TYPE state ADD VALUE 'sold'; UPDATE item SET state = 'sold';
    /// -- good, with the update in the next file
    /// ALTER TYPE state ADD VALUE 'sold';
    /// ```
    EnumValueUsed,
    /// `ledger`: a file writes to `_sqlx_migrations`.
    ///
    /// The table says what the schema has applied, and a run repeats it as a digest. What a file changes there
    /// makes the two disagree.
    ///
    /// ```sql
    /// -- bad
    /// DELETE FROM _sqlx_migrations WHERE version = 1;
    /// -- good
    /// SELECT count(*) FROM _sqlx_migrations;
    /// ```
    Ledger,
    /// `drop-table`: a table is dropped that the release before may still use.
    ///
    /// While a fleet is migrated, programs of two releases serve it. Drop a table when no program that runs
    /// knows it any more. Not reported are tables that the same file made, and files that undo a migration.
    ///
    /// ```sql
    /// -- bad
    /// DROP TABLE draft;
    /// -- good
    /// DROP TABLE draft; -- lint: allow drop-table since no release from 2.3 on reads it
    /// ```
    DropTable,
    /// `drop-column`: a column is dropped that the release before may still use.
    ///
    /// ```sql
    /// -- bad
    /// ALTER TABLE note DROP COLUMN draft;
    /// -- good
    /// ALTER TABLE note DROP COLUMN draft; -- lint: allow drop-column since no release from 2.3 on reads it
    /// ```
    DropColumn,
    /// `not-null-without-default`: a column that must have a value is added without one.
    ///
    /// It fails for every tenant whose table has rows, and so does every `INSERT` of the release before.
    ///
    /// ```sql
    /// -- bad
    /// ALTER TABLE note ADD COLUMN done boolean NOT NULL;
    /// -- good
    /// ALTER TABLE note ADD COLUMN done boolean NOT NULL DEFAULT false;
    /// ```
    NotNullWithoutDefault,
    /// `index-not-concurrent`: an index is built while nobody can write to its table.
    ///
    /// A file of its own that begins with `-- no-transaction` and holds `CREATE INDEX CONCURRENTLY …` lets the
    /// tenant work on. Not reported are indexes of tables that the same file made.
    ///
    /// ```sql
    /// -- bad
    /// CREATE INDEX note_title ON note (title);
    /// -- good, where the table is new
    /// CREATE TABLE note (title text); CREATE INDEX note_title ON note (title);
    /// ```
    IndexNotConcurrent,
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
    pub const ALL: [Self; 14] = [
        Self::SharedForeignKey,
        Self::OutsideName,
        Self::UnnamedConstraint,
        Self::ExtensionSchema,
        Self::EmptyDown,
        Self::DatabaseWide,
        Self::CatalogWithoutSchema,
        Self::EnumValueUsed,
        Self::Ledger,
        Self::DropTable,
        Self::DropColumn,
        Self::NotNullWithoutDefault,
        Self::IndexNotConcurrent,
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
            Self::DatabaseWide => "database-wide",
            Self::CatalogWithoutSchema => "catalog-without-schema",
            Self::EnumValueUsed => "enum-value-used",
            Self::Ledger => "ledger",
            Self::DropTable => "drop-table",
            Self::DropColumn => "drop-column",
            Self::NotNullWithoutDefault => "not-null-without-default",
            Self::IndexNotConcurrent => "index-not-concurrent",
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
            Self::DatabaseWide => "put it into a master migration, which runs once per database",
            Self::CatalogWithoutSchema => {
                "use `to_regclass('name')`, or compare the schema with `current_schema()`: another \
                 tenant's table has the same name"
            }
            Self::EnumValueUsed => {
                "put `ALTER TYPE … ADD VALUE` into a file of its own, before the one that uses the \
                 value"
            }
            Self::Ledger => {
                "leave the ledger to the runner: `tenantry migrate --to VERSION` undoes, and a new \
                 file changes"
            }
            Self::DropTable => {
                "drop it in a later release, when no program that runs knows it, and say so with `-- \
                 lint: allow drop-table`"
            }
            Self::DropColumn => {
                "drop it in a later release, when no program that runs knows it, and say so with `-- \
                 lint: allow drop-column`"
            }
            Self::NotNullWithoutDefault => {
                "add a `DEFAULT`, or add the column without `NOT NULL` and require it in a later \
                 release"
            }
            Self::IndexNotConcurrent => {
                "put `CREATE INDEX CONCURRENTLY` into a file of its own that begins with `-- \
                 no-transaction`"
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
