-- The default database: who the tenants are.

CREATE TABLE tenantry.tenant (
    id          uuid        PRIMARY KEY,
    slug        text        NOT NULL UNIQUE,
    schema_name text        NOT NULL,
    database    text        NOT NULL DEFAULT 'default',
    status      text        NOT NULL CHECK
        (status IN ('provisioning', 'active', 'suspended', 'deleted', 'purging', 'moving')),
    settings    jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
    -- Grows when the schema is dropped, renamed or moved.
    epoch       bigint      NOT NULL DEFAULT 0,
    last_error  text,
    purge_after timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (database, schema_name)
);

CREATE TABLE tenantry.domain (
    name       text        PRIMARY KEY,
    tenant_id  uuid        NOT NULL REFERENCES tenantry.tenant ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX domain_tenant_id ON tenantry.domain (tenant_id);

-- A stable interface for applications in other languages: one row per domain, and one with a null
-- host for a tenant that has none.
CREATE VIEW tenantry.tenant_lookup AS
    SELECT domain.name AS host, tenant.slug, tenant.schema_name AS schema, tenant.database, tenant.status
    FROM tenantry.tenant
    LEFT JOIN tenantry.domain ON domain.tenant_id = tenant.id;

-- Whoever changes a row, by whatever means, tells every cache.
CREATE FUNCTION tenantry.announce_tenant() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('tenantry', 'tenant ' || OLD.id || ' ' || OLD.slug);
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.slug <> OLD.slug) THEN
        PERFORM pg_notify('tenantry', 'tenant ' || NEW.id || ' ' || NEW.slug);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION tenantry.announce_domain() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_notify('tenantry', 'domain ' || OLD.name);
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.name <> OLD.name) THEN
        PERFORM pg_notify('tenantry', 'domain ' || NEW.name);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON tenantry.tenant
    FOR EACH ROW EXECUTE FUNCTION tenantry.announce_tenant();
CREATE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON tenantry.domain
    FOR EACH ROW EXECUTE FUNCTION tenantry.announce_domain();
