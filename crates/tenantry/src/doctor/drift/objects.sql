-- What there is in some schemas, an object a row, with nothing in it that says which schema it is.
--
-- `kind`, `name` and `definition` are what is compared. `parent` is the table it belongs to. `make` and `remove`
-- are the statements that make or remove it, for a session whose search_path is the schema, in the order of
-- `rank`. `alter` is how a statement begins that makes another one like it, and its clauses, with chr(31)
-- between them. Left out on purpose, since they differ from tenant to tenant without harm: the
-- order of columns, owners, privileges, comments, storage options, statistics targets, rows.
WITH schema AS MATERIALIZED (
    SELECT oid AS schema, nspname::text AS schema_name, prefix, escaped, nspname::text ~ '_[0-9a-f]{10}$' AS is_unique,
        -- Behind a letter or a quote it would be the end of another name.
        /* pattern */ '(?<![[:alnum:]_$"])' || escaped AS pattern
    FROM pg_catalog.pg_namespace,
        LATERAL (SELECT pg_catalog.quote_ident(nspname) || '.') AS quoted (prefix),
        LATERAL (SELECT pg_catalog.regexp_replace(prefix, '([^[:alnum:]_])', '\\\1', 'g')) AS regular (escaped)
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
        relpartbound
    FROM member JOIN pg_catalog.pg_class ON pg_class.oid = objid
    WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND relname <> '_sqlx_migrations'
),
type AS MATERIALIZED (
    SELECT member.*, pg_type.oid, typname, typtype, typrelid, typbasetype, typtypmod, typnotnull, typdefault
    FROM member JOIN pg_catalog.pg_type ON pg_type.oid = objid
    WHERE classid = 'pg_catalog.pg_type'::pg_catalog.regclass
),
object AS (
    SELECT schema, prefix, pattern, schema_name, is_unique, 3 AS rank, 0 AS position,
        CASE relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind,
        relname::text AS parent, relname::text AS name,
        pg_catalog.concat_ws(' ', CASE relpersistence WHEN 'u' THEN 'UNLOGGED' END,
            'PARTITION BY ' || pg_catalog.pg_get_partkeydef(oid), pg_catalog.pg_get_expr(relpartbound, oid)
        ) AS definition,
        NULL::text AS make,
        NULL::text AS alter,
        '/* loses its rows: */ ' || pg_catalog.format('DROP TABLE %I', relname) AS remove
    FROM relation WHERE relkind IN ('r', 'p', 'f')

    UNION ALL
    SELECT relation.schema, prefix, pattern, schema_name, is_unique, 2, 0, 'sequence', NULL, relname::text, parameters,
        pg_catalog.format('CREATE SEQUENCE %I %s', relname, parameters),
        pg_catalog.format('ALTER SEQUENCE %I', relname) || pg_catalog.chr(31) || parameters,
        pg_catalog.format('DROP SEQUENCE IF EXISTS %I', relname)
    FROM relation JOIN pg_catalog.pg_sequence ON seqrelid = relation.oid,
        LATERAL (SELECT pg_catalog.format(
            'AS %s INCREMENT %s MINVALUE %s MAXVALUE %s START %s CACHE %s%s',
            pg_catalog.format_type(seqtypid, NULL), seqincrement, seqmin, seqmax, seqstart, seqcache,
            CASE WHEN seqcycle THEN ' CYCLE' ELSE '' END)) AS sequence (parameters)
    -- That of an identity column comes and goes with the column.
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS column_of
        WHERE column_of.classid = relation.classid AND column_of.objid = relation.oid AND deptype = 'i')

    UNION ALL
    SELECT relation.schema, prefix, pattern, schema_name, is_unique, 4, attnum, 'column', relname::text,
        relname::text || '.' || attname, definition,
        pg_catalog.format('ALTER TABLE %I ADD COLUMN %I %s', relname, attname, definition),
        CASE WHEN attgenerated = '' AND attidentity = '' THEN pg_catalog.concat_ws(pg_catalog.chr(31),
            pg_catalog.format('ALTER TABLE %I', relname),
            pg_catalog.format('ALTER COLUMN %1$I TYPE %2$s USING %1$I::%2$s', attname, type),
            pg_catalog.format('ALTER COLUMN %I %s', attname, coalesce('SET DEFAULT ' || expression, 'DROP DEFAULT')),
            pg_catalog.format('ALTER COLUMN %I %s NOT NULL', attname, CASE WHEN attnotnull THEN 'SET' ELSE 'DROP' END)
        ) END,
        '/* loses what is in it: */ ' || pg_catalog.format('ALTER TABLE %I DROP COLUMN %I', relname, attname)
    FROM relation
    JOIN pg_catalog.pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
    LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
    LEFT JOIN pg_catalog.pg_type AS own ON own.oid = atttypid
    LEFT JOIN pg_catalog.pg_collation ON pg_collation.oid = attcollation AND attcollation <> own.typcollation,
        LATERAL (SELECT pg_catalog.format_type(atttypid, atttypmod) || coalesce(
                ' COLLATE ' || pg_catalog.quote_ident(collname), ''),
            pg_catalog.pg_get_expr(adbin, adrelid)) AS parts (type, expression),
        LATERAL (SELECT pg_catalog.concat_ws(' ', type,
            CASE attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY'
                WHEN 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY' END,
            CASE attgenerated WHEN 's' THEN 'GENERATED ALWAYS AS (' || expression || ') STORED'
                WHEN 'v' THEN 'GENERATED ALWAYS AS (' || expression || ') VIRTUAL'
                ELSE 'DEFAULT ' || expression END,
            CASE WHEN attnotnull THEN 'NOT NULL' END)) AS whole (definition)
    WHERE relkind IN ('r', 'p', 'f')

    UNION ALL
    SELECT relation.schema, prefix, pattern, schema_name, is_unique, CASE contype WHEN 'f' THEN 7 ELSE 6 END,
        0, 'constraint', relname::text, relname::text || '.' || conname, definition,
        pg_catalog.format('ALTER TABLE %I ADD CONSTRAINT %I %s', relname, conname, definition), NULL,
        pg_catalog.format('ALTER TABLE %I DROP CONSTRAINT %I', relname, conname)
    FROM relation JOIN pg_catalog.pg_constraint ON conrelid = relation.oid,
        LATERAL (SELECT pg_catalog.pg_get_constraintdef(pg_constraint.oid)) AS text (definition)
    -- Those of `NOT NULL` are in the columns, and those of triggers are triggers.
    WHERE contype IN ('p', 'u', 'x', 'c', 'f')

    UNION ALL
    SELECT relation.schema, prefix, pattern, schema_name, is_unique, 8, 0, 'index', relation.relname::text,
        other.relname::text, definition || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END, definition, NULL,
        pg_catalog.format('DROP INDEX %I', other.relname)
    FROM relation JOIN pg_catalog.pg_index ON indrelid = relation.oid
    JOIN pg_catalog.pg_class AS other ON other.oid = indexrelid,
        LATERAL (SELECT pg_catalog.pg_get_indexdef(indexrelid, 0, true)) AS text (definition)
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint
        WHERE conrelid = indrelid AND conindid = indexrelid AND contype IN ('p', 'u', 'x'))

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique, 9, 0, kind, NULL, relname::text, definition,
        pg_catalog.format('CREATE %s %I AS %s', pg_catalog.upper(kind), relname, definition), NULL,
        pg_catalog.format('DROP %s %I', pg_catalog.upper(kind), relname)
    FROM relation,
        LATERAL (SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END,
            pg_catalog.rtrim(pg_catalog.pg_get_viewdef(oid), ';')) AS view (kind, definition)
    WHERE relkind IN ('v', 'm')

    UNION ALL
    SELECT relation.schema, prefix, pattern, schema_name, is_unique, 10, 0, 'trigger', relname::text,
        relname::text || '.' || tgname, definition || CASE tgenabled WHEN 'O' THEN '' ELSE ' ' || tgenabled::text END,
        definition, NULL, pg_catalog.format('DROP TRIGGER %I ON %I', tgname, relname)
    FROM relation JOIN pg_catalog.pg_trigger ON tgrelid = relation.oid AND NOT tgisinternal,
        LATERAL (SELECT pg_catalog.pg_get_triggerdef(pg_trigger.oid, true)) AS text (definition)

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique, 11, 0, 'row level security', relname::text, relname::text,
        definition, pg_catalog.format('ALTER TABLE %I %s', relname, definition), NULL,
        pg_catalog.format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', relname)
    FROM relation, LATERAL (SELECT 'ENABLE ROW LEVEL SECURITY'
        || CASE WHEN relforcerowsecurity THEN ', FORCE ROW LEVEL SECURITY' ELSE '' END) AS text (definition)
    WHERE relrowsecurity

    UNION ALL
    SELECT relation.schema, prefix, pattern, schema_name, is_unique, 12, 0, 'policy', relname::text,
        relname::text || '.' || polname, definition,
        pg_catalog.format('CREATE POLICY %I ON %I %s', polname, relname, definition), NULL,
        pg_catalog.format('DROP POLICY %I ON %I', polname, relname)
    FROM relation JOIN pg_catalog.pg_policy ON polrelid = relation.oid,
        LATERAL (SELECT pg_catalog.concat_ws(' ',
            CASE WHEN polpermissive THEN 'AS PERMISSIVE' ELSE 'AS RESTRICTIVE' END,
            CASE polcmd WHEN 'r' THEN 'FOR SELECT' WHEN 'a' THEN 'FOR INSERT' WHEN 'w' THEN 'FOR UPDATE'
                WHEN 'd' THEN 'FOR DELETE' ELSE 'FOR ALL' END,
            'USING (' || pg_catalog.pg_get_expr(polqual, polrelid) || ')',
            'WITH CHECK (' || pg_catalog.pg_get_expr(polwithcheck, polrelid) || ')')) AS text (definition)

    UNION ALL
    SELECT member.schema, prefix, pattern, schema_name, is_unique, 5, 0, 'function', NULL, signature, definition,
        definition, NULL, 'DROP ROUTINE ' || signature
    FROM member JOIN pg_catalog.pg_proc ON pg_proc.oid = objid,
        LATERAL (SELECT pg_catalog.quote_ident(proname) || '('
                || pg_catalog.regexp_replace(
                    pg_catalog.pg_get_function_identity_arguments(pg_proc.oid), pattern, '', 'g') || ')',
            -- An aggregate has no text.
            CASE WHEN prokind <> 'a' THEN pg_catalog.replace(pg_catalog.regexp_replace(
                pg_catalog.pg_get_functiondef(pg_proc.oid), '^(CREATE OR REPLACE [A-Z]+ )' || escaped, '\1'),
                'SET search_path TO ' || pg_catalog.quote_literal(schema_name),
                'SET search_path TO ''__own_schema__''') END) AS text (signature, definition)
    WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass

    UNION ALL
    SELECT type.schema, prefix, pattern, schema_name, is_unique, 1, 0,
        CASE typtype WHEN 'd' THEN 'domain' ELSE 'type' END, NULL, typname::text, definition,
        pg_catalog.format(CASE typtype WHEN 'd' THEN 'CREATE DOMAIN %I %s' ELSE 'CREATE TYPE %I %s' END, typname,
            definition), NULL,
        pg_catalog.format('DROP TYPE %I', typname)
    FROM type, LATERAL (SELECT CASE typtype
        WHEN 'e' THEN (SELECT 'AS ENUM ('
            || pg_catalog.string_agg(pg_catalog.quote_literal(enumlabel), ', ' ORDER BY enumsortorder) || ')'
            FROM pg_catalog.pg_enum WHERE enumtypid = type.oid)
        WHEN 'c' THEN (SELECT 'AS (' || pg_catalog.string_agg(pg_catalog.quote_ident(attname) || ' '
            || pg_catalog.format_type(atttypid, atttypmod), ', ' ORDER BY attnum) || ')'
            FROM pg_catalog.pg_attribute WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped)
        WHEN 'r' THEN (SELECT 'AS RANGE (SUBTYPE = ' || pg_catalog.format_type(rngsubtype, NULL) || ')'
            FROM pg_catalog.pg_range WHERE rngtypid = type.oid)
        ELSE pg_catalog.concat_ws(' ', 'AS ' || pg_catalog.format_type(typbasetype, typtypmod),
            'DEFAULT ' || typdefault, CASE WHEN typnotnull THEN 'NOT NULL' END,
            (SELECT pg_catalog.string_agg(pg_catalog.format('CONSTRAINT %I %s', conname,
                pg_catalog.pg_get_constraintdef(pg_constraint.oid)), ' ' ORDER BY conname)
             FROM pg_catalog.pg_constraint WHERE contypid = type.oid AND contype = 'c'))
        END) AS text (definition)
    WHERE typtype IN ('e', 'c', 'd', 'r')
)
