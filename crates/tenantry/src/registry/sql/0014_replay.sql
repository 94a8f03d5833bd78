-- Every database: what the files of tenants make at each version, found by a replay in a scratch schema, which is made once
-- per set of files. Those that were not used for the longest time are forgotten.
CREATE TABLE tenantry.replay (
    -- Of all the files.
    digest      bytea       NOT NULL CHECK (length(digest) = 32),
    -- A hash of whatever else decides what they make: the server, its extensions, the shared schemas.
    environment bytea       NOT NULL CHECK (length(environment) = 32),
    -- The structures, as JSON: each as what has changed since the one before.
    history     text        NOT NULL,
    used_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (digest, environment)
);
