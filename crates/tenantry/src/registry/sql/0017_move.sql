-- The default database: tenants on their way to another database, and the copies that are kept where they were.
--
-- A row is entered before the first step, and the last step ends it: a row without an end tells of a process that is at work,
-- or died. How far it came is asked of the two databases. A schema called `kept_schema` in the source says that the source is
-- closed, and from there on is no way back.
CREATE TABLE tenantry.move (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- No reference: what is kept may outlive the tenant.
    tenant_id    uuid        NOT NULL,
    -- The slug it had then.
    slug         text        COLLATE "C" NOT NULL,
    schema_name  text        NOT NULL,
    source       text        NOT NULL,
    target       text        NOT NULL,
    kept_schema  text        NOT NULL UNIQUE,
    keep_seconds bigint      NOT NULL CHECK (keep_seconds >= 0),
    operator     text        NOT NULL,
    step         text        NOT NULL CHECK (step IN ('planned', 'made', 'fenced', 'closed', 'done', 'undone')),
    begun_at     timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz CHECK ((ended_at IS NOT NULL) = (step IN ('done', 'undone'))),
    -- Set while the copy in the source is kept: from then on it may be dropped.
    purge_after  timestamptz
);
CREATE UNIQUE INDEX move_under_way ON tenantry.move (tenant_id) WHERE ended_at IS NULL;
CREATE INDEX move_kept ON tenantry.move (purge_after) WHERE purge_after IS NOT NULL;
