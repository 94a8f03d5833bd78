-- Every database: the files of a type that a schema has applied whose tenant is not of that type any more. What they made is
-- still there. They come back into the ledger when the tenant is of the type again.
CREATE TABLE tenantry.kept_file (
    schema_name    text        NOT NULL REFERENCES tenantry.applied ON UPDATE CASCADE ON DELETE CASCADE,
    type           text        NOT NULL,
    -- As in the ledger.
    version        bigint      NOT NULL,
    description    text        NOT NULL,
    installed_on   timestamptz NOT NULL,
    checksum       bytea       NOT NULL,
    execution_time bigint      NOT NULL,
    PRIMARY KEY (schema_name, type, version)
);

-- The type whose files the ledger holds, or `none`, once the tenant's type has changed. While that is another one than the
-- registry says, a change is half-done, and nobody but who finishes it may touch the schema.
ALTER TABLE tenantry.applied ADD COLUMN ledger_type text;
