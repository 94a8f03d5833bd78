//! Casts, which a dump of one schema leaves out.

use sqlx::PgConnection;

use super::fingerprint::Subject;
use crate::error::Result;

/// A cast from or to a type of the schema, or by a function of it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Cast {
    /// The statement that makes it, for a session whose path is the schema.
    pub(super) statement: String,
    /// The schema's own types and functions that it needs.
    pub(super) needs: Vec<String>,
    pub(super) comment: Option<String>,
}

/// Reads the casts of a schema to which the path of the transaction leads.
pub(super) async fn of_schema(connection: &mut PgConnection, subject: Subject<'_>) -> Result<Vec<Cast>> {
    Ok(sqlx::query_as(CASTS).bind(subject.schema.as_str()).persistent(false).fetch_all(connection).await?)
}

const CASTS: &str = "
    WITH own AS MATERIALIZED (
        SELECT classid, objid FROM pg_depend AS d JOIN pg_namespace AS n ON n.oid = d.refobjid
        WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n' AND n.nspname = $1
            AND d.classid IN ('pg_type'::regclass, 'pg_proc'::regclass)
    )
    SELECT format('CREATE CAST (%s) %s%s', shown.name,
            CASE castmethod WHEN 'b' THEN 'WITHOUT FUNCTION' WHEN 'i' THEN 'WITH INOUT'
                ELSE 'WITH FUNCTION ' || castfunc::regprocedure END,
            CASE castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END) AS statement,
        ARRAY(
            SELECT typname::text FROM own JOIN pg_type AS t ON t.oid = own.objid
            WHERE classid = 'pg_type'::regclass AND t.oid IN (castsource, casttarget)
            UNION ALL
            SELECT proname::text FROM own JOIN pg_proc AS p ON p.oid = own.objid
            WHERE classid = 'pg_proc'::regclass AND p.oid = castfunc
        ) AS needs,
        'COMMENT ON CAST (' || shown.name || ') IS ' || quote_literal(obj_description(c.oid, 'pg_cast')) AS comment
    FROM (
        SELECT DISTINCT d.objid FROM own JOIN pg_depend AS d ON d.refclassid = own.classid AND d.refobjid = own.objid
        WHERE d.classid = 'pg_cast'::regclass AND NOT EXISTS (
            SELECT FROM pg_depend AS e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype IN ('e', 'i'))
    ) AS found
    JOIN pg_cast AS c ON c.oid = found.objid,
    LATERAL (SELECT format('%s AS %s', castsource::regtype, casttarget::regtype)) AS shown (name)
    ORDER BY shown.name";
