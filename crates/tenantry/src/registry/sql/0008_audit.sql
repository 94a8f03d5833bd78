-- The default database: what was done to each tenant, by whom, and how it ended.
--
-- What is one transaction is entered by it, as `done`. What takes several is entered before the first, so that an entry
-- that stays `begun` tells of a process that ended too early.
CREATE TABLE tenantry.audit (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- No reference: the entry outlives the tenant.
    tenant_id  uuid        NOT NULL,
    -- The slug it had then.
    slug       text        COLLATE "C" NOT NULL,
    -- No list of verbs here: programs of two versions write side by side.
    verb       text        NOT NULL,
    operator   text        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('begun', 'done', 'failed', 'undone')),
    -- What was asked for.
    options    jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
    -- Of the archive that was written or read.
    digest     bytea       CHECK (length(digest) = 32),
    error      text,
    begun_at   timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz CHECK ((ended_at IS NULL) = (state = 'begun'))
);
CREATE INDEX audit_tenant_id ON tenantry.audit (tenant_id, id);
CREATE INDEX audit_begun ON tenantry.audit (id) WHERE state = 'begun';
