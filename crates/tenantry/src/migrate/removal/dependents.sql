-- The objects outside of a schema that depend on what is in it, directly or not: $1 is its name.
--
-- A part, such as a rule, a default or a trigger, is where the thing is that it is part of.
WITH RECURSIVE namespace AS MATERIALIZED (
    SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1
), reached (classid, objid) AS (
    SELECT classid, objid FROM pg_catalog.pg_depend
    WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid = (SELECT oid FROM namespace)
    UNION
    SELECT pg_depend.classid, pg_depend.objid FROM reached JOIN pg_catalog.pg_depend
        ON pg_depend.refclassid = reached.classid AND pg_depend.refobjid = reached.objid
), placed AS (
    SELECT classid, objid, CASE classid
        WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN
            -- The overflow of a table is in a schema of its own.
            (SELECT CASE WHEN relnamespace = 'pg_toast'::pg_catalog.regnamespace THEN namespace.oid
                ELSE relnamespace END FROM pg_catalog.pg_class WHERE pg_class.oid = objid)
        WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN
            (SELECT CASE WHEN typnamespace = 'pg_toast'::pg_catalog.regnamespace THEN namespace.oid
                ELSE typnamespace END FROM pg_catalog.pg_type WHERE pg_type.oid = objid)
        WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN
            (SELECT pronamespace FROM pg_catalog.pg_proc WHERE pg_proc.oid = objid)
        WHEN 'pg_catalog.pg_constraint'::pg_catalog.regclass THEN
            (SELECT connamespace FROM pg_catalog.pg_constraint WHERE pg_constraint.oid = objid)
        WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass THEN
            (SELECT relnamespace FROM pg_catalog.pg_rewrite JOIN pg_catalog.pg_class ON pg_class.oid = ev_class
             WHERE pg_rewrite.oid = objid)
        WHEN 'pg_catalog.pg_attrdef'::pg_catalog.regclass THEN
            (SELECT relnamespace FROM pg_catalog.pg_attrdef JOIN pg_catalog.pg_class ON pg_class.oid = adrelid
             WHERE pg_attrdef.oid = objid)
        WHEN 'pg_catalog.pg_trigger'::pg_catalog.regclass THEN
            -- The triggers of a foreign key belong to it, also those on the table that it leads to.
            (SELECT coalesce(connamespace, relnamespace) FROM pg_catalog.pg_trigger
                JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid
                LEFT JOIN pg_catalog.pg_constraint ON pg_constraint.oid = tgconstraint
             WHERE pg_trigger.oid = objid)
        WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass THEN
            (SELECT relnamespace FROM pg_catalog.pg_policy JOIN pg_catalog.pg_class ON pg_class.oid = polrelid
             WHERE pg_policy.oid = objid)
        WHEN 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass THEN
            (SELECT stxnamespace FROM pg_catalog.pg_statistic_ext WHERE pg_statistic_ext.oid = objid)
        WHEN 'pg_catalog.pg_operator'::pg_catalog.regclass THEN
            (SELECT oprnamespace FROM pg_catalog.pg_operator WHERE pg_operator.oid = objid)
        WHEN 'pg_catalog.pg_opclass'::pg_catalog.regclass THEN
            (SELECT opcnamespace FROM pg_catalog.pg_opclass WHERE pg_opclass.oid = objid)
        WHEN 'pg_catalog.pg_opfamily'::pg_catalog.regclass THEN
            (SELECT opfnamespace FROM pg_catalog.pg_opfamily WHERE pg_opfamily.oid = objid)
        WHEN 'pg_catalog.pg_amop'::pg_catalog.regclass THEN
            (SELECT opfnamespace FROM pg_catalog.pg_amop JOIN pg_catalog.pg_opfamily ON pg_opfamily.oid = amopfamily
             WHERE pg_amop.oid = objid)
        WHEN 'pg_catalog.pg_amproc'::pg_catalog.regclass THEN
            (SELECT opfnamespace FROM pg_catalog.pg_amproc JOIN pg_catalog.pg_opfamily ON pg_opfamily.oid = amprocfamily
             WHERE pg_amproc.oid = objid)
        WHEN 'pg_catalog.pg_collation'::pg_catalog.regclass THEN
            (SELECT collnamespace FROM pg_catalog.pg_collation WHERE pg_collation.oid = objid)
        WHEN 'pg_catalog.pg_conversion'::pg_catalog.regclass THEN
            (SELECT connamespace FROM pg_catalog.pg_conversion WHERE pg_conversion.oid = objid)
        WHEN 'pg_catalog.pg_ts_config'::pg_catalog.regclass THEN
            (SELECT cfgnamespace FROM pg_catalog.pg_ts_config WHERE pg_ts_config.oid = objid)
        WHEN 'pg_catalog.pg_ts_dict'::pg_catalog.regclass THEN
            (SELECT dictnamespace FROM pg_catalog.pg_ts_dict WHERE pg_ts_dict.oid = objid)
        WHEN 'pg_catalog.pg_ts_parser'::pg_catalog.regclass THEN
            (SELECT prsnamespace FROM pg_catalog.pg_ts_parser WHERE pg_ts_parser.oid = objid)
        WHEN 'pg_catalog.pg_ts_template'::pg_catalog.regclass THEN
            (SELECT tmplnamespace FROM pg_catalog.pg_ts_template WHERE pg_ts_template.oid = objid)
        WHEN 'pg_catalog.pg_extension'::pg_catalog.regclass THEN
            (SELECT extnamespace FROM pg_catalog.pg_extension WHERE pg_extension.oid = objid)
        -- In no schema, and about what is in this one: a cast of its type, its privileges, its place in a publication.
        WHEN 'pg_catalog.pg_cast'::pg_catalog.regclass THEN namespace.oid
        WHEN 'pg_catalog.pg_default_acl'::pg_catalog.regclass THEN namespace.oid
        WHEN 'pg_catalog.pg_publication_rel'::pg_catalog.regclass THEN namespace.oid
        WHEN pg_catalog.to_regclass('pg_catalog.pg_publication_namespace') THEN namespace.oid
        -- An event trigger, a language: the whole database's.
        ELSE NULL END AS place, namespace.oid AS home
    FROM reached CROSS JOIN namespace
)
-- A view is named itself, and not the rule that makes it one.
SELECT DISTINCT pg_catalog.pg_describe_object(
    CASE WHEN ev_class IS NULL THEN classid ELSE 'pg_catalog.pg_class'::pg_catalog.regclass END,
    coalesce(ev_class, objid), 0)
FROM placed LEFT JOIN pg_catalog.pg_rewrite
    ON classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND pg_rewrite.oid = objid
WHERE place IS DISTINCT FROM home AND pg_catalog.pg_describe_object(classid, objid, 0) IS NOT NULL
ORDER BY 1
