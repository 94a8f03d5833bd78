-- The default database: what was migrated, when, by whom. Written outside of the transactions of the
-- tenants and a little later, so the ledgers are the truth and this is the diary.
CREATE TABLE tenantry.run (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A run that is `running` while nobody holds the lock was interrupted.
    state       text        NOT NULL CHECK (state IN ('running', 'done', 'failed', 'stopped')),
    operator    text        NOT NULL,
    -- Where it brings the tenants: the newest version, and the digest of all up to it.
    version     bigint,
    digest      bytea       NOT NULL CHECK (length(digest) = 32),
    -- What else must be known to go on with it.
    options     jsonb       NOT NULL,
    -- 1 while the canaries are migrated.
    wave        int         NOT NULL,
    up_to_date  bigint      NOT NULL DEFAULT 0,
    -- Why it ended before its time.
    error       text,
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz
);

-- A schema that was changed, or could not be. Those that had everything are only counted.
CREATE TABLE tenantry.run_schema (
    run_id      bigint      NOT NULL REFERENCES tenantry.run ON DELETE CASCADE,
    -- Empty for the master schema.
    slug        text        COLLATE "C" NOT NULL,
    wave        int         NOT NULL,
    state       text        NOT NULL CHECK (state IN ('migrated', 'failed')),
    -- Where it was before; unknown where it had not applied exactly the files up to some version.
    from_version bigint,
    applied     bigint[]    NOT NULL,
    undone      bigint[]    NOT NULL,
    error       text,
    elapsed_ms  bigint      NOT NULL,
    finished_at timestamptz NOT NULL,
    PRIMARY KEY (run_id, slug)
);
