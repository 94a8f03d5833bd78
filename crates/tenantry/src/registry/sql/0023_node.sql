-- The default database: the node of a Citus cluster that the tables of a tenant are on, as `host:port`.
ALTER TABLE tenantry.tenant ADD COLUMN node text CHECK (node LIKE '_%:_%');

CREATE OR REPLACE VIEW tenantry.tenant_lookup AS
    SELECT domain.name AS host, tenant.slug, tenant.schema_name AS schema, tenant.database,
        CASE WHEN tenant.status = 'suspended' AND (tenant.suspension->>'until')::timestamptz <= now() THEN 'active'
            ELSE tenant.status END AS status,
        tenant.type, tenant.node
    FROM tenantry.tenant
    LEFT JOIN tenantry.domain ON domain.tenant_id = tenant.id;
