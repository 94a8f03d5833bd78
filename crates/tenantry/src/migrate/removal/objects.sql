-- The objects of a schema that can be dropped by themselves, in the order in which that is tried: $1 is its name.
--
-- Everything begins at pg_depend, which has an index by what is depended on: other schemas cost nothing here. Later
-- objects come first, because they are more likely to depend on earlier ones than the other way round.
WITH namespace AS MATERIALIZED (
    SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1
), member AS MATERIALIZED (
    SELECT DISTINCT classid, objid FROM pg_catalog.pg_depend
    WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
      AND refobjid = (SELECT oid FROM namespace) AND deptype = 'n'
), independent AS MATERIALIZED (
    -- An identity's sequence, a multirange, an extension's object: they go with what they are part of.
    SELECT classid, objid FROM member WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend AS part
        WHERE part.classid = member.classid AND part.objid = member.objid AND part.deptype IN ('i', 'e'))
), relation AS MATERIALIZED (
    SELECT pg_class.* FROM independent JOIN pg_catalog.pg_class ON pg_class.oid = objid
    WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass
), candidate AS (
    -- A foreign key keeps the table locked that it leads to: out of the schema, each of them for a moment only. Only
    -- the owner of its table may drop it by itself.
    SELECT 0 AS phase, pg_constraint.oid, 'ALTER TABLE' AS verb, NULL::oid AS relation,
        pg_catalog.format('%I.%I DROP CONSTRAINT %I', $1, relation.relname, conname) AS name,
        other.relnamespace <> relation.relnamespace AS is_alone
    FROM relation JOIN pg_catalog.pg_constraint ON conrelid = relation.oid
        JOIN pg_catalog.pg_class AS other ON other.oid = confrelid
    WHERE contype = 'f' AND conparentid = 0 AND confrelid <> conrelid
      AND pg_catalog.pg_has_role(relation.relowner, 'USAGE')
    UNION ALL
    SELECT CASE WHEN relkind IN ('v', 'm') THEN 1 WHEN relispartition AND relkind <> 'p' THEN 2
                WHEN relkind = 'S' THEN 4 ELSE 3 END,
        oid,
        CASE relkind WHEN 'v' THEN 'DROP VIEW' WHEN 'm' THEN 'DROP MATERIALIZED VIEW'
            WHEN 'S' THEN 'DROP SEQUENCE' WHEN 'f' THEN 'DROP FOREIGN TABLE' ELSE 'DROP TABLE' END,
        oid, pg_catalog.format('%I.%I', $1, relname), false
    FROM relation
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT (relkind = 'S' AND EXISTS (
        -- The sequence of a serial column goes with its table.
        SELECT FROM pg_catalog.pg_depend AS owned
        WHERE owned.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND owned.objid = relation.oid
          AND owned.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND owned.deptype = 'a'))
    UNION ALL
    SELECT 5, objid, 'DROP ROUTINE', NULL,
        (pg_catalog.pg_identify_object(classid, objid, 0)).identity, false
    FROM independent WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    UNION ALL
    SELECT 6, objid, 'DROP TYPE', NULL,
        (pg_catalog.pg_identify_object(classid, objid, 0)).identity, false
    FROM independent WHERE classid = 'pg_catalog.pg_type'::pg_catalog.regclass
), next AS MATERIALIZED (
    SELECT * FROM candidate ORDER BY phase, oid DESC LIMIT 500
)
SELECT verb, name, is_alone,
    -- A table, its row type and their arrays; twice each thing on it, since an index or a trigger may have more.
    CASE WHEN relation IS NULL THEN 8 ELSE 4 + 2 * (
        SELECT count(DISTINCT (dependent.classid, dependent.objid)) FROM pg_catalog.pg_depend AS dependent
        WHERE dependent.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
          AND dependent.refobjid = relation) END AS weight
FROM next ORDER BY phase, oid DESC
