-- The default database: what a deleted tenant was before, so that it comes back as that.
ALTER TABLE tenantry.tenant ADD COLUMN status_before text CHECK (status_before IN ('active', 'suspended'));

-- For those whose time has come, among any number of others.
CREATE INDEX tenant_leaving ON tenantry.tenant (slug COLLATE "C") WHERE status IN ('deleted', 'purging');
-- A schema that two rows name is dropped for neither.
CREATE INDEX tenant_schema_name ON tenantry.tenant (schema_name);
