-- What keeps a schema from being copied: `refusal (what)`, a sentence each.
--
-- $1 is the schema, to which the `search_path` leads, $2 the schemas that tenants share.
WITH own AS MATERIALIZED (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = $1
),
me AS MATERIALIZED (
    SELECT oid, rolsuper OR rolbypassrls AS sees_all FROM pg_roles WHERE rolname = current_user
),
member AS MATERIALIZED (
    SELECT d.classid, d.objid FROM own
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = own.oid AND d.deptype = 'n'
    WHERE NOT EXISTS (
        SELECT FROM pg_depend AS e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e'
    )
),
rel AS MATERIALIZED (
    SELECT c.* FROM member JOIN pg_class AS c ON c.oid = objid WHERE classid = 'pg_class'::regclass
),
proc AS MATERIALIZED (
    SELECT p.* FROM member JOIN pg_proc AS p ON p.oid = objid WHERE classid = 'pg_proc'::regclass
),
typ AS MATERIALIZED (
    SELECT t.* FROM member JOIN pg_type AS t ON t.oid = objid WHERE classid = 'pg_type'::regclass
),
owned (name, owner, acl) AS (
    SELECT 'the schema', nspowner, nspacl FROM own
    UNION ALL
    SELECT format('`%s`', relname), relowner, relacl FROM rel
    UNION ALL
    SELECT format('`%s`', rel.relname || '.' || attname), relowner, attacl
    FROM rel JOIN pg_attribute ON attrelid = rel.oid AND attacl IS NOT NULL
    UNION ALL
    -- The server makes those of a range itself.
    SELECT format('`%s`', oid::regprocedure), proowner, proacl FROM proc
    WHERE NOT EXISTS (
        SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = proc.oid AND d.deptype = 'i'
    )
    UNION ALL
    SELECT format('type `%s`', typname), typowner, typacl FROM typ
),
mine AS MATERIALIZED (
    SELECT classid, objid FROM member
    UNION
    SELECT 'pg_class'::regclass, indexrelid FROM rel JOIN pg_index ON indrelid = rel.oid
    UNION
    SELECT 'pg_constraint'::regclass, c.oid FROM rel JOIN pg_constraint AS c ON conrelid = rel.oid
    UNION
    SELECT 'pg_constraint'::regclass, c.oid FROM typ JOIN pg_constraint AS c ON contypid = typ.oid
    UNION
    SELECT 'pg_attrdef'::regclass, a.oid FROM rel JOIN pg_attrdef AS a ON adrelid = rel.oid
    UNION
    SELECT 'pg_rewrite'::regclass, r.oid FROM rel JOIN pg_rewrite AS r ON ev_class = rel.oid
    UNION
    SELECT 'pg_trigger'::regclass, t.oid FROM rel JOIN pg_trigger AS t ON tgrelid = rel.oid
    UNION
    SELECT 'pg_policy'::regclass, p.oid FROM rel JOIN pg_policy AS p ON polrelid = rel.oid
    UNION
    SELECT 'pg_type'::regclass, reltype FROM rel
    UNION
    SELECT 'pg_class'::regclass, typrelid FROM typ
    UNION
    SELECT d.classid, d.objid FROM member JOIN pg_depend AS d ON d.refclassid = member.classid AND d.refobjid = member.objid
    WHERE d.classid = 'pg_cast'::regclass
),
edge AS MATERIALIZED (
    SELECT DISTINCT mine.classid, mine.objid, d.refclassid, d.refobjid
    FROM own, mine, LATERAL (
        SELECT refclassid, refobjid FROM pg_depend AS d
        WHERE d.classid = mine.classid AND d.objid = mine.objid AND d.deptype <> 'e'
        -- Has the server look up each of `mine`, instead of reading all dependencies of the database.
        OFFSET 0
    ) AS d
    WHERE NOT (d.refclassid = 'pg_namespace'::regclass AND d.refobjid = own.oid)
        AND NOT EXISTS (SELECT FROM mine AS other WHERE other.classid = d.refclassid AND other.objid = d.refobjid)
),
-- What a foreign key from elsewhere leaves here is `incoming`.
leading_out (what, is_incoming) AS (
    SELECT format('%s depends on %s', pg_describe_object(classid, objid, 0), pg_describe_object(refclassid, refobjid, 0)),
        classid = 'pg_trigger'::regclass AND EXISTS (
            SELECT FROM pg_trigger AS t JOIN pg_constraint AS c ON c.oid = tgconstraint
            WHERE t.oid = objid AND tgisinternal AND confrelid = tgrelid AND conrelid <> tgrelid)
    FROM own, edge, LATERAL pg_identify_object(refclassid, refobjid, 0) AS target
    WHERE target.schema IS NOT NULL
        AND target.schema NOT IN (quote_ident(own.nspname), 'pg_catalog', 'information_schema')
        AND target.schema NOT IN (SELECT quote_ident(shared) FROM unnest($2) AS shared)
        AND NOT EXISTS (
            SELECT FROM pg_depend AS e
            WHERE e.classid = edge.refclassid AND e.objid = edge.refobjid AND e.deptype = 'e')
),
needed_extension (name, schema, version) AS (
    SELECT DISTINCT extname::text, nspname::text, extversion
    FROM edge JOIN pg_depend AS e ON e.classid = edge.refclassid AND e.objid = edge.refobjid AND e.deptype = 'e'
    JOIN pg_extension ON e.refclassid = 'pg_extension'::regclass AND pg_extension.oid = e.refobjid
    JOIN pg_namespace AS n ON n.oid = extnamespace
    WHERE extname <> 'plpgsql'
),
refusal (what) AS (
    SELECT format('extension `%s` is installed in it', extname) FROM own JOIN pg_extension ON extnamespace = own.oid
    UNION ALL
    SELECT format('%s belongs to role `%s`', name, pg_get_userbyid(owner)) FROM owned, me WHERE owner <> me.oid
    UNION ALL
    SELECT DISTINCT format('role `%s` has passed on a privilege on %s', pg_get_userbyid(grantor), name)
    FROM owned, LATERAL aclexplode(acl) WHERE grantor <> owner
    UNION ALL
    SELECT DISTINCT format('role `%s` has default privileges in it', pg_get_userbyid(defaclrole))
    FROM me, own
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = own.oid
        AND d.classid = 'pg_default_acl'::regclass
    JOIN pg_default_acl AS a ON a.oid = d.objid
    WHERE defaclrole <> me.oid
    UNION ALL
    SELECT format('policies hide rows of table `%s` from its owner (FORCE ROW LEVEL SECURITY)', relname)
    FROM rel, me WHERE relforcerowsecurity AND relrowsecurity AND NOT sees_all AND NOT EXISTS (
        -- As in `tables.sql`.
        SELECT FROM own, pg_roles AS r
        WHERE (r.rolbypassrls OR r.rolsuper) AND pg_has_role(me.oid, r.oid,
                CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END)
            AND has_schema_privilege(r.oid, own.oid, 'USAGE') AND has_table_privilege(r.oid, rel.oid, 'SELECT'))
    UNION ALL
    SELECT format('column `%s.%s` holds large objects', rel.relname, attname)
    FROM rel JOIN pg_attribute ON attrelid = rel.oid AND attnum > 0 AND NOT attisdropped
    JOIN pg_type AS t ON t.oid = atttypid AND t.typname = 'lo'
    WHERE rel.relkind IN ('r', 'p')
    UNION ALL
    SELECT format('trigger `%s` of table `%s` removes large objects', tgname, rel.relname)
    FROM rel JOIN pg_trigger ON tgrelid = rel.oid JOIN pg_proc AS p ON p.oid = tgfoid AND p.proname = 'lo_manage'
    UNION ALL
    SELECT format('table `%s` inherits from `%s`, which is not in it', rel.relname, inhparent::regclass)
    FROM own, rel JOIN pg_inherits ON inhrelid = rel.oid JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE parent.relnamespace <> own.oid
    UNION ALL
    SELECT format('table `%s` is a part of `%s`, and is not in it', inhrelid::regclass, rel.relname)
    FROM own, rel JOIN pg_inherits ON inhparent = rel.oid JOIN pg_class AS child ON child.oid = inhrelid
    WHERE child.relnamespace <> own.oid AND rel.relkind IN ('r', 'p')
    UNION ALL
    SELECT DISTINCT format('triggers of foreign keys are switched off on table `%s`', rel.relname)
    -- Until PostgreSQL 14, what a partition has of its parent's triggers counts as internal, too.
    FROM rel JOIN pg_trigger ON tgrelid = rel.oid WHERE tgisinternal AND tgconstraint <> 0 AND tgenabled <> 'O'
    UNION ALL
    SELECT what FROM leading_out
)
