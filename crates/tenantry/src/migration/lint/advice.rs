//! The names of the rules, and what to do about each.

use std::fmt;

use super::rule::Rule;

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 26] = [
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
        Self::CitusAddSerialOrIdentity,
        Self::CitusInlineCheck,
        Self::CitusAddConstraintAlone,
        Self::CitusVolatileUpdate,
        Self::CitusRenameConstraint,
        Self::CitusInherits,
        Self::CitusTrigger,
        Self::CitusFunctionPath,
        Self::CitusNoPrimaryKey,
        Self::CitusIntSerial,
        Self::CitusForeignKeyIntoTenant,
        Self::CitusDetachConcurrently,
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
            Self::CitusAddSerialOrIdentity => "citus-add-serial-or-identity",
            Self::CitusInlineCheck => "citus-inline-check",
            Self::CitusAddConstraintAlone => "citus-add-constraint-alone",
            Self::CitusVolatileUpdate => "citus-volatile-update",
            Self::CitusRenameConstraint => "citus-rename-constraint",
            Self::CitusInherits => "citus-inherits",
            Self::CitusTrigger => "citus-trigger",
            Self::CitusFunctionPath => "citus-function-path",
            Self::CitusNoPrimaryKey => "citus-no-primary-key",
            Self::CitusIntSerial => "citus-int-serial",
            Self::CitusForeignKeyIntoTenant => "citus-foreign-key-into-tenant",
            Self::CitusDetachConcurrently => "citus-detach-concurrently",
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
            about_citus => about_citus.hint_on_citus(),
        }
    }

    fn hint_on_citus(self) -> &'static str {
        match self {
            Self::CitusAddSerialOrIdentity => {
                "use a `uuid` with a default, or a table of its own with an identity from the start"
            }
            Self::CitusInlineCheck => "give the constraint a name, or add it by an `ALTER TABLE` of its own",
            Self::CitusAddConstraintAlone => "give the constraint an `ALTER TABLE` of its own",
            Self::CitusVolatileUpdate => "compute the values from the row, or in the application",
            Self::CitusRenameConstraint => "drop the constraint, and add it under the other name",
            Self::CitusInherits => "write the columns out; partitions are fine",
            Self::CitusTrigger => {
                "use a default or the application, or set `citus.enable_unsafe_triggers` for the owner's role"
            }
            Self::CitusFunctionPath => "write `SET search_path FROM CURRENT`, or a body in `BEGIN ATOMIC`",
            Self::CitusNoPrimaryKey => {
                "give it a primary key; without one the tenant is moved only while nobody writes"
            }
            Self::CitusIntSerial => "use `bigint` or `bigserial`",
            Self::CitusForeignKeyIntoTenant => {
                "leave `REFERENCES` out: no table outside may refer to one that is distributed"
            }
            _ => "leave `CONCURRENTLY` out",
        }
    }

    /// Returns true for the rules that are about Citus alone.
    pub fn is_about_citus(self) -> bool {
        self.as_str().starts_with("citus-")
    }

    /// Returns true for what works in no tenant on Citus, be it a new one.
    pub(super) fn is_fatal_on_citus(self) -> bool {
        self == Self::CitusForeignKeyIntoTenant
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
