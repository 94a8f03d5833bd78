-- The default database: what whoever makes a tenant is to know of each database. A row is made when there is something to
-- say.
CREATE TABLE tenantry.database (
    alias         text        PRIMARY KEY,
    -- Set while it takes no new tenants.
    closed_at     timestamptz,
    closed_by     text,
    -- Counted a while ago, and one more for each tenant that was sent there since: so to make one costs the same in a
    -- fleet of any size.
    tenants       bigint      NOT NULL DEFAULT 0,
    counted_at    timestamptz,
    -- Its size when it was measured, and the tenants that it had then.
    bytes         bigint,
    bytes_tenants bigint,
    -- When somebody last set out to measure it.
    measured_at   timestamptz,
    -- Grows with each tenant that is sent to any database.
    turn          bigint      NOT NULL DEFAULT 0,
    CHECK ((closed_at IS NULL) = (closed_by IS NULL)),
    CHECK ((bytes IS NULL) = (bytes_tenants IS NULL))
) WITH (fillfactor = 50);
