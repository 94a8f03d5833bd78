-- The default database: the type of a tenant, by which its schema has files beside those of all tenants.
ALTER TABLE tenantry.tenant ADD COLUMN type text CHECK (type ~ '^[a-z][a-z0-9_]{0,30}$' AND type <> 'none');

CREATE OR REPLACE VIEW tenantry.tenant_lookup AS
    SELECT domain.name AS host, tenant.slug, tenant.schema_name AS schema, tenant.database,
        CASE WHEN tenant.status = 'suspended' AND (tenant.suspension->>'until')::timestamptz <= now() THEN 'active'
            ELSE tenant.status END AS status,
        tenant.type
    FROM tenantry.tenant
    LEFT JOIN tenantry.domain ON domain.tenant_id = tenant.id;
