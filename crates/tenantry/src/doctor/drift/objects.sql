-- What there is in some schemas, an object a row, with nothing in it that says which schema it is.
--
-- `kind`, `name` and `definition` are what is compared. `parent` is the table it belongs to. `make` and `remove`
-- are the statements that make or remove it, for a session whose search_path is the schema, in the order of
-- `rank`. `alter` is how a statement begins that makes another one like it, and its clauses, with chr(31)
-- between them. Left out on purpose, since they differ from tenant to tenant without harm: owners, comments,
-- storage options, statistics targets, rows.
-- Who may do what with what, without the owner, who may do anything.
granted AS (
    SELECT schema, prefix, pattern, schema_name, is_unique, parent, place, begins, target,
        CASE WHEN grantee = 0 THEN 'PUBLIC' WHEN name = own_role THEN 'the role of the tenant' ELSE name END AS grantee,
        CASE WHEN grantee = 0 THEN 'PUBLIC'
            WHEN name = own_role THEN pg_catalog.quote_ident(
                pg_catalog.left(own_role, -pg_catalog.length(schema_name)) || '__own_schema__')
            ELSE pg_catalog.quote_ident(name) END AS receiver,
        pg_catalog.string_agg(DISTINCT privilege, ', ') FILTER (WHERE NOT is_grantable) AS plain,
        pg_catalog.string_agg(DISTINCT privilege, ', ') FILTER (WHERE is_grantable) AS grantable
    FROM (
        SELECT schema, prefix, pattern, schema_name, is_unique, own_role,
            -- The sequence of an identity column comes with its table.
            coalesce((SELECT pg_class.relname FROM pg_catalog.pg_depend AS column_of
                JOIN pg_catalog.pg_class ON pg_class.oid = column_of.refobjid
                WHERE column_of.classid = relation.classid AND column_of.objid = relation.oid AND deptype = 'i'
                    AND relkind = 'S' LIMIT 1), relname)::text AS parent,
            relname::text AS place, '' AS begins, NULL::text AS of_column,
            CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END || pg_catalog.quote_ident(relname) AS target, relowner AS owner,
            coalesce(relacl, pg_catalog.acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) AS acl
        FROM relation WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S')

        UNION ALL
        SELECT schema, prefix, pattern, schema_name, is_unique, own_role, relname::text, relname || '.' || attname, '',
            pg_catalog.quote_ident(attname), pg_catalog.quote_ident(relname), relowner, attacl
        FROM relation JOIN pg_catalog.pg_attribute ON attrelid = relation.oid AND NOT attisdropped AND attacl IS NOT NULL
        WHERE relkind IN ('r', 'p', 'f', 'v', 'm')

        UNION ALL
        SELECT schema, prefix, pattern, schema_name, is_unique, own_role, signature, signature, '', NULL,
            'ROUTINE ' || signature, proowner, coalesce(proacl, pg_catalog.acldefault('f', proowner))
        FROM member JOIN pg_catalog.pg_proc ON pg_proc.oid = objid,
            LATERAL (SELECT pg_catalog.quote_ident(proname) || '(' || pg_catalog.regexp_replace(
                pg_catalog.pg_get_function_identity_arguments(pg_proc.oid), pattern, '', 'g') || ')') AS text (signature)
        WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass

        UNION ALL
        SELECT schema, prefix, pattern, schema_name, is_unique, own_role, typname::text, typname::text, '', NULL,
            'TYPE ' || pg_catalog.quote_ident(typname), typowner,
            coalesce(typacl, pg_catalog.acldefault('T', typowner))
        FROM type

        UNION ALL
        SELECT schema, prefix, pattern, schema_name, is_unique, own_role, NULL, 'the schema', '', NULL,
            'SCHEMA "__own_schema__"', nspowner, nspacl
        FROM schema

        UNION ALL
        SELECT schema, prefix, pattern, schema_name, is_unique, own_role, NULL,
            pg_catalog.lower(objects) || ' to come of ' || maker,
            pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA "__own_schema__" ', maker), NULL, objects,
            defaclrole, defaclacl
        FROM member JOIN pg_catalog.pg_default_acl ON pg_default_acl.oid = objid,
            LATERAL (SELECT pg_catalog.pg_get_userbyid(defaclrole)::text,
                CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                    ELSE 'TYPES' END) AS text (maker, objects)
        WHERE classid = 'pg_catalog.pg_default_acl'::pg_catalog.regclass
    ) AS object,
        LATERAL pg_catalog.aclexplode(acl) AS entry,
        LATERAL (SELECT pg_catalog.pg_get_userbyid(grantee)::text,
            privilege_type || coalesce(' (' || of_column || ')', '')) AS text (name, privilege)
    WHERE grantee <> owner
        -- Whether tenants are served is looked at elsewhere.
        AND NOT (parent IS NULL AND begins = '' AND name IN (/* application */, coalesce(own_role, '')))
    GROUP BY schema, prefix, pattern, schema_name, is_unique, own_role, parent, place, begins, target, grantee, name
),
object AS (
    SELECT schema, prefix, pattern, schema_name, is_unique, 3 AS rank, 0 AS position,
        CASE relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind,
        relname::text AS parent, relname::text AS name,
        pg_catalog.concat_ws(' ', CASE relpersistence WHEN 'u' THEN 'UNLOGGED' END,
            'PARTITION BY ' || pg_catalog.pg_get_partkeydef(oid),
            (SELECT CASE WHEN relpartbound IS NULL THEN 'INHERITS ' ELSE 'PARTITION OF ' END || pg_catalog.string_agg(
                inhparent::pg_catalog.regclass::text, ', ' ORDER BY inhseqno)
             FROM pg_catalog.pg_inherits WHERE inhrelid = relation.oid),
            pg_catalog.pg_get_expr(relpartbound, oid)
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
            'TO ' || nullif((SELECT pg_catalog.string_agg(
                CASE role WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(role)) END, ', '
                ORDER BY pg_catalog.pg_get_userbyid(role)) FROM pg_catalog.unnest(polroles) AS role), 'PUBLIC'),
            'USING (' || pg_catalog.pg_get_expr(polqual, polrelid) || ')',
            'WITH CHECK (' || pg_catalog.pg_get_expr(polwithcheck, polrelid) || ')')) AS text (definition)

    UNION ALL
    SELECT member.schema, prefix, pattern, schema_name, is_unique, 5, 0, 'function', NULL, signature, definition,
        definition, NULL, 'DROP ROUTINE ' || signature
    FROM member JOIN pg_catalog.pg_proc ON pg_proc.oid = objid,
        LATERAL (SELECT pg_catalog.quote_ident(proname) || '('
                || pg_catalog.regexp_replace(
                    pg_catalog.pg_get_function_identity_arguments(pg_proc.oid), pattern, '', 'g') || ')',
            CASE WHEN prokind <> 'a' THEN pg_catalog.replace(pg_catalog.regexp_replace(
                pg_catalog.pg_get_functiondef(pg_proc.oid), '^(CREATE OR REPLACE [A-Z]+ )' || escaped, '\1'),
                'SET search_path TO ' || pg_catalog.quote_literal(schema_name),
                'SET search_path TO ''__own_schema__''')
            -- The server writes no text of one.
            ELSE (SELECT pg_catalog.format('CREATE AGGREGATE %I(%s) (%s)', proname,
                coalesce(nullif(pg_catalog.pg_get_function_arguments(pg_proc.oid), ''), '*'), pg_catalog.concat_ws(', ',
                    'SFUNC = ' || aggtransfn::text, 'STYPE = ' || pg_catalog.format_type(aggtranstype, NULL),
                    'SSPACE = ' || nullif(aggtransspace, 0)::text, 'FINALFUNC = ' || nullif(aggfinalfn::text, '-'),
                    CASE WHEN aggfinalextra THEN 'FINALFUNC_EXTRA' END, 'FINALFUNC_MODIFY = ' || CASE aggfinalmodify
                        WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END,
                    'COMBINEFUNC = ' || nullif(aggcombinefn::text, '-'),
                    'SERIALFUNC = ' || nullif(aggserialfn::text, '-'),
                    'DESERIALFUNC = ' || nullif(aggdeserialfn::text, '-'),
                    'INITCOND = ' || pg_catalog.quote_literal(agginitval),
                    'MSFUNC = ' || nullif(aggmtransfn::text, '-'), 'MINVFUNC = ' || nullif(aggminvtransfn::text, '-'),
                    'MSTYPE = ' || pg_catalog.format_type(nullif(aggmtranstype, 0), NULL),
                    'MSSPACE = ' || nullif(aggmtransspace, 0)::text, 'MFINALFUNC = ' || nullif(aggmfinalfn::text, '-'),
                    CASE WHEN aggmfinalextra THEN 'MFINALFUNC_EXTRA' END,
                    CASE WHEN aggmtransfn <> 0 THEN 'MFINALFUNC_MODIFY = ' || CASE aggmfinalmodify
                        WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END END,
                    'MINITCOND = ' || pg_catalog.quote_literal(aggminitval),
                    (SELECT pg_catalog.format('SORTOP = OPERATOR(%I.%s)', nspname, oprname)
                     FROM pg_catalog.pg_operator JOIN pg_catalog.pg_namespace ON pg_namespace.oid = oprnamespace
                     WHERE pg_operator.oid = aggsortop),
                    CASE proparallel WHEN 's' THEN 'PARALLEL = SAFE' WHEN 'r' THEN 'PARALLEL = RESTRICTED' END,
                    CASE aggkind WHEN 'h' THEN 'HYPOTHETICAL' END))
                FROM pg_catalog.pg_aggregate WHERE aggfnoid = pg_proc.oid) END) AS text (signature, definition)
    WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass

    UNION ALL
    SELECT type.schema, prefix, pattern, schema_name, is_unique, 1, 0,
        CASE typtype WHEN 'd' THEN 'domain' ELSE 'type' END, NULL, typname::text, definition,
        pg_catalog.format(CASE typtype WHEN 'd' THEN 'CREATE DOMAIN %I %s' ELSE 'CREATE TYPE %I %s' END, typname,
            definition), NULL,
        pg_catalog.format('DROP TYPE %I', typname)
    FROM type

    UNION ALL
    -- What is compared is the order of those columns that both tables have.
    SELECT relation.schema, prefix, pattern, schema_name, is_unique, 4, 0, 'column order', relname::text, relname::text,
        pg_catalog.string_agg(attname, pg_catalog.chr(31) ORDER BY attnum), NULL, NULL, NULL
    FROM relation JOIN pg_catalog.pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
    WHERE relkind IN ('r', 'p', 'f')
    GROUP BY relation.schema, prefix, pattern, schema_name, is_unique, relname

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique, 13, 0, 'grant', parent,
        'on ' || place || ' to ' || grantee,
        pg_catalog.concat_ws(', ', plain, grantable || ' WITH GRANT OPTION'),
        pg_catalog.concat_ws('; ', begins || 'GRANT ' || plain || ' ON ' || target || ' TO ' || receiver,
            begins || 'GRANT ' || grantable || ' ON ' || target || ' TO ' || receiver || ' WITH GRANT OPTION'),
        NULL,
        begins || 'REVOKE ' || pg_catalog.concat_ws(', ', plain, grantable) || ' ON ' || target || ' FROM ' || receiver
    FROM granted

    UNION ALL
    -- No statement of the application trips over these, so they are for the hash alone: it keeps schemas apart that
    -- the files may tell from each other.
    SELECT schema, prefix, pattern, schema_name, is_unique, 14, 0, 'owner', NULL, name,
        pg_catalog.pg_get_userbyid(owner)::text, NULL, NULL, NULL
    FROM (
        SELECT schema, prefix, pattern, schema_name, is_unique, nspowner, '', nspowner, true FROM schema
        UNION ALL
        SELECT schema, prefix, pattern, schema_name, is_unique, nspowner, relname::text, relowner, false FROM relation
        UNION ALL
        SELECT schema, prefix, pattern, schema_name, is_unique, nspowner, proname::text, proowner, false
        FROM member JOIN pg_catalog.pg_proc ON pg_proc.oid = objid WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
        UNION ALL
        SELECT schema, prefix, pattern, schema_name, is_unique, nspowner, typname::text, typowner, false FROM type
    ) AS owned (schema, prefix, pattern, schema_name, is_unique, nspowner, name, owner, is_schema)
    WHERE is_schema OR owner <> nspowner
)
