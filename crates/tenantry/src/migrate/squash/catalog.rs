//! The catalogs of PostgreSQL, and what in their rows says nothing about a schema.
//!
//! The list is of what is left out. A column that a later version of PostgreSQL adds is compared.

use std::fmt::Write as _;

/// A catalog whose rows tell of objects.
pub(super) struct Catalog {
    name: &'static str,
    /// The catalog of the objects that its rows belong to, and the column that says to which.
    class: &'static str,
    key: &'static str,
    /// Columns that differ without harm, or are read in another way.
    without: &'static str,
    /// Further tables, and a condition.
    from: &'static str,
    condition: &'static str,
    /// The object that a row tells of.
    object: &'static str,
    /// Further facts: a name and an expression, and so on.
    exact: &'static str,
    /// Facts that the server writes as SQL, and in another way after it has read what it wrote.
    written: &'static str,
    /// The first version of the server that has it.
    since: i32,
}

const PLAIN: Catalog = Catalog {
    name: "",
    class: "",
    key: "oid",
    without: "oid",
    from: "",
    condition: "",
    object: "member.name",
    exact: "",
    written: "",
    since: 0,
};

/// The catalogs with nothing special about them.
const PLAIN_NAMES: [&str; 19] = [
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_cast",
    "pg_conversion",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_language",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_publication",
    "pg_transform",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
];

const CATALOGS: &[Catalog] = &[
    // Privileges are read apart from the rest: a baseline has statements for them.
    Catalog { name: "pg_namespace", without: "oid,nspname,nspacl", ..PLAIN },
    Catalog { name: "pg_database", without: "oid,datfrozenxid,datminmxid", ..PLAIN },
    Catalog { name: "pg_default_acl", without: "oid,defaclacl", ..PLAIN },
    Catalog { name: "pg_largeobject_metadata", class: "pg_largeobject", ..PLAIN },
    Catalog { name: "pg_collation", without: "oid,collversion,collencoding", ..PLAIN },
    Catalog { name: "pg_publication_rel", without: "oid,prqual,prattrs", ..PLAIN },
    Catalog { name: "pg_publication_namespace", since: 150_000, ..PLAIN },
    Catalog {
        name: "pg_class",
        without: "oid,relname,reltype,relfilenode,relpages,reltuples,relallvisible,relallfrozen,reltoastrelid,\
            relhasindex,relnatts,relchecks,relhasrules,relhastriggers,relhassubclass,relrewrite,relfrozenxid,\
            relminmxid,relacl,relpartbound",
        exact: "'toast', (SELECT reloptions FROM pg_catalog.pg_class AS toast WHERE toast.oid = c.reltoastrelid)",
        written: "'bound', pg_catalog.pg_get_expr(c.relpartbound, c.oid)",
        ..PLAIN
    },
    Catalog {
        name: "pg_attribute",
        class: "pg_class",
        key: "attrelid",
        without: "attrelid,attname,attnum,attcacheoff,attndims,atthasmissing,attmissingval,attisdropped,attacl,\
            attlen,attbyval,attalign,attoptions",
        from: "JOIN pg_catalog.pg_class AS owner ON owner.oid = c.attrelid",
        condition: "AND c.attnum > 0 AND NOT c.attisdropped AND owner.relkind <> 'S'",
        object: "member.name || '.' || CASE WHEN owner.relkind IN ('i', 'I') THEN c.attnum::text \
            ELSE pg_catalog.quote_ident(c.attname) END",
        // Some versions of the server give each column an option of their own, which no two have in common.
        exact: "'position', pg_catalog.row_number() OVER (PARTITION BY c.attrelid ORDER BY c.attnum), \
            'attoptions', (SELECT pg_catalog.jsonb_agg(given ORDER BY given) \
                FROM pg_catalog.unnest(c.attoptions) AS given WHERE given NOT LIKE 'pg_attver=%')",
        ..PLAIN
    },
    Catalog {
        name: "pg_attrdef",
        without: "oid,adrelid,adnum,adbin",
        written: "'default', pg_catalog.pg_get_expr(c.adbin, c.adrelid)",
        ..PLAIN
    },
    Catalog {
        name: "pg_index",
        class: "pg_class",
        key: "indexrelid",
        without: "indkey,indexprs,indpred,indcheckxmin",
        written: "'index', pg_catalog.pg_get_indexdef(c.indexrelid)",
        ..PLAIN
    },
    Catalog {
        name: "pg_constraint",
        without: "oid,conkey,confkey,conbin,confdelsetcols,connoinherit",
        // Of a key in a partition it says how the partition came about.
        exact: "'noinherit', CASE WHEN c.contype IN ('c', 'n') THEN c.connoinherit END",
        written: "'constraint', pg_catalog.pg_get_constraintdef(c.oid)",
        ..PLAIN
    },
    Catalog {
        name: "pg_trigger",
        without: "oid,tgattr,tgqual,tgparentid,tgname",
        written: "'trigger', CASE WHEN NOT c.tgisinternal THEN pg_catalog.pg_get_triggerdef(c.oid) END",
        ..PLAIN
    },
    Catalog {
        name: "pg_rewrite",
        without: "oid,ev_qual,ev_action",
        written: "'rule', pg_catalog.pg_get_ruledef(c.oid)",
        ..PLAIN
    },
    Catalog {
        name: "pg_policy",
        without: "oid,polqual,polwithcheck",
        written: "'using', pg_catalog.pg_get_expr(c.polqual, c.polrelid), \
            'check', pg_catalog.pg_get_expr(c.polwithcheck, c.polrelid)",
        ..PLAIN
    },
    Catalog {
        name: "pg_proc",
        without: "oid,proacl,proargdefaults,prosqlbody",
        written: "'arguments', CASE WHEN c.prokind <> 'a' THEN pg_catalog.pg_get_function_arguments(c.oid) END, \
            'body', pg_catalog.pg_get_function_sqlbody(c.oid)",
        ..PLAIN
    },
    Catalog { name: "pg_aggregate", class: "pg_proc", key: "aggfnoid", ..PLAIN },
    Catalog {
        name: "pg_type",
        without: "oid,typacl,typdefaultbin,typdefault,typndims",
        written: "'default', c.typdefault",
        ..PLAIN
    },
    Catalog {
        name: "pg_enum",
        class: "pg_type",
        key: "enumtypid",
        without: "oid,enumtypid,enumsortorder",
        object: "member.name || ' label ' || pg_catalog.quote_literal(c.enumlabel)",
        exact: "'position', pg_catalog.row_number() OVER (PARTITION BY c.enumtypid ORDER BY c.enumsortorder)",
        ..PLAIN
    },
    Catalog { name: "pg_range", class: "pg_type", key: "rngtypid", ..PLAIN },
    Catalog { name: "pg_sequence", class: "pg_class", key: "seqrelid", ..PLAIN },
    Catalog { name: "pg_inherits", class: "pg_class", key: "inhrelid", ..PLAIN },
    Catalog { name: "pg_foreign_table", class: "pg_class", key: "ftrelid", ..PLAIN },
    Catalog {
        name: "pg_partitioned_table",
        class: "pg_class",
        key: "partrelid",
        without: "partattrs,partexprs",
        written: "'key', pg_catalog.pg_get_partkeydef(c.partrelid)",
        ..PLAIN
    },
    Catalog {
        name: "pg_statistic_ext",
        without: "oid,stxkeys,stxexprs",
        written: "'statistics', pg_catalog.pg_get_statisticsobjdef(c.oid)",
        ..PLAIN
    },
    Catalog {
        name: "pg_ts_config_map",
        class: "pg_ts_config",
        key: "mapcfg",
        object: "member.name || ' token ' || c.maptokentype || '.' || c.mapseqno",
        ..PLAIN
    },
];

/// A query for the rows of all catalogs that a server of this version has and that tell of `member`s: for
/// each the object, the catalog, and two JSON objects, of what is exact and of what is written.
pub(super) fn rows(version: i32) -> String {
    let plain = PLAIN_NAMES.iter().map(|name| Catalog { name, ..PLAIN }.rows());
    let others = CATALOGS.iter().filter(|catalog| catalog.since <= version).map(Catalog::rows);
    plain.chain(others).collect::<Vec<_>>().join(" UNION ALL ")
}

impl Catalog {
    fn rows(&self) -> String {
        let Self { name, key, without, from, condition, object, exact, written, .. } = self;
        let class = if self.class.is_empty() { name } else { self.class };
        let mut query = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            query,
            "SELECT {object} AS object, '{name}' AS catalog, \
                 pg_catalog.to_jsonb(c) - '{{{without}}}'::text[] || pg_catalog.jsonb_build_object({exact}) AS exact, \
                 pg_catalog.jsonb_build_object({written}) AS written \
             FROM member JOIN pg_catalog.{name} AS c ON c.{key} = member.objid {from} \
             WHERE member.classid = 'pg_catalog.{class}'::pg_catalog.regclass {condition}"
        );
        query
    }
}
