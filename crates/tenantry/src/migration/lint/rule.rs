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
    /// `citus-add-serial-or-identity`: a column with a sequence is added to a table.
    ///
    /// Citus refuses it for a table that is distributed. This and the other rules `citus-…` are looked at where a
    /// database is Citus, or by `tenantry lint --engine citus`.
    ///
    /// ```sql
    /// -- bad
    /// ALTER TABLE note ADD COLUMN number bigserial;
    /// -- good
    /// ALTER TABLE note ADD COLUMN number uuid DEFAULT gen_random_uuid();
    /// ```
    CitusAddSerialOrIdentity,
    /// `citus-inline-check`: a column is added together with a constraint that has no name.
    ///
    /// ```sql
    /// -- bad
    /// ALTER TABLE note ADD COLUMN stars int CHECK (stars > 0);
    /// -- good
    /// ALTER TABLE note ADD COLUMN stars int CONSTRAINT note_has_stars CHECK (stars > 0);
    /// ```
    CitusInlineCheck,
    /// `citus-add-constraint-alone`: a constraint is added by an `ALTER TABLE` that does something else, too.
    ///
    /// ```sql
    /// -- bad
    /// ALTER TABLE note ADD COLUMN stars int, ADD CONSTRAINT note_has_stars CHECK (stars > 0);
    /// -- good
    /// ALTER TABLE note ADD CONSTRAINT note_has_stars CHECK (stars > 0);
    /// ```
    CitusAddConstraintAlone,
    /// `citus-volatile-update`: an `UPDATE` or `DELETE` calls a function that answers something else for each row.
    ///
    /// ```sql
    /// -- bad
    /// UPDATE note SET token = gen_random_uuid();
    /// -- good
    /// UPDATE note SET token = md5(id::text)::uuid;
    /// ```
    CitusVolatileUpdate,
    /// `citus-rename-constraint`: a constraint is renamed.
    ///
    /// ```sql
    /// -- bad
    /// ALTER TABLE note RENAME CONSTRAINT a TO b;
    /// -- good
    /// ALTER TABLE note RENAME COLUMN a TO b;
    /// ```
    CitusRenameConstraint,
    /// `citus-inherits`: a table inherits from another one, which a distributed schema does not have.
    ///
    /// ```sql
    /// -- bad
    /// CREATE TABLE memo (PRIMARY KEY (id)) INHERITS (note);
    /// -- good
    /// CREATE TABLE memo (id bigint PRIMARY KEY REFERENCES note);
    /// ```
    CitusInherits,
    /// `citus-trigger`: a table gets a trigger, which takes `citus.enable_unsafe_triggers`.
    ///
    /// ```sql
    /// -- bad
    /// CREATE TRIGGER touch BEFORE UPDATE ON note EXECUTE FUNCTION touch();
    /// -- good
    /// ALTER TABLE note ALTER COLUMN touched_at SET DEFAULT now();
    /// ```
    CitusTrigger,
    /// `citus-function-path`: a function leaves its `search_path` to its caller, who on a worker is Citus.
    ///
    /// A function that carries its path names its own schema, so that it is made with the tenant and not ahead of
    /// time: spares are refused then.
    ///
    /// ```sql
    /// -- bad
    /// CREATE FUNCTION notes() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM note';
    /// -- good
    /// CREATE FUNCTION notes() RETURNS bigint LANGUAGE sql SET search_path FROM CURRENT AS 'SELECT count(*) FROM note';
    /// ```
    CitusFunctionPath,
    /// `citus-no-primary-key`: a table has no primary key, so that the tenant cannot be moved while it is written.
    ///
    /// ```sql
    /// -- bad
    /// CREATE TABLE note (title text);
    /// -- good
    /// CREATE TABLE note (id uuid PRIMARY KEY, title text);
    /// ```
    CitusNoPrimaryKey,
    /// `citus-int-serial`: a sequence counts in less than `bigint`, of which each node has a range of its own.
    ///
    /// ```sql
    /// -- bad
    /// CREATE TABLE note (id serial PRIMARY KEY);
    /// -- good
    /// CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
    /// ```
    CitusIntSerial,
    /// `citus-foreign-key-into-tenant`: a table outside of the tenant refers to one of the tenant's. An error.
    ///
    /// ```sql
    /// -- bad
    /// ALTER TABLE public.news ADD CONSTRAINT news_note FOREIGN KEY (note) REFERENCES note;
    /// -- good
    /// ALTER TABLE news ADD CONSTRAINT news_note FOREIGN KEY (note) REFERENCES note;
    /// ```
    CitusForeignKeyIntoTenant,
    /// `citus-detach-concurrently`: a partition is detached concurrently.
    ///
    /// ```sql
    /// -- bad
    /// ALTER TABLE note DETACH PARTITION note_2024 CONCURRENTLY;
    /// -- good
    /// ALTER TABLE note DETACH PARTITION note_2024;
    /// ```
    CitusDetachConcurrently,
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
