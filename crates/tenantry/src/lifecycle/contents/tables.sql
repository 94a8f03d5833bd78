-- The tables of a schema that have rows of their own. $1 is the schema.
SELECT c.relname::text AS name,
    ARRAY(
        SELECT attname::text FROM pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
    ) AS columns,
    -- A type of the schema's own is another one in the copy, and a `regclass` would go on meaning what it means here.
    EXISTS (
        SELECT FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            AND (t.typnamespace = n.oid
                OR t.typname ~ '^_?reg' AND t.typnamespace = 'pg_catalog'::regnamespace)
    ) AS by_text,
    -- The value of an enum has another hash in the copy, so that its row may belong into another partition.
    CASE WHEN c.relispartition
        THEN (SELECT root.relname::text FROM pg_class AS root WHERE root.oid = pg_partition_root(c.oid))
    END AS root,
    -- A role that the owner can become, and from which policies hide nothing, where they hide rows from the owner.
    CASE WHEN c.relforcerowsecurity AND c.relrowsecurity AND NOT me.sees_all THEN (
        SELECT r.rolname::text FROM pg_roles AS r
        WHERE (r.rolbypassrls OR r.rolsuper) AND pg_has_role(me.oid, r.oid,
                CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)
            AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'SELECT')
        ORDER BY r.rolsuper, r.oid LIMIT 1)
    END AS reader
FROM (SELECT oid, rolsuper OR rolbypassrls AS sees_all FROM pg_roles WHERE rolname = current_user) AS me,
    pg_namespace AS n
JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'
JOIN pg_class AS c ON c.oid = d.objid
WHERE n.nspname = $1 AND d.classid = 'pg_class'::regclass AND c.relkind = 'r' AND c.relname <> '_sqlx_migrations'
    AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
ORDER BY c.oid
