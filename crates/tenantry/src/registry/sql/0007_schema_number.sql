-- Every database: the number of a schema, which stays the same when it is renamed, so that a renamed one can be found.
--
-- Written whenever `owns_types` is. After a restore from a dump all schemas have others, and these numbers mean nothing.
ALTER TABLE tenantry.applied ADD COLUMN schema_number oid;

UPDATE tenantry.applied SET schema_number =
    (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = schema_name);
