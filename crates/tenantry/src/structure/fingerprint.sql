-- What the server says of one schema, an object a row: `object (kind, name, definition)`.
--
-- $1 is the schema, $2 its tenant's own role, or NULL. $3 is true if it counts who owns what, and $4 names the tables
-- that do not count, with their sequences. $5 are the schemas whose names the server leaves out.
--
-- The statement is read with `pg_catalog` alone in the path, so nothing in a schema stands for what it calls. Only then
-- it puts the schemas of $5 before `pg_catalog`, for the texts that the server writes.
--
-- Everything is found from the schema by `pg_depend`, which has an index: other catalogs have none by schema, and would
-- be read with what all other schemas have in them.
--
-- Left out are the ledger, rows and positions of sequences, whether a view holds rows, indexes that are not valid, and
-- what differs between two schemas that the same statements made, such as numbers of columns where one was dropped.
WITH named AS MATERIALIZED (
    SELECT string_agg(quote_ident(name), ', ' ORDER BY position) AS schemas
    FROM unnest($5::text[]) WITH ORDINALITY AS listed (name, position)
),
-- What writes the texts compares by operators of the path. Where one stands for the server's, the server's are first,
-- and the texts have the names of schemas.
planted AS MATERIALIZED (
    SELECT count(*) > 0 AS is_any
    FROM pg_namespace AS n
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid
        AND d.classid = 'pg_operator'::regclass
    JOIN pg_operator AS o ON o.oid = d.objid
    JOIN pg_operator AS s ON (s.oprname, s.oprleft, s.oprright) = (o.oprname, o.oprleft, o.oprright)
        AND s.oprnamespace = 'pg_catalog'::regnamespace
    WHERE n.nspname = ANY ($5::text[])
),
path AS MATERIALIZED (
    SELECT set_config('search_path', CASE WHEN is_any THEN 'pg_catalog, ' || schemas
        ELSE schemas || ', pg_catalog' END, true) AS is_set
    FROM named, planted
),
-- All else begins here, so it is written under that path.
own AS MATERIALIZED (
    SELECT oid, nspname, nspowner, nspacl FROM path, pg_namespace WHERE nspname = $1 AND is_set <> ''
),
member AS MATERIALIZED (
    SELECT d.classid, d.objid
    FROM own
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = own.oid AND d.deptype = 'n'
    WHERE NOT EXISTS (
            SELECT FROM pg_depend AS e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e'
        )
        AND NOT EXISTS (
            SELECT FROM pg_class AS ledger
            WHERE d.classid = 'pg_class'::regclass AND ledger.oid = d.objid
                AND (ledger.relname = '_sqlx_migrations' OR ledger.relname = ANY ($4)
                    OR ledger.relkind = 'S' AND cardinality($4) > 0 AND EXISTS (
                        SELECT FROM pg_depend AS o JOIN pg_class AS t ON t.oid = o.refobjid
                        WHERE o.classid = 'pg_class'::regclass AND o.objid = ledger.oid
                            AND o.refclassid = 'pg_class'::regclass AND o.deptype IN ('a', 'i')
                            AND t.relname = ANY ($4)))
        )
),
rel AS MATERIALIZED (
    SELECT c.* FROM member JOIN pg_class AS c ON c.oid = member.objid
    WHERE member.classid = 'pg_class'::regclass AND c.relkind NOT IN ('i', 'I')
),
typ AS MATERIALIZED (
    SELECT t.* FROM member JOIN pg_type AS t ON t.oid = member.objid WHERE member.classid = 'pg_type'::regclass
),
-- A composite type has columns, too.
with_columns AS MATERIALIZED (
    SELECT oid, relname FROM rel WHERE relkind <> 'S'
    UNION
    SELECT c.oid, c.relname FROM typ JOIN pg_class AS c ON c.oid = typ.typrelid
    WHERE typ.typtype = 'c' AND typ.typrelid <> 0
),
idx AS MATERIALIZED (
    SELECT i.*, c.relname, c.reloptions, c.reltablespace
    FROM rel JOIN pg_index AS i ON i.indrelid = rel.oid JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indisvalid OR rel.relkind = 'p'
),
proc AS MATERIALIZED (
    SELECT p.* FROM member JOIN pg_proc AS p ON p.oid = member.objid WHERE member.classid = 'pg_proc'::regclass
),
constrained AS MATERIALIZED (
    SELECT c.* FROM rel JOIN pg_constraint AS c ON c.conrelid = rel.oid
    UNION ALL
    SELECT c.* FROM typ JOIN pg_constraint AS c ON c.contypid = typ.oid
),
casts AS MATERIALIZED (
    SELECT DISTINCT d.objid AS oid
    FROM member JOIN pg_depend AS d ON d.refclassid = member.classid AND d.refobjid = member.objid
    WHERE d.classid = 'pg_cast'::regclass AND member.classid IN ('pg_type'::regclass, 'pg_proc'::regclass)
),
defaults AS MATERIALIZED (
    SELECT a.* FROM own
    JOIN pg_depend AS d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = own.oid
        AND d.classid = 'pg_default_acl'::regclass
    JOIN pg_default_acl AS a ON a.oid = d.objid
),
privileges (name, items) AS (
    SELECT 'schema', coalesce(nspacl, acldefault('n', nspowner)) FROM own
    UNION ALL
    SELECT concat_ws(' ', 'default', defaclrole::regrole, defaclobjtype), defaclacl FROM defaults
    UNION ALL
    SELECT 'relation ' || relname,
        coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
    FROM rel
    UNION ALL
    SELECT concat_ws(' ', 'column', c.relname, a.attname), a.attacl
    FROM with_columns AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attacl IS NOT NULL
    UNION ALL
    SELECT 'routine ' || oid::regprocedure, coalesce(proacl, acldefault('f', proowner)) FROM proc
    UNION ALL
    SELECT 'type ' || typname, coalesce(typacl, acldefault('T', typowner)) FROM typ
),
object (kind, name, definition) AS (
    SELECT 'schema', '', jsonb_build_array(
        CASE WHEN $3 THEN nspowner::regrole END, obj_description(oid, 'pg_namespace')) FROM own
    UNION ALL
    SELECT 'privileges', privileges.name,
        jsonb_agg(jsonb_build_array(role, privilege_type, is_grantable, grantor::regrole)
            ORDER BY role, privilege_type, grantor::regrole::text)
    FROM privileges, LATERAL aclexplode(items), LATERAL (
        SELECT CASE WHEN grantee = 0 THEN '' WHEN pg_get_userbyid(grantee) = $2 THEN '=own='
            ELSE pg_get_userbyid(grantee)::text END
    ) AS granted (role)
    GROUP BY privileges.name
    UNION ALL
    SELECT 'relation', relname, jsonb_build_array(relkind, relpersistence, CASE WHEN $3 THEN relowner::regrole END,
        (SELECT jsonb_agg(o ORDER BY o) FROM pg_catalog.unnest(reloptions) AS o),
        (SELECT (SELECT jsonb_agg(o ORDER BY o) FROM pg_catalog.unnest(t.reloptions) AS o)
            FROM pg_class AS t WHERE t.oid = rel.reltoastrelid),
        (SELECT amname FROM pg_am WHERE pg_am.oid = relam),
        (SELECT spcname FROM pg_tablespace AS t WHERE t.oid = reltablespace),
        relreplident, relrowsecurity, relforcerowsecurity, pg_get_partkeydef(oid), pg_get_expr(relpartbound, oid),
        relispartition, NULLIF(reloftype, 0)::regtype,
        (SELECT jsonb_agg(inhparent::regclass ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = rel.oid),
        CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END,
        (SELECT jsonb_build_array(srvname, ftoptions)
            FROM pg_foreign_table JOIN pg_foreign_server AS f ON f.oid = ftserver WHERE ftrelid = rel.oid),
        obj_description(oid, 'pg_class'))
    FROM rel
    UNION ALL
    SELECT 'column', c.relname || '.' || attname, jsonb_build_array(
        row_number() OVER (PARTITION BY attrelid ORDER BY attnum),
        format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attislocal, attinhcount,
        NULLIF(attcollation, 0)::regcollation, attstorage, attcompression, NULLIF(attstattarget, -1),
        (SELECT jsonb_agg(o ORDER BY o) FROM pg_catalog.unnest(attoptions) AS o WHERE o NOT LIKE 'pg_attver=%'),
        attfdwoptions,
        (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = attrelid AND adnum = attnum),
        col_description(attrelid, attnum))
    FROM with_columns AS c JOIN pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'sequence', relname, jsonb_build_array(seqtypid::regtype, seqincrement, seqmin, seqmax, seqstart, seqcache,
        seqcycle,
        (SELECT jsonb_agg(jsonb_build_array(deptype, refobjid::regclass, attname))
            FROM pg_depend AS d JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = rel.oid AND refclassid = 'pg_class'::regclass
                AND deptype IN ('a', 'i')))
    FROM rel JOIN pg_sequence ON seqrelid = rel.oid
    UNION ALL
    SELECT 'constraint', coalesce(NULLIF(conrelid, 0)::regclass::text, contypid::regtype::text) || '.' || conname,
        jsonb_build_array(contype, pg_get_constraintdef(oid), convalidated,
            -- Of a key in a partition it says how the partition came about.
            connoinherit AND contype NOT IN ('p', 'u', 'x'), conislocal, coninhcount, conparentid <> 0,
            NULLIF(conindid, 0)::regclass, obj_description(oid, 'pg_constraint'))
    FROM constrained
    UNION ALL
    SELECT 'index', relname, jsonb_build_array(indrelid::regclass, pg_get_indexdef(indexrelid, 0, true), indisclustered,
        indisreplident, indisprimary, indimmediate,
        (SELECT spcname FROM pg_tablespace AS t WHERE t.oid = reltablespace),
        (SELECT jsonb_agg(o ORDER BY o) FROM pg_catalog.unnest(reloptions) AS o),
        (SELECT jsonb_agg(NULLIF(attstattarget, -1) ORDER BY attnum) FROM pg_attribute WHERE attrelid = indexrelid),
        (SELECT jsonb_agg(inhparent::regclass) FROM pg_inherits WHERE inhrelid = indexrelid),
        obj_description(indexrelid, 'pg_class'))
    FROM idx
    UNION ALL
    SELECT 'trigger', rel.relname || '.' || tgname, jsonb_build_array(pg_get_triggerdef(t.oid, true), tgenabled,
        tgparentid <> 0, obj_description(t.oid, 'pg_trigger'))
    FROM rel JOIN pg_trigger AS t ON tgrelid = rel.oid AND NOT tgisinternal
    UNION ALL
    SELECT 'internal triggers', rel.relname,
        jsonb_agg(jsonb_build_array(tgfoid::regproc, tgenabled, tgconstrrelid::regclass)
            ORDER BY tgfoid::regproc::text, tgconstrrelid::regclass::text, tgenabled)
    FROM rel JOIN pg_trigger ON tgrelid = rel.oid AND tgisinternal GROUP BY rel.relname
    UNION ALL
    SELECT 'rule', rel.relname || '.' || rulename, jsonb_build_array(
        CASE WHEN rulename <> '_RETURN' THEN pg_get_ruledef(r.oid, true) END, ev_enabled,
        obj_description(r.oid, 'pg_rewrite'))
    FROM rel JOIN pg_rewrite AS r ON ev_class = rel.oid
    UNION ALL
    SELECT 'policy', rel.relname || '.' || polname, jsonb_build_array(polcmd, polpermissive,
        (SELECT jsonb_agg(role ORDER BY role) FROM (
            SELECT CASE WHEN r = 0 THEN 'public' WHEN pg_get_userbyid(r) = $2 THEN '=own='
                ELSE pg_get_userbyid(r)::text END
            FROM pg_catalog.unnest(polroles) AS r) AS roles (role)),
        pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(p.oid, 'pg_policy'))
    FROM rel JOIN pg_policy AS p ON polrelid = rel.oid
    UNION ALL
    SELECT 'routine', p.oid::regprocedure::text, jsonb_build_array(CASE WHEN $3 THEN proowner::regrole END,
        (SELECT lanname FROM pg_language AS l WHERE l.oid = prolang), procost, prorows, NULLIF(provariadic, 0)::regtype,
        NULLIF(prosupport, 0)::regproc, prokind, prosecdef, proleakproof, proisstrict, provolatile, proparallel,
        pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
        (SELECT jsonb_agg(t::regtype) FROM pg_catalog.unnest(protrftypes) AS t), prosrc, probin,
        pg_get_function_sqlbody(p.oid),
        (SELECT jsonb_agg(CASE WHEN c LIKE 'search_path=%'
                THEN regexp_replace(c, '(=|, *)' || quoted.name || '($|,)', '\1=own=\2') ELSE c END)
            FROM pg_catalog.unnest(proconfig) AS c),
        (SELECT jsonb_build_array(aggkind, aggnumdirectargs, aggtransfn, aggfinalfn, aggcombinefn, aggserialfn,
                aggdeserialfn, aggmtransfn, aggminvtransfn, aggmfinalfn, aggfinalextra, aggmfinalextra, aggfinalmodify,
                aggmfinalmodify, NULLIF(aggsortop, 0)::regoperator, aggtranstype::regtype, aggtransspace,
                NULLIF(aggmtranstype, 0)::regtype, aggmtransspace, agginitval, aggminitval)
            FROM pg_aggregate WHERE aggfnoid = p.oid),
        obj_description(p.oid, 'pg_proc'))
    FROM proc AS p, LATERAL (
        SELECT regexp_replace(quote_ident(nspname), '([^[:alnum:]_])', '\\\1', 'g') FROM own
    ) AS quoted (name)
    UNION ALL
    SELECT 'type', typname, jsonb_build_array(
        CASE WHEN $3 THEN typowner::regrole END, typtype, typlen, typbyval, typcategory, typispreferred,
        typdelim, typalign, typstorage, typinput, typoutput, typreceive, typsend, typmodin, typmodout, typanalyze,
        CASE WHEN typtype = 'd' THEN jsonb_build_array(typnotnull, format_type(typbasetype, typtypmod),
            NULLIF(typcollation, 0)::regcollation) END,
        typdefault,
        (SELECT jsonb_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = typ.oid),
        (SELECT jsonb_build_array(rngsubtype::regtype, rngmultitypid::regtype, NULLIF(rngcollation, 0)::regcollation,
                (SELECT opcname FROM pg_opclass WHERE oid = rngsubopc), rngcanonical, rngsubdiff)
            FROM pg_range WHERE rngtypid = typ.oid),
        obj_description(typ.oid, 'pg_type'))
    FROM typ
    UNION ALL
    SELECT 'operator', o.oid::regoperator::text, jsonb_build_array(CASE WHEN $3 THEN oprowner::regrole END, oprcode,
        NULLIF(oprcom, 0)::regoperator, NULLIF(oprnegate, 0)::regoperator, oprrest, oprjoin, oprcanmerge, oprcanhash,
        obj_description(o.oid, 'pg_operator'))
    FROM member JOIN pg_operator AS o ON o.oid = objid WHERE classid = 'pg_operator'::regclass
    UNION ALL
    SELECT 'cast', format_type(castsource, NULL) || ' as ' || format_type(casttarget, NULL),
        jsonb_build_array(NULLIF(castfunc, 0)::regprocedure, castcontext, castmethod, obj_description(c.oid, 'pg_cast'))
    FROM casts JOIN pg_cast AS c ON c.oid = casts.oid
    UNION ALL
    SELECT 'collation', collname, to_jsonb(c) - '{oid,collnamespace,collowner,collversion,collencoding}'::text[]
        || jsonb_build_object('owner', CASE WHEN $3 THEN collowner::regrole END,
            'comment', obj_description(c.oid, 'pg_collation'))
    FROM member JOIN pg_collation AS c ON c.oid = objid WHERE classid = 'pg_collation'::regclass
    UNION ALL
    SELECT 'conversion', conname, jsonb_build_array(
        CASE WHEN $3 THEN conowner::regrole END, conforencoding, contoencoding, conproc,
        condefault, obj_description(c.oid, 'pg_conversion'))
    FROM member JOIN pg_conversion AS c ON c.oid = objid WHERE classid = 'pg_conversion'::regclass
    UNION ALL
    SELECT 'text search configuration', cfgname, jsonb_build_array(CASE WHEN $3 THEN cfgowner::regrole END,
        (SELECT prsname FROM pg_ts_parser AS p WHERE p.oid = cfgparser),
        (SELECT jsonb_agg(jsonb_build_array(maptokentype, mapseqno, mapdict::regdictionary)
                ORDER BY maptokentype, mapseqno)
            FROM pg_ts_config_map WHERE mapcfg = c.oid),
        obj_description(c.oid, 'pg_ts_config'))
    FROM member JOIN pg_ts_config AS c ON c.oid = objid WHERE classid = 'pg_ts_config'::regclass
    UNION ALL
    SELECT 'text search dictionary', dictname, jsonb_build_array(CASE WHEN $3 THEN dictowner::regrole END,
        (SELECT tmplname FROM pg_ts_template AS t WHERE t.oid = dicttemplate), dictinitoption,
        obj_description(c.oid, 'pg_ts_dict'))
    FROM member JOIN pg_ts_dict AS c ON c.oid = objid WHERE classid = 'pg_ts_dict'::regclass
    UNION ALL
    SELECT 'statistics', stxname, jsonb_build_array(
        CASE WHEN $3 THEN stxowner::regrole END, stxrelid::regclass, stxkind,
        NULLIF(stxstattarget, -1), pg_get_statisticsobjdef_columns(c.oid), obj_description(c.oid, 'pg_statistic_ext'))
    FROM member JOIN pg_statistic_ext AS c ON c.oid = objid WHERE classid = 'pg_statistic_ext'::regclass
    UNION ALL
    SELECT 'operator class', concat_ws(' ', opcname, opcmethod), jsonb_build_array(
        CASE WHEN $3 THEN opcowner::regrole END,
        opcintype::regtype, opcdefault, NULLIF(opckeytype, 0)::regtype, obj_description(c.oid, 'pg_opclass'))
    FROM member JOIN pg_opclass AS c ON c.oid = objid WHERE classid = 'pg_opclass'::regclass
    UNION ALL
    SELECT 'operator family', concat_ws(' ', opfname, opfmethod), jsonb_build_array(
        CASE WHEN $3 THEN opfowner::regrole END,
        (SELECT jsonb_agg(jsonb_build_array(amopstrategy, amopopr::regoperator)
                ORDER BY amopstrategy, amopopr::regoperator::text)
            FROM pg_amop WHERE amopfamily = c.oid),
        (SELECT jsonb_agg(jsonb_build_array(amprocnum, amproc::regprocedure)
                ORDER BY amprocnum, amproc::regprocedure::text)
            FROM pg_amproc WHERE amprocfamily = c.oid),
        obj_description(c.oid, 'pg_opfamily'))
    FROM member JOIN pg_opfamily AS c ON c.oid = objid WHERE classid = 'pg_opfamily'::regclass
    UNION ALL
    SELECT 'other', classid::regclass::text, to_jsonb(count(*))
    FROM member
    WHERE classid NOT IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass,
        'pg_collation'::regclass, 'pg_conversion'::regclass, 'pg_ts_config'::regclass, 'pg_ts_dict'::regclass,
        'pg_statistic_ext'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass)
    GROUP BY classid
)
