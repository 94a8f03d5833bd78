-- What an archive says of a schema beside its texts. $1 is the schema.
WITH RECURSIVE rel AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relkind, c.relispopulated FROM pg_namespace AS n
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'
    JOIN pg_class AS c ON c.oid = d.objid
    WHERE n.nspname = $1 AND d.classid = 'pg_class'::regclass
),
reads (view, read) AS MATERIALIZED (
    SELECT DISTINCT ev_class, d.refobjid FROM rel JOIN pg_rewrite AS r ON r.ev_class = rel.oid
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> ev_class AND rel.relkind IN ('v', 'm')
),
reach (view, read) AS (
    SELECT * FROM reads
    UNION
    SELECT reach.view, reads.read FROM reach JOIN reads ON reads.view = reach.read
)
SELECT
    -- One that reads another reads all that the other does, and the other.
    ARRAY(
        SELECT relname::text FROM rel WHERE relkind = 'm' AND relispopulated
        ORDER BY (SELECT count(*) FROM reach WHERE view = rel.oid), oid
    ) AS materialized_views,
    -- A condition that calls a function may ask another table, which has to have its rows by then.
    ARRAY(
        SELECT DISTINCT rel.relname::text FROM rel JOIN pg_constraint AS k ON k.conrelid = rel.oid AND k.contype = 'c'
        JOIN pg_depend AS d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
        WHERE d.refclassid = 'pg_proc'::regclass
    ) AS asking_tables,
    ARRAY(SELECT relname::text FROM rel WHERE relkind = 'S' ORDER BY oid) AS sequences,
    pg_catalog.current_setting('server_version_num')::int AS server_version,
    pg_catalog.current_setting('server_encoding') AS encoding,
    current_user::text AS owner
