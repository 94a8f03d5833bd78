-- Every database: its own spares. The default one has the table already.
DO $$
BEGIN
    IF to_regclass('tenantry.spare') IS NULL THEN
        CREATE TABLE tenantry.spare (
            schema_name text        PRIMARY KEY,
            digest      bytea       NOT NULL CHECK (length(digest) = 32),
            created_at  timestamptz NOT NULL DEFAULT now()
        );
    END IF;
END
$$;
