-- All that the catalogs say of some objects: for each its name, what is exact, and what is written as SQL.
--
-- Of a schema it is everything in it, and everything anywhere that depends on that. No number of an object stands
-- in a fact: the server itself knows which columns hold one.
WITH RECURSIVE closure (classid, objid) AS (
    (/* members */)
    UNION
    SELECT pg_depend.classid, pg_depend.objid FROM closure
    JOIN pg_catalog.pg_depend ON pg_depend.refclassid = closure.classid AND pg_depend.refobjid = closure.objid
    WHERE /* follow */ AND NOT (pg_depend.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND EXISTS (
            SELECT FROM pg_catalog.pg_class WHERE pg_class.oid = pg_depend.objid
                AND (relkind = 't' OR relname = '_sqlx_migrations')))
        -- The type of its arrays comes with a type, and has a name that nobody chose.
        AND NOT (pg_depend.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
            AND pg_depend.refclassid = pg_depend.classid AND deptype = 'i' AND EXISTS (
                SELECT FROM pg_catalog.pg_type WHERE pg_type.oid = pg_depend.objid AND typcategory = 'A'))
),
member AS MATERIALIZED (
    SELECT classid, objid, tgisinternal IS TRUE AS is_internal,
        -- The name of an internal trigger is its number.
        CASE WHEN tgisinternal THEN 'trigger of constraint '
            || (pg_catalog.pg_identify_object('pg_catalog.pg_constraint'::pg_catalog.regclass, tgconstraint, 0)).identity
            || ' by ' || (pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, tgfoid, 0)).identity
        ELSE identified.type || ' ' || identified.identity END AS name
    FROM closure LEFT JOIN pg_catalog.pg_trigger
        ON classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND pg_trigger.oid = objid,
    LATERAL pg_catalog.pg_identify_object(classid, objid, 0) AS identified
),
reference AS MATERIALIZED (
    SELECT fktable, fkcols[1] AS "column", pktable, is_array FROM pg_catalog.pg_get_catalog_foreign_keys()
    WHERE pkcols = '{oid}'
),
described (object, catalog, exact, written) AS (/* rows */),
fact (object, fact, is_written) AS (
    SELECT object, pair.key || ' ' || CASE
        WHEN pktable IS NULL THEN value #>> '{}'
        WHEN is_array THEN (
            SELECT pg_catalog.string_agg(
                (pg_catalog.pg_identify_object(pktable, element::oid, 0)).identity, ', ' ORDER BY place)
            FROM pg_catalog.unnest(CASE pg_catalog.jsonb_typeof(value)
                WHEN 'array' THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(value))
                ELSE pg_catalog.string_to_array(value #>> '{}', ' ') END) WITH ORDINALITY AS list (element, place)
            WHERE element <> '0')
        -- A function may stand there by its name.
        WHEN value #>> '{}' ~ '^[1-9][0-9]*$'
            THEN (pg_catalog.pg_identify_object(pktable, (value #>> '{}')::oid, 0)).identity
        ELSE value #>> '{}' END, false
    FROM described CROSS JOIN pg_catalog.jsonb_each(exact) AS pair LEFT JOIN reference
        ON fktable = ('pg_catalog.' || catalog)::pg_catalog.regclass AND "column" = pair.key

    UNION ALL
    SELECT object, pair.key || ' ' || value, true FROM described CROSS JOIN pg_catalog.jsonb_each_text(written) AS pair

    UNION ALL
    SELECT member.name || coalesce('.' || pg_catalog.quote_ident(attname), ''), 'comment ' || description, false
    FROM member JOIN pg_catalog.pg_description ON classoid = classid AND objoid = objid
    LEFT JOIN pg_catalog.pg_attribute ON classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND attrelid = objid AND attnum = objsubid AND attnum > 0

    UNION ALL
    SELECT member.name || coalesce('.' || pg_catalog.quote_ident(attname), ''), 'label ' || provider || ' ' || label, false
    FROM member JOIN pg_catalog.pg_seclabel ON classoid = classid AND objoid = objid
    LEFT JOIN pg_catalog.pg_attribute ON classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND attrelid = objid AND attnum = objsubid AND attnum > 0

    UNION ALL
    -- The column that a sequence goes with, and an extension that takes a function with it.
    SELECT DISTINCT member.name, 'belongs to ' || identified.type || ' ' || identified.identity, false
    FROM member JOIN pg_catalog.pg_depend USING (classid, objid),
    LATERAL pg_catalog.pg_identify_object(refclassid, refobjid, refobjsubid) AS identified
    WHERE deptype IN ('a', 'x', 'e') AND NOT is_internal

    UNION ALL
    SELECT member.name, NULL, false FROM member
)
SELECT object, coalesce(pg_catalog.array_agg(fact) FILTER (WHERE fact IS NOT NULL AND NOT is_written), '{}') AS exact,
    coalesce(pg_catalog.array_agg(fact) FILTER (WHERE fact IS NOT NULL AND is_written), '{}') AS written
FROM fact GROUP BY object
