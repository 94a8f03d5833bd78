-- The default database: slugs that tenants had before they were renamed, which nobody else gets for a while.

CREATE TABLE tenantry.former_slug (
    slug           text        PRIMARY KEY,
    tenant_id      uuid        NOT NULL REFERENCES tenantry.tenant ON DELETE CASCADE,
    redirect_until timestamptz NOT NULL,
    renamed_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX former_slug_tenant_id ON tenantry.former_slug (tenant_id);

-- After the unique index of `tenant.slug` has let the row in: whoever wants a slug at the moment when its tenant is
-- renamed has waited there for the end of that, so this look finds what was committed by it.
CREATE FUNCTION tenantry.keep_former_slug() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    DELETE FROM tenantry.former_slug
        WHERE slug = NEW.slug AND (tenant_id = NEW.id OR redirect_until <= clock_timestamp());
    IF EXISTS (SELECT FROM tenantry.former_slug WHERE slug = NEW.slug) THEN
        RAISE unique_violation USING
            MESSAGE = format('the slug %L was the slug of another tenant until recently', NEW.slug),
            CONSTRAINT = 'former_slug_pkey';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER former_slug AFTER INSERT OR UPDATE OF slug ON tenantry.tenant
    FOR EACH ROW EXECUTE FUNCTION tenantry.keep_former_slug();
