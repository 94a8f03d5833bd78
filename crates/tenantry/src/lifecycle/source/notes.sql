-- What a copy of a schema is without, or has beyond it. $1 is the schema, to which the `search_path` leads.
WITH own AS MATERIALIZED (
    SELECT oid FROM pg_namespace WHERE nspname = $1
),
rel AS MATERIALIZED (
    SELECT c.* FROM own
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = own.oid AND d.deptype = 'n'
    JOIN pg_class AS c ON c.oid = d.objid
    WHERE d.classid = 'pg_class'::regclass
)
SELECT format('index `%s` is not valid, and was left out', indexrelid::regclass)
FROM rel JOIN pg_index ON indrelid = rel.oid WHERE NOT indisvalid AND rel.relkind <> 'p'
UNION ALL
SELECT format('table `%s` is in publication `%s`, its copy is not', rel.relname, pubname)
FROM rel JOIN pg_publication_rel ON prrelid = rel.oid JOIN pg_publication AS p ON p.oid = prpubid
UNION ALL
SELECT format('the copy is not in the %s', pg_describe_object(d.classid, d.objid, 0))
FROM own JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = own.oid
WHERE d.classid = to_regclass('pg_publication_namespace')
UNION ALL
SELECT format('publication `%s` is for all tables, and publishes the copy', pubname)
FROM pg_publication WHERE puballtables
UNION ALL
SELECT format('event trigger `%s` runs for the statements that make the copy', evtname)
FROM pg_event_trigger WHERE evtenabled <> 'D'
UNION ALL
SELECT format('column `%s.%s` is an oid: should it name a large object, both tenants share that', rel.relname, attname)
FROM rel JOIN pg_attribute ON attrelid = rel.oid AND attnum > 0 AND NOT attisdropped
WHERE rel.relkind IN ('r', 'p') AND atttypid = 'oid'::regtype
UNION ALL
SELECT format('the security label `%s` of %s (provider `%s`) is not carried',
    label, pg_describe_object(classoid, objoid, objsubid), provider)
FROM pg_seclabel
WHERE (classoid, objoid) IN (
    SELECT 'pg_namespace'::regclass, oid FROM own
    UNION ALL
    SELECT d.classid, d.objid FROM own
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = own.oid AND d.deptype = 'n')
