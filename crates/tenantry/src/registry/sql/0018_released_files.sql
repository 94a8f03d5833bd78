-- Every database: the files that are kept for a schema stay when its tenant is released, so that its next tenant has
-- them. The number of the schema tells it from a later one of the same name.
ALTER TABLE tenantry.kept_file DROP CONSTRAINT kept_file_schema_name_fkey, ADD COLUMN schema_number oid;
