-- What the catalogs say of some schemas, a hash for each row, so that schemas with the same rows have the same objects.
--
-- Whatever `objects.sql` shows is in here as the catalogs have it, which is much cheaper to read than SQL that is made
-- of it: no table of a tenant is opened, and nothing of it stays in the memory of the session. Two schemas may have
-- the same objects and other rows: where a column was dropped, or a statement stands elsewhere in its file.
--
-- `hash` is over what does not name the schema. `text` may name it, or a number that another schema has otherwise;
-- such an expression is written out as SQL. What an expression refers to, beside its table and what PostgreSQL brings,
-- stands in pg_depend. Views are looked at apart, since those lock what they read.
row AS (
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(
            1, relname, relkind, relpersistence, relrowsecurity, relforcerowsecurity, relowner,
            CASE WHEN NOT has_role THEN relacl END), 0) AS hash,
        CASE WHEN has_role AND relacl IS NOT NULL OR relpartbound IS NOT NULL THEN pg_catalog.concat_ws(
            ' ', '', relacl, pg_catalog.pg_get_expr(relpartbound, 0)) END AS text
    FROM relation

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(2, relname, partstrat, partattrs::text, partcollation, partclass), 0),
        pg_catalog.pg_get_partkeydef(oid)
    FROM relation JOIN pg_catalog.pg_partitioned_table ON partrelid = oid
    WHERE relkind = 'p'

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(
            3, relname, seqtypid, seqincrement, seqmin, seqmax, seqstart, seqcache, seqcycle), 0),
        NULL
    FROM relation JOIN pg_catalog.pg_sequence ON seqrelid = oid
    WHERE relkind = 'S'

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(
            4, relname, attnum, attname, CASE WHEN atttypid < 16384 THEN atttypid END, atttypmod, attnotnull,
            attidentity, attgenerated, attcollation, CASE WHEN NOT has_role THEN attacl END), 0),
        CASE WHEN atthasdef OR atttypid >= 16384 OR has_role AND attacl IS NOT NULL THEN pg_catalog.concat_ws(
            ' ', '', CASE WHEN atttypid >= 16384 THEN pg_catalog.format_type(atttypid, atttypmod) END, attacl,
            CASE WHEN atthasdef THEN (
                SELECT CASE WHEN EXISTS (
                        SELECT FROM pg_catalog.pg_depend AS on_other
                        WHERE on_other.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                            AND on_other.objid = pg_attrdef.oid AND on_other.refobjid <> adrelid)
                    -- Where no column is named, it need not be opened.
                    THEN pg_catalog.pg_get_expr(adbin, CASE attgenerated WHEN '' THEN 0 ELSE adrelid END)
                    ELSE adbin::text END
                FROM pg_catalog.pg_attrdef WHERE adrelid = attrelid AND adnum = attnum) END) END
    FROM relation
    JOIN pg_catalog.pg_attribute ON attrelid = oid AND attnum > 0 AND NOT attisdropped
    WHERE relkind IN ('r', 'p', 'f')

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique, hash, text
    -- What a server does not know yet is as if it were null there.
    FROM (VALUES (NULL::bool, NULL::bool, NULL::text)) AS unknown (conenforced, conperiod, confdelsetcols), relation,
        LATERAL (SELECT pg_catalog.hash_record_extended(ROW(
                5, relname, conname, contype, condeferrable, condeferred, convalidated, connoinherit, conkey, confkey,
                confupdtype, confdeltype, confmatchtype, conexclop, conenforced, conperiod, confdelsetcols::text
            ), 0) AS hash,
            CASE contype
                WHEN 'f' THEN (
                    SELECT CASE WHEN parent.relnamespace <> schema THEN parent.relnamespace::text END
                        || ' ' || parent.relname FROM pg_catalog.pg_class AS parent WHERE parent.oid = confrelid)
                WHEN 'c' THEN CASE WHEN EXISTS (
                        SELECT FROM pg_catalog.pg_depend AS on_other
                        WHERE on_other.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
                            AND on_other.objid = pg_constraint.oid AND on_other.refobjid <> conrelid)
                    THEN pg_catalog.pg_get_constraintdef(pg_constraint.oid) ELSE conbin::text END
            END AS text
            FROM pg_catalog.pg_constraint
            WHERE conrelid = relation.oid AND contype IN ('p', 'u', 'x', 'c', 'f')) AS constraints
    WHERE relkind IN ('r', 'p', 'f')

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique, hash, text
    FROM (VALUES (NULL::bool)) AS unknown (indnullsnotdistinct), relation,
        LATERAL (SELECT pg_catalog.hash_record_extended(ROW(
                6, relation.relname, other.relname, other.relam, other.reloptions, indkey::text, indclass,
                indcollation, indoption::text, indisunique, indisprimary, indisexclusion, indimmediate, indisvalid,
                indnkeyatts, indnullsnotdistinct), 0) AS hash,
            CASE WHEN indexprs IS NOT NULL OR indpred IS NOT NULL THEN CASE WHEN EXISTS (
                    SELECT FROM pg_catalog.pg_depend AS on_other
                    WHERE on_other.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                        AND on_other.objid = indexrelid AND on_other.refobjid <> indrelid)
                THEN pg_catalog.pg_get_indexdef(indexrelid, 0, true)
                ELSE pg_catalog.concat_ws(' ', '', indexprs, '', indpred) END END AS text
            FROM pg_catalog.pg_index JOIN pg_catalog.pg_class AS other ON other.oid = indexrelid
            WHERE indrelid = relation.oid) AS indexes
    WHERE relkind IN ('r', 'p', 'm')

    UNION ALL
    SELECT relation.schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(7, relname, tgname, tgenabled), 0),
        CASE WHEN tgqual IS NULL AND tgconstrrelid = 0 THEN (
            SELECT pg_catalog.concat_ws(' ', pg_proc.oid::pg_catalog.regproc, tgtype, tgdeferrable, tginitdeferred, tgattr,
                tgargs, '', tgoldtable, '', tgnewtable) FROM pg_catalog.pg_proc WHERE pg_proc.oid = tgfoid)
            ELSE pg_catalog.pg_get_triggerdef(pg_trigger.oid, true) END
    FROM relation JOIN pg_catalog.pg_trigger ON tgrelid = relation.oid AND NOT tgisinternal
    WHERE relhastriggers

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(8, relname, polname, polcmd, polpermissive), 0),
        pg_catalog.concat_ws(' ', '',
            ARRAY(SELECT pg_catalog.pg_get_userbyid(role) FROM pg_catalog.unnest(polroles) AS role ORDER BY 1),
            CASE WHEN EXISTS (
                    SELECT FROM pg_catalog.pg_depend AS on_other
                    WHERE on_other.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
                        AND on_other.objid = pg_policy.oid AND on_other.refobjid <> polrelid)
                THEN pg_catalog.concat_ws(
                    ' ', pg_catalog.pg_get_expr(polqual, polrelid), '', pg_catalog.pg_get_expr(polwithcheck, polrelid))
                ELSE pg_catalog.concat_ws(' ', polqual, '', polwithcheck) END)
    FROM relation JOIN pg_catalog.pg_policy ON polrelid = relation.oid
    WHERE relkind IN ('r', 'p')

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(
            9, proname, prokind, prolang, procost, prorows, prosecdef, proleakproof, proisstrict, proretset, provolatile,
            proparallel, proowner, CASE WHEN NOT has_role THEN proacl END, proargnames, proargmodes, probin), 0),
        CASE WHEN proargdefaults IS NULL AND prosqlbody IS NULL AND prosupport = 0
            THEN pg_catalog.concat_ws(' ', proconfig, pg_catalog.pg_get_function_result(pg_proc.oid), '',
                pg_catalog.pg_get_function_arguments(pg_proc.oid), prosrc)
            ELSE pg_catalog.pg_get_functiondef(pg_proc.oid) END
            || CASE WHEN has_role AND proacl IS NOT NULL THEN proacl::text ELSE '' END
    FROM member JOIN pg_catalog.pg_proc ON pg_proc.oid = objid
    WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(
            10, typname, typtype, typtypmod, typnotnull, typowner, CASE WHEN NOT has_role THEN typacl END), 0),
        pg_catalog.concat_ws(' ', CASE WHEN has_role THEN typacl END, definition)
    FROM type

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique, 11, pg_catalog.concat_ws(' ', nspowner, nspacl)
    FROM schema

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(12, defaclrole, defaclobjtype), 0), defaclacl::text
    FROM member JOIN pg_catalog.pg_default_acl ON pg_default_acl.oid = objid
    WHERE classid = 'pg_catalog.pg_default_acl'::pg_catalog.regclass

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(13, relname, inhseqno), 0), inhparent::pg_catalog.regclass::text
    FROM relation JOIN pg_catalog.pg_inherits ON inhrelid = relation.oid
    WHERE relkind IN ('r', 'p', 'f')

    UNION ALL
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(
            14, proname, aggkind, aggnumdirectargs, aggfinalextra, aggmfinalextra, aggfinalmodify, aggmfinalmodify,
            aggtransspace, aggmtransspace, agginitval, aggminitval), 0),
        pg_catalog.concat_ws(' ', pg_catalog.pg_get_function_arguments(pg_proc.oid), aggtransfn, aggfinalfn, aggcombinefn,
            aggserialfn, aggdeserialfn, aggmtransfn, aggminvtransfn, aggmfinalfn, aggsortop::pg_catalog.regoperator,
            pg_catalog.format_type(aggtranstype, NULL), pg_catalog.format_type(aggmtranstype, NULL))
    FROM member JOIN pg_catalog.pg_proc ON pg_proc.oid = objid JOIN pg_catalog.pg_aggregate ON aggfnoid = pg_proc.oid
    WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass

    UNION ALL
    -- Of a view, whoever may use single columns.
    SELECT schema, prefix, pattern, schema_name, is_unique,
        pg_catalog.hash_record_extended(ROW(15, relname, attname), 0), attacl::text
    FROM relation JOIN pg_catalog.pg_attribute ON attrelid = oid AND attacl IS NOT NULL
    WHERE relkind IN ('v', 'm')
)
