-- Every database: structures of tenants' schemas, so that a copy needs no look through the whole catalog. Each was proven:
-- a schema that it made had the same fingerprint.
--
-- Tenants at one version share one. Those that were not used for the longest time are forgotten.
CREATE TABLE tenantry.structure (
    fingerprint  bytea       NOT NULL CHECK (length(fingerprint) = 32),
    -- Another major version of the server writes the same in another way.
    server_major int         NOT NULL,
    -- Statements with a placeholder for the name of the schema: what comes before the rows, and what comes behind them.
    pre_data     text        NOT NULL,
    post_data    text        NOT NULL,
    used_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (fingerprint, server_major)
);
