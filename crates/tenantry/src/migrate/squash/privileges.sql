-- Who may do what in a schema, as GRANT and ALTER DEFAULT PRIVILEGES name it. The owner's own name is not in it.
WITH schema AS (SELECT oid, nspname, nspowner, nspacl FROM pg_catalog.pg_namespace WHERE nspname = $1),
object AS (
    SELECT '' AS begin, 'SCHEMA ' || pg_catalog.quote_ident(nspname) AS target, NULL::text AS "column",
        nspowner AS owner, coalesce(nspacl, pg_catalog.acldefault('n', nspowner)) AS acl
    FROM schema

    UNION ALL
    SELECT '', CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END
            || pg_catalog.quote_ident(nspname) || '.' || pg_catalog.quote_ident(relname), NULL, relowner,
        coalesce(relacl, pg_catalog.acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
    FROM schema JOIN pg_catalog.pg_class ON relnamespace = schema.oid
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relname <> '_sqlx_migrations'

    UNION ALL
    SELECT '', 'TABLE ' || pg_catalog.quote_ident(nspname) || '.' || pg_catalog.quote_ident(relname), attname, relowner,
        attacl
    FROM schema JOIN pg_catalog.pg_class ON relnamespace = schema.oid
    JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid AND NOT attisdropped
    WHERE attacl IS NOT NULL

    UNION ALL
    SELECT '', 'ROUTINE ' || identity, NULL, proowner, coalesce(proacl, pg_catalog.acldefault('f', proowner))
    FROM schema JOIN pg_catalog.pg_proc ON pronamespace = schema.oid,
    LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, pg_proc.oid, 0)

    UNION ALL
    SELECT '', 'TYPE ' || pg_catalog.quote_ident(nspname) || '.' || pg_catalog.quote_ident(typname), NULL, typowner,
        coalesce(typacl, pg_catalog.acldefault('T', typowner))
    FROM schema JOIN pg_catalog.pg_type ON typnamespace = schema.oid
    LEFT JOIN pg_catalog.pg_class ON pg_class.oid = typrelid
    -- The types of arrays have no privileges of their own.
    WHERE typcategory <> 'A' AND coalesce(relkind, 'c') = 'c'

    UNION ALL
    SELECT 'ALTER DEFAULT PRIVILEGES '
            || CASE WHEN defaclrole = nspowner THEN '' ELSE 'FOR ROLE ' || defaclrole::pg_catalog.regrole || ' ' END
            || 'IN SCHEMA ' || pg_catalog.quote_ident(nspname) || ' ',
        CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES'
            WHEN 'L' THEN 'LARGE OBJECTS' ELSE 'SCHEMAS' END, NULL, defaclrole, defaclacl
    FROM schema JOIN pg_catalog.pg_default_acl ON defaclnamespace = schema.oid
)
SELECT begin, target,
    CASE WHEN grantee = 0 THEN 'PUBLIC' WHEN grantee = owner THEN 'CURRENT_USER'
        ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) END AS grantee,
    is_grantable,
    privilege_type || CASE WHEN "column" IS NULL THEN '' ELSE ' (' || pg_catalog.quote_ident("column") || ')' END
        AS "right"
FROM object, LATERAL pg_catalog.aclexplode(acl)
