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
    END AS root
FROM pg_namespace AS n
JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'
JOIN pg_class AS c ON c.oid = d.objid
WHERE n.nspname = $1 AND d.classid = 'pg_class'::regclass AND c.relkind = 'r' AND c.relname <> '_sqlx_migrations'
    AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
ORDER BY c.oid
