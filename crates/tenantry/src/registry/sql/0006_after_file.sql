-- Every database: what a migration file did is compared with what it may do, in its own transaction.
--
-- The path of the two functions that are called from outside is fixed, so that the plans of their queries hold from
-- one schema to the next. No query reads a catalog from one end to the other: the locks of one transaction are few, and
-- every row is found by an index. So it costs the same in a database of ten schemas and of ten thousand.

-- The rows that this session has written to the catalogs of what is in no schema: all schemas in the database share it.
-- Of pg_namespace only those count that were made or removed. With `track_counts` off it is always the same.
CREATE FUNCTION tenantry.catalog_writes() RETURNS bigint[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT pg_stat_get_xact_tuples_inserted(id) + pg_stat_get_xact_tuples_deleted(id)
               + CASE id WHEN 2615 THEN 0 ELSE pg_stat_get_xact_tuples_updated(id) END
        FROM unnest(ARRAY[
            'pg_namespace', 'pg_extension', 'pg_authid', 'pg_auth_members', 'pg_db_role_setting', 'pg_database',
            'pg_language', 'pg_foreign_data_wrapper', 'pg_foreign_server', 'pg_user_mapping', 'pg_publication',
            'pg_publication_rel', 'pg_subscription', 'pg_event_trigger', 'pg_largeobject_metadata'
        ]::regclass[]) WITH ORDINALITY AS catalog (id, number) ORDER BY number);
END $$;

-- The xids of rows that this transaction wrote are its own or those of its subtransactions, which come later.
CREATE FUNCTION tenantry.is_own(row_xid xid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    own   CONSTANT bigint := pg_current_xact_id()::text::bigint;
    later CONSTANT bigint := (row_xid::text::bigint - own % 4294967296 + 4294967296) % 4294967296;
BEGIN
    RETURN later = 0 OR later < 10000000 AND pg_xact_status((own + later)::text::xid8) = 'in progress';
EXCEPTION WHEN invalid_parameter_value THEN
    -- A number from before the last wraparound, which looks like one of the future.
    RETURN false;
END $$;

-- Called before a file that may do more than change tables. The answer is for `file_ends`.
--
-- The cursor is not read here. It keeps the catalogs as they are now, for what the file drops, while the locks that it
-- reads will be those that are held then.
CREATE FUNCTION tenantry.file_begins(homes text[]) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    before refcursor := 'tenantry_before';
    held   CONSTANT text[] := ARRAY(
        SELECT relation || mode FROM pg_locks
        JOIN pg_class ON pg_class.oid = relation
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pid = pg_backend_pid() AND locktype = 'relation' AND mode NOT IN ('AccessShareLock', 'RowShareLock')
          AND nspname <> ALL (homes));
BEGIN
    OPEN before NO SCROLL FOR
        SELECT locked.class, locked.id, nspname AS schema,
               coalesce(pg_class.relname, proname, typname) AS name,
               ARRAY(SELECT pg_constraint.oid FROM pg_locks AS other
                     JOIN pg_constraint ON conrelid = other.relation
                     WHERE other.pid = pg_backend_pid() AND other.locktype = 'relation'
                       AND contype = 'f' AND confrelid = pg_class.oid) AS foreign_keys
        FROM (SELECT DISTINCT coalesce(classid, 1259) AS class, coalesce(relation, objid) AS id FROM pg_locks
              WHERE pid = pg_backend_pid() AND locktype IN ('relation', 'object')
                AND mode NOT IN ('AccessShareLock', 'RowShareLock')) AS locked
        LEFT JOIN pg_class ON locked.class = 1259 AND pg_class.oid = locked.id
        LEFT JOIN pg_proc ON locked.class = 1255 AND pg_proc.oid = locked.id
        LEFT JOIN pg_type ON locked.class = 1247 AND pg_type.oid = locked.id
        JOIN pg_namespace ON pg_namespace.oid = coalesce(relnamespace, pronamespace, typnamespace)
        WHERE nspname NOT IN ('pg_catalog', 'pg_toast') AND nspname NOT LIKE 'pg\_temp\_%'
          -- What goes with a table or a type: its indexes, its row type, the type of its arrays.
          AND (relkind IS NULL OR relkind NOT IN ('i', 'I', 't')) AND (typtype IS NULL OR typrelid = 0 AND typelem = 0);
    RETURN ARRAY[session_user::text, current_user::text, held::text, tenantry.catalog_writes()::text,
                 (SELECT max(oid) FROM pg_proc)::text, (SELECT max(oid) FROM pg_type)::text,
                 (SELECT max(oid) FROM pg_trigger)::text]::text;
END $$;

-- What this transaction holds locks on that are taken to change something, outside of these schemas. What a file makes
-- or changes in a table, and where it writes rows, stays locked until the end.
--
-- A foreign key locks the table that it refers to, when it is made and when it is dropped: that is the tenant's own.
CREATE FUNCTION tenantry.locked_outside(held text[], homes text[], is_master boolean, knows_before boolean)
RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    before  refcursor := 'tenantry_before';
    was     record;
    outside text[] := ARRAY(
        SELECT DISTINCT format('%I.%I', nspname, relname)
        FROM pg_locks
        JOIN pg_class ON pg_class.oid = relation
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pid = pg_backend_pid() AND locktype = 'relation' AND mode NOT IN ('AccessShareLock', 'RowShareLock')
          AND nspname <> ALL (homes) AND nspname NOT IN ('pg_catalog', 'pg_toast') AND relpersistence <> 't'
          AND NOT (relkind IN ('i', 'I') AND mode = 'RowExclusiveLock') AND relation || mode <> ALL (held)
          AND NOT (mode = 'ShareRowExclusiveLock' AND EXISTS (
              SELECT FROM pg_locks AS other JOIN pg_constraint ON conrelid = other.relation
              WHERE other.pid = pg_backend_pid() AND other.locktype = 'relation' AND contype = 'f'
                AND confrelid = pg_class.oid AND tenantry.is_own(pg_constraint.xmin)))
          AND NOT (is_master AND EXISTS (
              SELECT FROM pg_depend WHERE classid = 1259 AND objid = pg_class.oid AND deptype = 'e')));
BEGIN
    IF NOT knows_before THEN
        RETURN outside;
    END IF;
    outside := outside || ARRAY(
        SELECT DISTINCT identity
        FROM pg_locks, pg_identify_object(classid, objid, 0) AS object (kind, schema, name, identity)
        WHERE pid = pg_backend_pid() AND locktype = 'object' AND mode NOT IN ('AccessShareLock', 'RowShareLock')
          AND schema <> ALL (homes) AND schema NOT IN ('pg_catalog', 'pg_toast') AND schema NOT LIKE 'pg\_temp\_%');
    LOOP
        FETCH before INTO was;
        EXIT WHEN NOT FOUND;
        IF EXISTS (SELECT FROM unnest(was.foreign_keys) AS key
                   WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE oid = key))
           AND EXISTS (SELECT FROM pg_class WHERE oid = was.id AND NOT tenantry.is_own(xmin)) THEN
            outside := array_remove(outside, format('%I.%I', was.schema, was.name));
        ELSIF was.schema <> ALL (homes)
              -- What is still there was judged above.
              AND was.schema IS DISTINCT FROM (SELECT schema FROM pg_identify_object(was.class, was.id, 0)) THEN
            outside := outside || format('%I.%I', was.schema, was.name);
        END IF;
    END LOOP;
    RETURN outside;
END $$;

-- What the file has written to the catalogs that leaves no lock behind.
--
-- Functions, types and triggers are new if their numbers are higher than all there were. What became of those that
-- were there, and who may use what, is looked up where several tenants look: a list of all schemas would grow with the
-- tenants.
CREATE FUNCTION tenantry.written_outside(since bigint, state text[], homes text[], shared text[], is_master boolean)
RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    own     CONSTANT int := age(pg_current_xact_id()::xid);
    names   CONSTANT text[] := ARRAY[
        'a schema', 'an extension', 'a role', 'the members of a role', 'the settings of a role or database',
        'a database', 'a language', 'a foreign data wrapper', 'a foreign server', 'a user mapping', 'a publication',
        'a publication', 'a subscription', 'an event trigger', 'a large object'];
    writes  CONSTANT bigint[] := tenantry.catalog_writes();
    outside text[] := '{}';
BEGIN
    IF NOT is_master THEN
        outside := ARRAY(
            SELECT DISTINCT names[number]
            FROM unnest(writes, state[4]::bigint[]) WITH ORDINALITY AS count (now, before, number)
            -- The first temporary table of a session may make the two schemas it is in.
            WHERE now - before > CASE WHEN number = 1 AND EXISTS (
                SELECT FROM pg_namespace WHERE oid = pg_my_temp_schema() AND tenantry.is_own(xmin)) THEN 2 ELSE 0 END);
    END IF;
    RETURN outside || ARRAY(
        SELECT format('function %s', pg_proc.oid::regprocedure)
        FROM pg_proc JOIN pg_namespace AS at ON at.oid = pronamespace
        WHERE pg_proc.oid > state[5]::oid AND nspname <> ALL (homes) AND pronamespace <> pg_my_temp_schema()
          AND age(pg_proc.xmin) <= own AND pg_proc.cmin::text::bigint >= since AND tenantry.is_own(pg_proc.xmin)
        UNION
        SELECT format('type %s', pg_type.oid::regtype) FROM pg_type JOIN pg_namespace AS at ON at.oid = typnamespace
        WHERE pg_type.oid > state[6]::oid AND nspname <> ALL (homes) AND nspname <> 'pg_toast'
          AND typnamespace <> pg_my_temp_schema()
          AND age(pg_type.xmin) <= own AND pg_type.cmin::text::bigint >= since AND tenantry.is_own(pg_type.xmin)
        UNION
        -- Its lock on the table may be that of a foreign key.
        SELECT pg_describe_object(2620, pg_trigger.oid, 0)
        FROM pg_trigger
        JOIN pg_class AS owner ON owner.oid = tgrelid
        JOIN pg_namespace AS at ON at.oid = owner.relnamespace
        WHERE pg_trigger.oid > coalesce(state[7]::oid, 0) AND NOT tgisinternal AND nspname <> ALL (homes)
          AND owner.relpersistence <> 't'
          AND age(pg_trigger.xmin) <= own AND pg_trigger.cmin::text::bigint >= since
          AND tenantry.is_own(pg_trigger.xmin)
        UNION
        SELECT format('schema %I', nspname) FROM pg_namespace
        WHERE nspname = ANY (shared)
          AND age(xmin) <= own AND cmin::text::bigint >= since AND tenantry.is_own(xmin)
        UNION
        SELECT 'default privileges' FROM pg_default_acl
        WHERE defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user) AND defaclnamespace = 0
          AND age(xmin) <= own AND cmin::text::bigint >= since AND tenantry.is_own(xmin)
        UNION
        SELECT pg_describe_object(classid, objid, 0)
        FROM pg_namespace AS at
        JOIN pg_depend ON refclassid = 2615 AND refobjid = at.oid
        LEFT JOIN pg_proc ON classid = 1255 AND pg_proc.oid = objid
        LEFT JOIN pg_type ON classid = 1247 AND pg_type.oid = objid
        LEFT JOIN pg_class ON classid = 1259 AND pg_class.oid = objid
        CROSS JOIN unnest(
            ARRAY[pg_depend.xmin, coalesce(pg_proc.xmin, pg_type.xmin, pg_class.xmin)],
            ARRAY[pg_depend.cmin, coalesce(pg_proc.cmin, pg_type.cmin, pg_class.cmin)]) AS written (xid, command)
        WHERE nspname = ANY (shared)
          AND age(xid) <= own AND command::text::bigint >= since AND tenantry.is_own(xid)
          -- What was locked meanwhile was judged by that.
          AND NOT (classid = 1259 AND EXISTS (
              SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = pg_depend.objid
                AND mode NOT IN ('AccessShareLock', 'RowShareLock') AND relation || mode <> ALL (state[3]::text[]))));
END $$;

-- Called after a file, and fails if the file did what it may not. `began` is the transaction in which it began, `since`
-- the command, `state` the answer of `file_begins` where that was called. `path` is as it should be, `path_now` as
-- it is. `homes` are the schemas in which the file may work, `shared` those which several tenants see. `homes` is null
-- where it may work anywhere.
CREATE FUNCTION tenantry.file_ends(
    began xid, since cid, state text, path text, path_now text, homes text[], shared text[], is_master boolean
) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    before  refcursor := 'tenantry_before';
    was     CONSTANT text[] := nullif(state, '')::text[];
    outside text[];
BEGIN
    IF began IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TY002', MESSAGE = 'the file has removed its own row from the ledger';
    END IF;
    IF began IS DISTINCT FROM pg_current_xact_id_if_assigned()::xid THEN
        RAISE EXCEPTION USING ERRCODE = 'TY001', MESSAGE = 'the file has ended its transaction';
    END IF;
    IF replace(path, '"', '') <> replace(path_now, '"', '') THEN
        RAISE EXCEPTION USING ERRCODE = 'TY002', MESSAGE = format('the file leaves `search_path` at `%s`', path_now);
    END IF;
    IF was IS NULL AND current_user <> session_user
       AND current_setting('role') <> (SELECT reset_val FROM pg_settings WHERE name = 'role')
       OR was[1] <> session_user OR was[2] <> current_user THEN
        RAISE EXCEPTION USING
            ERRCODE = 'TY002', MESSAGE = format('the file leaves the session as the role `%s`', current_user);
    END IF;
    IF homes IS NOT NULL THEN
        outside := tenantry.locked_outside(coalesce(was[3], '{}')::text[], homes, is_master, was IS NOT NULL);
        IF outside = '{}' AND was IS NOT NULL THEN
            outside := tenantry.written_outside(since::text::bigint, was, homes, shared, is_master);
        END IF;
        IF outside <> '{}' THEN
            RAISE EXCEPTION USING ERRCODE = 'TY003', MESSAGE = array_to_string(outside[:5], ', ');
        END IF;
    END IF;
    IF was IS NOT NULL THEN
        CLOSE before;
    END IF;
    RETURN true;
END $$;
