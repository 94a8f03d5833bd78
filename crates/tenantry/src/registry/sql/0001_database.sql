-- Every database: what each of its schemas has applied, and the schemas every search_path ends in.

-- Always empty. It stands behind the tenant's schema in the search_path: where that schema has
-- vanished, an unqualified CREATE ends here, and nobody may create here, not even the owner.
CREATE SCHEMA IF NOT EXISTS tenantry_void;
REVOKE ALL ON SCHEMA tenantry_void FROM PUBLIC;
REVOKE ALL ON SCHEMA tenantry_void FROM CURRENT_USER;
GRANT USAGE ON SCHEMA tenantry_void TO PUBLIC;

-- Written in the transaction of the migration itself, so that it cannot disagree with the ledger
-- inside the schema, which is the truth.
CREATE TABLE tenantry.applied (
    schema_name text        PRIMARY KEY,
    version     bigint,
    digest      bytea       NOT NULL CHECK (length(digest) = 32),
    -- Whether the schema has enum, domain or composite types of its own.
    owns_types  boolean     NOT NULL DEFAULT false,
    applied_at  timestamptz NOT NULL DEFAULT now()
);
