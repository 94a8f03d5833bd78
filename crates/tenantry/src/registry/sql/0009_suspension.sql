-- The default database: why a tenant is suspended, what its customer is told, and until when.
--
-- It stays while the tenant is deleted, so that `undelete` brings back a suspended tenant as one. A suspension whose end has
-- come counts no more: whoever reads the row judges that, and nobody has to change it.
ALTER TABLE tenantry.tenant ADD COLUMN suspension jsonb CHECK (
    jsonb_typeof(suspension) = 'object'
    -- Who compares it with a time must not meet anything else.
    AND (NOT suspension ? 'until' OR (suspension->>'until')::timestamptz IS NOT NULL)
);

CREATE OR REPLACE VIEW tenantry.tenant_lookup AS
    SELECT domain.name AS host, tenant.slug, tenant.schema_name AS schema, tenant.database,
        CASE WHEN tenant.status = 'suspended' AND (tenant.suspension->>'until')::timestamptz <= now() THEN 'active'
            ELSE tenant.status END AS status
    FROM tenantry.tenant
    LEFT JOIN tenantry.domain ON domain.tenant_id = tenant.id;
