-- Goes on behind `object`, with a `permission (kind, name, definition)` a row: who owns and may use what, as far as it
-- is not what every new tenant has without a word of its files.
--
-- $6 is the role of the application, $7 the role that migrates, or NULL if it is this session's. What every tenant has
-- are the owner's privileges, those of everybody on functions and types, and those of the application and of the
-- tenant's own role. A definition says what the object is and how a statement names it.
maker AS MATERIALIZED (
    SELECT oid FROM pg_roles WHERE rolname = coalesce($7, current_user)
),
-- Those whom default privileges serve. Of a role that may not use the schema, doctor tells elsewhere.
served AS MATERIALIZED (
    SELECT pg_roles.oid FROM pg_roles, own
    WHERE pg_roles.oid <> (SELECT oid FROM maker)
        AND (rolname = $6 OR rolname = $2 AND has_schema_privilege(pg_roles.oid, own.oid, 'USAGE'))
),
given (letter, privilege) AS MATERIALIZED (
    VALUES ('r', 'SELECT'), ('r', 'INSERT'), ('r', 'UPDATE'), ('r', 'DELETE'),
        ('s', 'USAGE'), ('s', 'SELECT'), ('s', 'UPDATE'), ('f', 'EXECUTE')
),
-- `letter` is the kind of what is served, `usual` that of what the server gives. `owned` is for `ALTER … OWNER TO`.
held (part, place, begins, target, of_column, owned, letter, usual, owner, acl) AS (
    SELECT 'schema', 'the schema', '', 'SCHEMA "__own_schema__"', NULL::text, 'SCHEMA "__own_schema__"', '',
        'n'::"char", nspowner, coalesce(nspacl, acldefault('n', nspowner))
    FROM own
    UNION ALL
    SELECT 'relation', relname::text, '',
        CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || quote_ident(relname), NULL,
        CASE WHEN relkind = 'v' THEN 'VIEW ' WHEN relkind = 'm' THEN 'MATERIALIZED VIEW '
            WHEN relkind = 'f' THEN 'FOREIGN TABLE ' WHEN relkind <> 'S' THEN 'TABLE '
            -- That of a column goes with its table.
            WHEN NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = rel.oid
                AND d.refobjsubid <> 0 AND d.deptype IN ('a', 'i')) THEN 'SEQUENCE ' END || quote_ident(relname),
        usual::text, usual, relowner, coalesce(relacl, acldefault(usual, relowner))
    FROM rel, LATERAL (SELECT CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char") AS kind (usual)
    UNION ALL
    SELECT 'column', concat_ws('.', rel.relname, attname), '', 'TABLE ' || quote_ident(rel.relname),
        quote_ident(attname), NULL, '', NULL, relowner, attacl
    FROM rel JOIN pg_attribute ON attrelid = rel.oid
    WHERE NOT attisdropped AND attacl IS NOT NULL
    UNION ALL
    SELECT 'routine', signature, '', 'ROUTINE ' || signature, NULL, 'ROUTINE ' || signature, 'f', 'f', proowner,
        coalesce(proacl, acldefault('f', proowner))
    FROM proc AS p, LATERAL (SELECT p.oid::regprocedure::text) AS text (signature)
    -- Those of a range come with its type, and belong to the server.
    WHERE NOT EXISTS (SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    UNION ALL
    SELECT 'type', typname::text, '', 'TYPE ' || quote_ident(typname), NULL, 'TYPE ' || quote_ident(typname), '', 'T',
        typowner, coalesce(typacl, acldefault('T', typowner))
    FROM typ
    UNION ALL
    SELECT 'default', lower(objects) || ' to come' || CASE WHEN is_maker THEN '' ELSE ' of ' || role END,
        'ALTER DEFAULT PRIVILEGES ' || CASE WHEN is_maker THEN '' ELSE format('FOR ROLE %I ', role) END
            || 'IN SCHEMA "__own_schema__" ',
        objects, NULL, NULL, CASE WHEN is_maker THEN lower(kind::text) ELSE '' END, NULL, maker, acl
    FROM (
        SELECT defaclrole, defaclobjtype, defaclacl FROM defaults
        UNION ALL
        -- Where there is none at all, it is missing.
        SELECT oid, letter, NULL::aclitem[] FROM maker, pg_catalog.unnest('{r,S,f}'::"char"[]) AS letter
        WHERE NOT EXISTS (SELECT FROM defaults WHERE defaclrole = maker.oid AND defaclobjtype = letter)
    ) AS each (maker, kind, acl),
        LATERAL (SELECT pg_get_userbyid(maker)::text, maker = (SELECT oid FROM maker),
            CASE kind WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES' ELSE 'TYPES' END
        ) AS text (role, is_maker, objects)
),
permission (kind, name, definition) AS (
    SELECT 'owner', place, jsonb_build_array(part, place, owned, pg_get_userbyid(owner),
        pg_has_role((SELECT oid FROM maker), owner, 'USAGE'),
        part <> 'schema' AND owner = (SELECT nspowner FROM own))
    FROM held
    WHERE owned IS NOT NULL AND owner <> (SELECT oid FROM maker)
    UNION ALL
    SELECT 'grant', 'on ' || place || ' to ' || role,
        jsonb_build_array(part, place, begins, target, receiver, is_now, is_usual)
    FROM held, LATERAL (
        SELECT grantee, coalesce(jsonb_agg(said ORDER BY said) FILTER (WHERE is_there), '[]'),
            coalesce(jsonb_agg(said ORDER BY said) FILTER (WHERE NOT is_there), '[]')
        FROM (
            SELECT DISTINCT grantee, is_there, privilege || coalesce(' (' || of_column || ')', '')
                || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
            FROM (
                SELECT a.grantee, a.privilege_type, a.is_grantable, true FROM aclexplode(acl) AS a
                UNION ALL
                SELECT a.grantee, a.privilege_type, a.is_grantable, false FROM aclexplode(acldefault(usual, owner)) AS a
                WHERE usual IS NOT NULL
                UNION ALL
                SELECT served.oid, given.privilege, false, false FROM served, given
                WHERE given.letter = held.letter AND served.oid <> owner
            ) AS each (grantee, privilege, is_grantable, is_there)
        ) AS once (grantee, is_there, said)
        GROUP BY grantee
    ) AS both_ways (grantee, is_now, is_usual),
        LATERAL (SELECT pg_get_userbyid(grantee)::text) AS named (name),
        LATERAL (
            SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' WHEN grantee = owner THEN 'the owner'
                    WHEN name = $6 THEN 'the application' WHEN name = $2 THEN 'the role of the tenant' ELSE name END,
                CASE WHEN grantee = 0 THEN 'PUBLIC' WHEN grantee = owner THEN 'CURRENT_USER'
                    WHEN name = $2 THEN quote_ident(pg_catalog.left($2, -length($1)) || '__own_schema__')
                    ELSE quote_ident(name) END
        ) AS whose (role, receiver)
    -- Whether tenants are served is looked at elsewhere, and who migrates needs no privilege on what becomes its own.
    WHERE is_now <> is_usual AND NOT (part = 'schema' AND grantee IN (SELECT oid FROM served))
        AND (grantee = owner OR grantee <> (SELECT oid FROM maker))
)
