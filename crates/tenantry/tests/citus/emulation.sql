-- An emulation of Citus, for tests on a server that has none: not Citus, and no proof of how Citus behaves.
--
-- A superuser runs it in a database of its own. From then on the database looks like the coordinator of a cluster with
-- two workers to whoever asks the catalogs. Nothing is moved anywhere: a schema that is distributed is noted as such, and
-- what Citus was seen to refuse for the tables in it is refused here, in its words. What is sent to such a schema is
-- recorded in `emulated_sent`, with the settings that count.

SET allow_system_table_mods = on;

INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
SELECT (max(oid::bigint) + 1000000)::oid, 'citus', 10, 'pg_catalog'::regnamespace, false, 'emulation' FROM pg_extension;

CREATE TABLE pg_catalog.pg_dist_node (
    nodeid int PRIMARY KEY, groupid int, nodename text, nodeport int, isactive boolean, noderole text,
    shouldhaveshards boolean DEFAULT true, metadatasynced boolean DEFAULT true
);
INSERT INTO pg_catalog.pg_dist_node VALUES
    (1, 0, 'coordinator', 1, true, 'primary', false), (2, 1, 'worker', 1, true, 'primary', true),
    (3, 2, 'worker', 2, true, 'primary', true);

-- Zero is the coordinator. A copy of the database on another server is a worker once it has another number.
CREATE TABLE pg_catalog.pg_dist_local_group (groupid int PRIMARY KEY);
INSERT INTO pg_catalog.pg_dist_local_group VALUES (0);

CREATE TABLE pg_catalog.pg_dist_schema (schemaid oid PRIMARY KEY, colocationid int NOT NULL, nodeid int NOT NULL);
CREATE VIEW pg_catalog.citus_schemas AS
    SELECT schemaid::regnamespace AS schema_name, colocationid AS colocation_id FROM pg_catalog.pg_dist_schema;
CREATE VIEW pg_catalog.citus_shards AS
    SELECT pg_class.oid::regclass AS table_name, nodename, nodeport
    FROM pg_catalog.pg_dist_schema JOIN pg_catalog.pg_class ON relnamespace = schemaid AND relkind IN ('r', 'p')
    JOIN pg_catalog.pg_dist_node USING (nodeid);
CREATE VIEW pg_catalog.pg_dist_partition AS
    SELECT pg_class.oid::regclass AS logicalrelid, colocationid
    FROM pg_catalog.pg_dist_schema JOIN pg_catalog.pg_class ON relnamespace = schemaid AND relkind IN ('r', 'p');
CREATE VIEW pg_catalog.pg_dist_shard AS
    SELECT logicalrelid, logicalrelid::oid::bigint AS shardid FROM pg_catalog.pg_dist_partition;
CREATE VIEW pg_catalog.pg_dist_placement AS
    SELECT logicalrelid::oid::bigint AS shardid, groupid
    FROM pg_catalog.pg_dist_partition JOIN pg_catalog.pg_dist_schema USING (colocationid)
    JOIN pg_catalog.pg_dist_node USING (nodeid);
GRANT SELECT ON pg_catalog.pg_dist_node, pg_catalog.pg_dist_local_group, pg_catalog.pg_dist_schema, pg_catalog.citus_schemas, pg_catalog.citus_shards,
    pg_catalog.pg_dist_partition, pg_catalog.pg_dist_shard, pg_catalog.pg_dist_placement TO PUBLIC;

CREATE SCHEMA emulated;
GRANT USAGE ON SCHEMA emulated TO PUBLIC;
CREATE SEQUENCE pg_catalog.emulated_colocation;
-- Among the catalogs, because what a migration writes anywhere else is its own affair.
CREATE TABLE pg_catalog.emulated_sent (
    number bigint GENERATED ALWAYS AS IDENTITY, schema_name text, tag text, message text,
    synchronous_commit text, lock_timeout text, statement_timeout text, propagated text
);
GRANT SELECT ON pg_catalog.emulated_sent TO PUBLIC;

-- What counts is how a transaction is committed.
CREATE FUNCTION emulated.committed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $f$
BEGIN
    UPDATE pg_catalog.emulated_sent SET synchronous_commit = current_setting('synchronous_commit') WHERE number = NEW.number;
    RETURN NULL;
END $f$;
CREATE CONSTRAINT TRIGGER committed AFTER INSERT ON pg_catalog.emulated_sent DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION emulated.committed();

-- The statements of a message, by a look at its text without strings and comments.
CREATE FUNCTION emulated.statements(message text) RETURNS int LANGUAGE sql AS $f$
    SELECT count(*)::int
    FROM regexp_split_to_table(
        regexp_replace(regexp_replace(regexp_replace(message, '\$(\w*)\$.*?\$\1\$', '''''', 'g'), '''[^'']*''', '''''', 'g'),
                       '--[^\n]*', '', 'g'), ';') AS statement
    WHERE statement ~ '\S'
$f$;

CREATE FUNCTION emulated.is_distributed(schema oid) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $f$
    SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_dist_schema WHERE schemaid = schema)
$f$;

-- What a worker says of a change of its tables.
CREATE FUNCTION emulated.changed() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $f$
DECLARE
    command record;
    message CONSTANT text := current_query();
BEGIN
    FOR command IN SELECT objid, classid, command_tag, object_type, schema_name FROM pg_event_trigger_ddl_commands()
    LOOP
        CONTINUE WHEN command.schema_name IS NULL OR NOT emulated.is_distributed(to_regnamespace(quote_ident(command.schema_name)));
        INSERT INTO pg_catalog.emulated_sent (schema_name, tag, message, synchronous_commit, lock_timeout, statement_timeout, propagated)
        VALUES (command.schema_name, command.command_tag, message, current_setting('synchronous_commit'),
                current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('citus.propagate_set_commands', true));
        IF emulated.statements(message) > 1 THEN
            RAISE EXCEPTION USING ERRCODE = '42601', MESSAGE = 'cannot insert multiple commands into a prepared statement';
        ELSIF command.command_tag = 'CREATE TRIGGER' THEN
            RAISE EXCEPTION 'triggers are not supported on distributed tables';
        ELSIF command.command_tag = 'ALTER TABLE' AND message ~* '\yRENAME\s+CONSTRAINT\y' THEN
            RAISE EXCEPTION 'renaming constraints belonging to distributed tables is currently unsupported';
        ELSIF command.command_tag = 'ALTER TABLE' AND message ~* '\yADD\s+(COLUMN\s+)?"?\w+"?\s+(big|small)?serial\y' THEN
            RAISE EXCEPTION 'cannot execute ADD COLUMN commands involving serial pseudotypes when metadata is synchronized to workers';
        END IF;
        IF command.command_tag = 'CREATE TABLE' AND command.object_type = 'table' THEN
            PERFORM emulated.guard(command.objid);
        END IF;
    END LOOP;
END $f$;

CREATE FUNCTION emulated.dropped() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $f$
DECLARE
    object record;
BEGIN
    FOR object IN SELECT objid, classid FROM pg_event_trigger_dropped_objects()
    LOOP
        IF object.classid = 'pg_namespace'::regclass THEN
            DELETE FROM pg_catalog.pg_dist_schema WHERE schemaid = object.objid;
        END IF;
    END LOOP;
END $f$;

-- What a worker says of a change of its rows.
CREATE FUNCTION emulated.written() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $f$
BEGIN
    IF current_query() ~ '\y(random|clock_timestamp|timeofday|gen_random_uuid|nextval|setval|file_ends|pg_try_\w+)\(' THEN
        RAISE EXCEPTION USING ERRCODE = '0A000',
            MESSAGE = 'functions used in UPDATE queries on distributed tables must not be VOLATILE';
    END IF;
    INSERT INTO pg_catalog.emulated_sent (schema_name, tag, message, synchronous_commit)
    VALUES (TG_TABLE_SCHEMA, TG_OP, current_query(), current_setting('synchronous_commit'));
    RETURN NULL;
END $f$;

CREATE FUNCTION emulated.guard(class oid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $f$
BEGIN
    EXECUTE format('CREATE TRIGGER emulated_worker BEFORE UPDATE OR DELETE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION emulated.written()', class::regclass);
END $f$;

CREATE FUNCTION pg_catalog.citus_schema_distribute(schemaname regnamespace) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $f$
DECLARE
    class oid;
BEGIN
    IF emulated.is_distributed(schemaname) THEN
        RETURN;
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        RAISE EXCEPTION 'emulation: a schema is distributed without a synchronous commit';
    END IF;
    -- The worker makes such a sequence in a session of its own, which does not know the schema yet.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = session_user)
       AND EXISTS (SELECT 1 FROM pg_namespace WHERE oid = schemaname AND xmin = pg_current_xact_id()::xid)
       AND EXISTS (SELECT 1 FROM pg_depend JOIN pg_class ON pg_class.oid = objid
                   WHERE classid = 'pg_class'::regclass AND relkind = 'S' AND relnamespace = schemaname AND deptype = 'a') THEN
        RAISE EXCEPTION USING ERRCODE = '3F000', MESSAGE = format('schema "%s" does not exist', schemaname);
    END IF;
    FOR class IN SELECT oid FROM pg_class WHERE relnamespace = schemaname AND relkind IN ('r', 'p') AND NOT relispartition
    LOOP
        IF EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = class AND NOT tgisinternal) THEN
            RAISE EXCEPTION 'cannot distribute relation "%" because it has triggers', class::regclass;
        END IF;
        PERFORM emulated.guard(class);
    END LOOP;
    INSERT INTO pg_catalog.pg_dist_schema VALUES (
        schemaname, nextval('pg_catalog.emulated_colocation'),
        (SELECT nodeid FROM pg_catalog.pg_dist_node WHERE groupid > 0 ORDER BY (
            SELECT count(*) FROM pg_catalog.pg_dist_schema AS held WHERE held.nodeid = pg_dist_node.nodeid), nodeid LIMIT 1));
    INSERT INTO pg_catalog.emulated_sent (schema_name, tag, message, synchronous_commit)
    VALUES (schemaname::text, 'DISTRIBUTE', current_query(), current_setting('synchronous_commit'));
END $f$;

CREATE FUNCTION pg_catalog.citus_schema_move(schema_id regnamespace, target text, port int, shard_transfer_mode text DEFAULT 'auto')
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $f$
BEGIN
    UPDATE pg_catalog.pg_dist_schema SET nodeid = node.nodeid FROM pg_catalog.pg_dist_node AS node
    WHERE schemaid = schema_id AND nodename = target AND nodeport = port AND groupid > 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'moving shards to a non-existing node is not supported';
    END IF;
END $f$;

-- By numbers instead of sizes: half of what the fullest node has more than the emptiest.
CREATE FUNCTION pg_catalog.get_rebalance_table_shards_plan() RETURNS TABLE (
    table_name regclass, shardid bigint, shard_size bigint, sourcename text, sourceport int, targetname text, targetport int
) LANGUAGE sql AS $f$
    WITH held AS (
        SELECT node.*, count(schemaid) AS schemas FROM pg_catalog.pg_dist_node AS node LEFT JOIN pg_catalog.pg_dist_schema USING (nodeid)
        WHERE groupid > 0 GROUP BY node.nodeid
    ),
    fullest AS (SELECT * FROM held ORDER BY schemas DESC, nodeid LIMIT 1),
    emptiest AS (SELECT * FROM held ORDER BY schemas, nodeid LIMIT 1)
    SELECT logicalrelid, logicalrelid::oid::bigint, 8192, fullest.nodename, fullest.nodeport, emptiest.nodename, emptiest.nodeport
    FROM fullest, emptiest, LATERAL (
        SELECT colocationid FROM pg_catalog.pg_dist_schema WHERE pg_dist_schema.nodeid = fullest.nodeid
        ORDER BY schemaid LIMIT (fullest.schemas - emptiest.schemas) / 2
    ) AS moving JOIN pg_catalog.pg_dist_partition USING (colocationid)
$f$;

CREATE FUNCTION pg_catalog.create_reference_table(class regclass) RETURNS void LANGUAGE sql AS '';

-- What an installation may have set, and what Tenantry does not rely on.
DO $f$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET synchronous_commit TO off', current_database());
    EXECUTE format('ALTER DATABASE %I SET citus.enable_schema_based_sharding TO on', current_database());
    EXECUTE format('ALTER DATABASE %I SET citus.version TO ''emulation''', current_database());
END $f$;

CREATE EVENT TRIGGER emulated_changed ON ddl_command_end EXECUTE FUNCTION emulated.changed();
CREATE EVENT TRIGGER emulated_dropped ON sql_drop EXECUTE FUNCTION emulated.dropped();
