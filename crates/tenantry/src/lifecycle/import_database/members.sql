-- The objects of extensions that go by a name in a schema, with their extension.
SELECT extname::text AS extension, nspname::text AS schema, name::text AS name
FROM pg_depend AS d
JOIN pg_extension AS e ON e.oid = d.refobjid
JOIN LATERAL (
    SELECT relnamespace, relname FROM pg_class WHERE d.classid = 'pg_class'::regclass AND oid = d.objid
    UNION ALL
    SELECT pronamespace, proname FROM pg_proc WHERE d.classid = 'pg_proc'::regclass AND oid = d.objid
    UNION ALL
    SELECT typnamespace, typname FROM pg_type WHERE d.classid = 'pg_type'::regclass AND oid = d.objid
    UNION ALL
    SELECT oprnamespace, oprname FROM pg_operator WHERE d.classid = 'pg_operator'::regclass AND oid = d.objid
    UNION ALL
    SELECT opcnamespace, opcname FROM pg_opclass WHERE d.classid = 'pg_opclass'::regclass AND oid = d.objid
    UNION ALL
    SELECT opfnamespace, opfname FROM pg_opfamily WHERE d.classid = 'pg_opfamily'::regclass AND oid = d.objid
    UNION ALL
    SELECT collnamespace, collname FROM pg_collation WHERE d.classid = 'pg_collation'::regclass AND oid = d.objid
    UNION ALL
    SELECT cfgnamespace, cfgname FROM pg_ts_config WHERE d.classid = 'pg_ts_config'::regclass AND oid = d.objid
    UNION ALL
    SELECT dictnamespace, dictname FROM pg_ts_dict WHERE d.classid = 'pg_ts_dict'::regclass AND oid = d.objid
    UNION ALL
    SELECT prsnamespace, prsname FROM pg_ts_parser WHERE d.classid = 'pg_ts_parser'::regclass AND oid = d.objid
    UNION ALL
    SELECT tmplnamespace, tmplname FROM pg_ts_template WHERE d.classid = 'pg_ts_template'::regclass AND oid = d.objid
) AS object (namespace, name) ON true
JOIN pg_namespace AS n ON n.oid = object.namespace
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND nspname <> 'pg_catalog'
GROUP BY 1, 2, 3
