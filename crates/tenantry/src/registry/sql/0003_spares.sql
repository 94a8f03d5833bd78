-- The default database: schemas built ahead of time. Whoever makes a tenant takes one, by deleting its row
-- in the transaction that renames the schema.

CREATE TABLE tenantry.spare (
    schema_name text        PRIMARY KEY,
    -- What it has applied. A spare that is not where the files are is never handed out.
    digest      bytea       NOT NULL CHECK (length(digest) = 32),
    created_at  timestamptz NOT NULL DEFAULT now()
);
