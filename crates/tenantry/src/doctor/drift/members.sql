-- Begins a query about what is in some schemas.
WITH schema AS MATERIALIZED (
    SELECT oid AS schema, nspname::text AS schema_name, nspacl, nspowner, prefix, escaped, own_role,
        own_role IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = own_role) AS has_role,
        nspname::text ~ '_[0-9a-f]{10}$' AS is_unique,
        -- Behind a letter or a quote it would be the end of another name.
        /* pattern */ '(?<![[:alnum:]_$"])' || escaped AS pattern
    FROM pg_catalog.pg_namespace,
        LATERAL (SELECT pg_catalog.quote_ident(nspname) || '.') AS quoted (prefix),
        LATERAL (SELECT pg_catalog.regexp_replace(prefix, '([^[:alnum:]_])', '\\\1', 'g')) AS regular (escaped),
        -- Null where tenants have no roles of their own.
        LATERAL (SELECT /* role prefix */ || nspname) AS named (own_role)
    WHERE nspname IN (/* schemas */)
),
-- The only index that leads from a schema to what is in it; the catalogs themselves are not read through.
member AS MATERIALIZED (
    SELECT schema.*, classid, objid FROM schema
    JOIN pg_catalog.pg_depend ON refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
        AND refobjid = schema.schema
),
relation AS MATERIALIZED (
    SELECT member.*, pg_class.oid, relname, relkind, relpersistence, relrowsecurity, relforcerowsecurity,
        relpartbound, relhastriggers, relowner, relacl
    FROM member JOIN pg_catalog.pg_class ON pg_class.oid = objid
    WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND relname <> '_sqlx_migrations'
),
type AS MATERIALIZED (
    SELECT member.*, pg_type.oid, typname, typtype, typrelid, typbasetype, typtypmod, typnotnull, typdefault,
        typowner, typacl, definition
    FROM member JOIN pg_catalog.pg_type ON pg_type.oid = objid,
        LATERAL (SELECT CASE typtype
        WHEN 'e' THEN (SELECT 'AS ENUM ('
            || pg_catalog.string_agg(pg_catalog.quote_literal(enumlabel), ', ' ORDER BY enumsortorder) || ')'
            FROM pg_catalog.pg_enum WHERE enumtypid = pg_type.oid)
        WHEN 'c' THEN (SELECT 'AS (' || pg_catalog.string_agg(pg_catalog.quote_ident(attname) || ' '
            || pg_catalog.format_type(atttypid, atttypmod), ', ' ORDER BY attnum) || ')'
            FROM pg_catalog.pg_attribute WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped)
        WHEN 'r' THEN (SELECT 'AS RANGE (SUBTYPE = ' || pg_catalog.format_type(rngsubtype, NULL) || ')'
            FROM pg_catalog.pg_range WHERE rngtypid = pg_type.oid)
        ELSE pg_catalog.concat_ws(' ', 'AS ' || pg_catalog.format_type(typbasetype, typtypmod),
            'DEFAULT ' || typdefault, CASE WHEN typnotnull THEN 'NOT NULL' END,
            (SELECT pg_catalog.string_agg(pg_catalog.format('CONSTRAINT %I %s', conname,
                pg_catalog.pg_get_constraintdef(pg_constraint.oid)), ' ' ORDER BY conname)
             FROM pg_catalog.pg_constraint WHERE contypid = pg_type.oid AND contype = 'c'))
        END) AS text (definition)
    WHERE classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND typtype IN ('e', 'c', 'd', 'r')
),
