-- What there is to know of a database that is to be imported: `fact (kind, what)`.
--
-- $1 is the schema, to which the `search_path` leads, $2 whether large objects are left out, $3 whether tables in other
-- schemas are. Kinds: a `refusal` or a `note` is a sentence; the others are names: a `role` that a policy names, a
-- `grantee`, a foreign `server`, a `collation` of the server's, a table whose policies are `forced`, and an `object` of
-- the schema's own.
WITH own AS MATERIALIZED (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = $1
),
me AS MATERIALIZED (
    SELECT oid, rolname, rolsuper OR rolbypassrls AS sees_all FROM pg_roles WHERE rolname = current_user
),
extended AS MATERIALIZED (
    SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
),
member AS MATERIALIZED (
    SELECT d.classid, d.objid FROM own
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = own.oid AND d.deptype = 'n'
    WHERE (d.classid, d.objid) NOT IN (SELECT classid, objid FROM extended)
),
rel AS MATERIALIZED (
    SELECT c.* FROM member JOIN pg_class AS c ON c.oid = objid WHERE classid = 'pg_class'::regclass
),
idx AS MATERIALIZED (
    SELECT i.*, c.relname FROM rel JOIN pg_index AS i ON indrelid = rel.oid JOIN pg_class AS c ON c.oid = indexrelid
),
-- The server makes the functions of a range itself.
proc AS MATERIALIZED (
    SELECT p.*, lanname FROM member JOIN pg_proc AS p ON p.oid = objid JOIN pg_language AS l ON l.oid = prolang
    WHERE classid = 'pg_proc'::regclass AND NOT EXISTS (
        SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
),
typ AS MATERIALIZED (
    SELECT t.* FROM member JOIN pg_type AS t ON t.oid = objid WHERE classid = 'pg_type'::regclass
),
granted (owner, acl) AS (
    SELECT nspowner, nspacl FROM own
    UNION ALL
    SELECT relowner, relacl FROM rel
    UNION ALL
    SELECT relowner, attacl FROM rel JOIN pg_attribute ON attrelid = rel.oid AND attacl IS NOT NULL
    UNION ALL
    SELECT proowner, proacl FROM proc
    UNION ALL
    SELECT typowner, typacl FROM typ
),
fact (kind, what) AS (
    SELECT 'refusal', format('role `%s` may not read %s `%s`', rolname,
        CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, relname)
    FROM rel, me
    WHERE CASE relkind WHEN 'S' THEN NOT has_sequence_privilege(rel.oid, 'SELECT')
        WHEN 'r' THEN NOT has_table_privilege(rel.oid, 'SELECT')
        WHEN 'p' THEN NOT has_table_privilege(rel.oid, 'SELECT') ELSE false END
    UNION ALL
    SELECT 'refusal', format('policies hide rows of table `%s` from role `%s`', relname, rolname)
    FROM rel, me
    WHERE relrowsecurity AND NOT sees_all AND (relforcerowsecurity OR NOT pg_has_role(relowner, 'USAGE'))
    UNION ALL
    SELECT 'refusal', format('%s large objects are in it', count(*)) FROM pg_largeobject_metadata
    HAVING count(*) > 0 AND NOT $2
    UNION ALL
    SELECT 'refusal', format('column `%s.%s` holds large objects', rel.relname, attname)
    FROM rel JOIN pg_attribute ON attrelid = rel.oid AND attnum > 0 AND NOT attisdropped
    JOIN pg_type AS t ON t.oid = atttypid AND t.typname = 'lo'
    WHERE rel.relkind IN ('r', 'p') AND NOT $2
    UNION ALL
    SELECT 'refusal', format('trigger `%s` of table `%s` removes large objects', tgname, rel.relname)
    FROM rel JOIN pg_trigger ON tgrelid = rel.oid JOIN pg_proc AS p ON p.oid = tgfoid AND p.proname = 'lo_manage'
    UNION ALL
    SELECT 'refusal', format('function `%s` is written in %s, which takes a superuser', proc.oid::regprocedure, lanname)
    FROM proc WHERE lanname IN ('c', 'internal') AND prokind <> 'a'
    UNION ALL
    SELECT 'refusal', format('table `%s` inherits from `%s`, which is not in schema `%s`', rel.relname,
        inhparent::regclass, nspname)
    FROM own, rel JOIN pg_inherits ON inhrelid = rel.oid JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE parent.relnamespace <> own.oid
    UNION ALL
    SELECT 'refusal', format('table `%s` is a part of `%s`, and not in schema `%s`', inhrelid::regclass, rel.relname,
        nspname)
    FROM own, rel JOIN pg_inherits ON inhparent = rel.oid JOIN pg_class AS child ON child.oid = inhrelid
    WHERE child.relnamespace <> own.oid AND rel.relkind IN ('r', 'p')
    UNION ALL
    SELECT DISTINCT 'refusal', format('triggers of foreign keys are switched off on table `%s`', rel.relname)
    FROM rel JOIN pg_trigger ON tgrelid = rel.oid WHERE tgisinternal AND tgconstraint <> 0 AND tgenabled <> 'O'
    UNION ALL
    SELECT 'refusal', format('its table `%s` is no ledger of sqlx, and each tenant has one of that name', relname)
    FROM rel WHERE relname = '_sqlx_migrations' AND 6 <> (
        SELECT count(*) FROM pg_attribute WHERE attrelid = rel.oid AND NOT attisdropped
            AND (attname, atttypid) IN (('version', 'int8'::regtype), ('description', 'text'::regtype),
                ('installed_on', 'timestamptz'::regtype), ('success', 'bool'::regtype),
                ('checksum', 'bytea'::regtype), ('execution_time', 'int8'::regtype)))

    UNION ALL
    SELECT CASE WHEN $3 THEN 'note' ELSE 'refusal' END,
        format(CASE WHEN $3 THEN 'schema `%s` is left out, with %s tables' ELSE 'schema `%s` in it has %s tables' END,
            nspname, count(*))
    FROM pg_namespace AS n JOIN pg_class AS c ON relnamespace = n.oid AND relkind IN ('r', 'p', 'f')
    WHERE nspname <> $1 AND nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM extended)
    GROUP BY nspname
    UNION ALL
    SELECT 'note', format('foreign key `%s` of table `%s` to `%s` is left out', conname, conrelid::regclass, rel.relname)
    FROM own, rel JOIN pg_constraint ON confrelid = rel.oid AND contype = 'f' JOIN pg_class AS c ON c.oid = conrelid
    WHERE c.relnamespace <> own.oid
    UNION ALL
    SELECT 'note', format('event trigger `%s` is left out', evtname) FROM pg_event_trigger
    WHERE ('pg_event_trigger'::regclass, oid) NOT IN (SELECT classid, objid FROM extended)
    UNION ALL
    SELECT 'note', format('rows of `%s` are left out: it belongs to extension `%s`', table_of::regclass, extname)
    FROM pg_extension, unnest(extconfig) AS table_of
    UNION ALL
    SELECT 'note', format('publication `%s` is left out', pubname) FROM pg_publication
    UNION ALL
    SELECT 'note', format('subscription `%s` is left out', subname)
    FROM pg_subscription JOIN pg_database AS d ON d.oid = subdbid WHERE datname = current_database()
    UNION ALL
    SELECT 'note', format('security labels of provider `%s` are left out, of %s objects', provider,
        count(DISTINCT (classoid, objoid)))
    FROM pg_seclabel WHERE (classoid, objoid) IN (
        SELECT classid, objid FROM member UNION ALL SELECT 'pg_namespace'::regclass, oid FROM own)
    GROUP BY provider
    UNION ALL
    SELECT 'note', format('the setting `%s` of the database is left out', split_part(setting, '=', 1))
    FROM pg_database AS d JOIN pg_db_role_setting AS s ON setdatabase = d.oid, unnest(setconfig) AS setting
    WHERE datname = current_database() AND setrole = 0
    UNION ALL
    SELECT 'note', format('default privileges of role `%s` are left out', pg_get_userbyid(defaclrole))
    FROM own JOIN pg_default_acl ON defaclnamespace IN (own.oid, 0)
    UNION ALL
    SELECT 'note', format('index `%s` is not valid, and is left out', idx.relname)
    FROM rel JOIN idx ON indrelid = rel.oid WHERE NOT indisvalid AND rel.relkind <> 'p'
    UNION ALL
    SELECT 'note', format('column `%s.%s` is an oid: should it name a large object, there is none here', rel.relname,
        attname)
    FROM rel JOIN pg_attribute ON attrelid = rel.oid AND attnum > 0 AND NOT attisdropped
    WHERE rel.relkind IN ('r', 'p') AND atttypid = 'oid'::regtype
    UNION ALL
    SELECT 'note', format('`%s` is in the default tablespace here, and not in `%s`', relname, spcname)
    FROM rel JOIN pg_tablespace AS t ON t.oid = reltablespace
    UNION ALL
    SELECT 'note', format('function `%s` runs as its owner (SECURITY DEFINER): here that is the owner of all tenants',
        proc.oid::regprocedure)
    FROM proc WHERE prosecdef
    UNION ALL
    SELECT 'note', format('function `%s` is written in %s', proc.oid::regprocedure, lanname)
    FROM proc WHERE lanname NOT IN ('sql', 'plpgsql', 'c', 'internal')

    UNION ALL
    SELECT DISTINCT 'role', pg_get_userbyid(role) FROM rel JOIN pg_policy ON polrelid = rel.oid, unnest(polroles) AS role
    WHERE role <> 0
    UNION ALL
    SELECT DISTINCT 'grantee', pg_get_userbyid(grantee) FROM granted, aclexplode(acl) WHERE grantee NOT IN (owner, 0)
    UNION ALL
    SELECT DISTINCT 'server', srvname FROM rel JOIN pg_foreign_table ON ftrelid = rel.oid
    JOIN pg_foreign_server AS s ON s.oid = ftserver
    UNION ALL
    SELECT DISTINCT 'collation', collname FROM rel JOIN pg_attribute ON attrelid = rel.oid
    JOIN pg_collation AS c ON c.oid = attcollation
    WHERE collnamespace = 'pg_catalog'::regnamespace AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'forced', relname FROM rel WHERE relrowsecurity AND relforcerowsecurity
    UNION ALL
    SELECT DISTINCT 'object', name FROM (
        SELECT relname FROM rel
        UNION ALL
        SELECT relname FROM idx
        UNION ALL
        SELECT proname FROM proc
        UNION ALL
        SELECT typname FROM typ
        UNION ALL
        SELECT oprname FROM member JOIN pg_operator AS o ON o.oid = objid WHERE classid = 'pg_operator'::regclass
        UNION ALL
        SELECT opcname FROM member JOIN pg_opclass AS o ON o.oid = objid WHERE classid = 'pg_opclass'::regclass
        UNION ALL
        SELECT opfname FROM member JOIN pg_opfamily AS o ON o.oid = objid WHERE classid = 'pg_opfamily'::regclass
        UNION ALL
        SELECT collname FROM member JOIN pg_collation AS c ON c.oid = objid WHERE classid = 'pg_collation'::regclass
        UNION ALL
        SELECT cfgname FROM member JOIN pg_ts_config AS c ON c.oid = objid WHERE classid = 'pg_ts_config'::regclass
        UNION ALL
        SELECT dictname FROM member JOIN pg_ts_dict AS d ON d.oid = objid WHERE classid = 'pg_ts_dict'::regclass
    ) AS all_names (name)
)
SELECT kind, what::text FROM fact ORDER BY kind, what
