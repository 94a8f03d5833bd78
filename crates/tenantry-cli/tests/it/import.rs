use std::fs;
use std::path::Path;

use serde_json::json;

use crate::bench::Project;

/// A small layout of a tool: a table `note` with an index, in whatever manner the tool has it.
struct Example {
    tool: &'static str,
    files: &'static [(&'static str, &'static str)],
    has_downs: bool,
}

const EXAMPLES: [Example; 7] = [
    Example {
        tool: "goose",
        files: &[
            (
                "20240131120000_note.sql",
                "-- +goose Up\n-- +goose StatementBegin\nCREATE TABLE public.note (id int, title text);\n\
                 -- +goose StatementEnd\n-- +goose Down\nDROP TABLE public.note;\n",
            ),
            (
                "20240131120001_index.sql",
                "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY note_title ON note (title);\n\
                 -- +goose Down\nDROP INDEX CONCURRENTLY note_title;\n",
            ),
        ],
        has_downs: true,
    },
    Example {
        tool: "golang-migrate",
        files: &[
            ("000001_note.up.sql", "BEGIN;\nCREATE TABLE note (id int, title text);\nCOMMIT;\n"),
            ("000001_note.down.sql", "BEGIN;\nDROP TABLE note;\nCOMMIT;\n"),
            ("000002_index.up.sql", "CREATE INDEX CONCURRENTLY note_title ON note (title);"),
            ("000002_index.down.sql", "DROP INDEX CONCURRENTLY public.note_title;"),
        ],
        has_downs: true,
    },
    Example {
        tool: "dbmate",
        files: &[
            (
                "20240131120000_note.sql",
                "-- migrate:up\nCREATE TABLE note (id int, title text);\n\n-- migrate:down\nDROP TABLE note;\n",
            ),
            (
                "20240131120001_index.sql",
                "-- migrate:up transaction:false\r\nCREATE INDEX CONCURRENTLY note_title ON note (title);\r\n\r\n\
                 -- migrate:down\r\nDROP INDEX note_title;\r\n",
            ),
        ],
        has_downs: true,
    },
    Example {
        tool: "diesel",
        files: &[
            ("2024-01-31-120000_note/up.sql", "CREATE TABLE note (id int, title text);"),
            ("2024-01-31-120000_note/down.sql", "DROP TABLE note;"),
            ("2024-01-31-120001_index/up.sql", "CREATE INDEX CONCURRENTLY note_title ON note (title);"),
            ("2024-01-31-120001_index/down.sql", "DROP INDEX note_title;"),
            ("2024-01-31-120001_index/metadata.toml", "run_in_transaction = false"),
        ],
        has_downs: true,
    },
    Example {
        tool: "refinery",
        files: &[
            ("V1__note.sql", "CREATE TABLE note (id int, title text);"),
            ("U2__index.sql", "CREATE INDEX note_title ON note (title);"),
        ],
        has_downs: false,
    },
    Example {
        tool: "flyway",
        files: &[
            ("V1.1__note.sql", "CREATE TABLE public.note (id int, title text);"),
            ("U1.1__note.sql", "DROP TABLE public.note;"),
            ("V1.10__index.sql", "CREATE INDEX note_title ON public.note (title);"),
            ("U1.10__index.sql", "DROP INDEX note_title;"),
        ],
        has_downs: true,
    },
    Example {
        tool: "prisma",
        files: &[
            ("migration_lock.toml", "provider = \"postgresql\""),
            (
                "20240131120000_init/migration.sql",
                "CREATE TABLE \"public\".\"note\" (\"id\" int, \"title\" text);",
            ),
            ("20240131120001_index/migration.sql", "CREATE INDEX \"note_title\" ON \"note\"(\"title\");"),
        ],
        has_downs: false,
    },
];

async fn project_of(example: &Example) -> Project {
    let project = Project::new().await;
    for (file, text) in example.files {
        project.write(&format!("old/{file}"), text);
    }
    project
}

/// Fails unless the tenant has the table and its index in its schema, and the master has neither.
#[track_caller]
fn check_tables(project: &Project, slug: &str, tool: &str) {
    let schema = project.json(&["show", slug])["schema"].as_str().unwrap().to_owned();
    let sql = "SELECT schemaname, indexname FROM pg_indexes WHERE tablename = 'note' ORDER BY 1";
    let found = project.ok(&["exec", "--master", sql]);
    assert!(found.contains(&format!("{schema}  note_title")), "{tool}: {found}");
    assert!(!found.contains("public"), "{tool}: {found}");
    project.ok(&["exec", "--tenant", slug, "INSERT INTO note VALUES (1, 'a')"]);
}

#[tokio::test]
async fn each_layout_is_converted_applied_and_undone() {
    for example in &EXAMPLES {
        let Example { tool, has_downs, .. } = example;
        let project = project_of(example).await;
        let done = project.run(&["import-migrations", tool, "old"]);
        assert_eq!(done.code, 0, "{tool}: {}{}", done.stdout, done.stderr);
        assert_eq!(project.ok(&["lint"]).matches("error").count(), 0, "{tool}");
        project.ok(&["init"]);
        project.ok(&["create", "acme"]);
        check_tables(&project, "acme", tool);
        if *has_downs {
            project.ok(&["migrate", "--to", "0", "--yes"]);
            project.refused(1, &["exec", "--tenant", "acme", "SELECT FROM note"]);
            project.ok(&["migrate"]);
            check_tables(&project, "acme", tool);
        }
    }
}

/// Is written with `<tab>` where a tab stands.
const DUMP: &str = r"--
-- PostgreSQL database dump
--

\restrict x
SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET row_security = off;
CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;
COMMENT ON EXTENSION citext IS 'text in any case';
CREATE FUNCTION public.newest() RETURNS bigint LANGUAGE sql AS $$SELECT max(id) FROM public.note$$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.note (
    id bigint NOT NULL,
    title public.citext
);
ALTER TABLE public.note OWNER TO shop;
ALTER TABLE public.note ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.note_id_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1
);
CREATE TABLE public.visit (at timestamp with time zone DEFAULT now());
COPY public.note (id, title) FROM stdin;
7<tab>it's\t\\ here
8<tab>\N
\.


COPY public.visit (at) FROM stdin;
2024-01-31 12:00:00+00
\.


SELECT pg_catalog.setval('public.note_id_seq', 8, true);
ALTER TABLE ONLY public.note
    ADD CONSTRAINT note_pkey PRIMARY KEY (id);
GRANT SELECT ON TABLE public.note TO reporting;
\unrestrict x
";

#[tokio::test]
async fn a_dump_becomes_a_migration_with_the_rows_that_are_wanted() {
    let project = Project::new().await;
    project.write("shop.sql", &DUMP.replace("<tab>", "\t"));
    let done = project.run(&["import-migrations", "dump", "shop.sql", "--with-rows", "note"]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    for told in [
        "/migrations/master/0001_extensions.sql\n",
        "/migrations/tenant/0001_shop.sql\n",
        "shop.sql:14: changed: `public.` is taken out of the body of the function",
        "shop.sql:21: changed: `ALTER TABLE public.note OWNER TO shop` is left out",
        "shop.sql:32: changed: 1 row of `visit` are left out",
        "shop.sql:40: changed: `GRANT SELECT ON TABLE public.note TO reporting` is left out",
    ] {
        assert!(done.stdout.contains(told), "{told}: {}", done.stdout);
    }
    assert!(
        done.stderr.starts_with("2 files written: 4 places changed, 0 not converted\n"),
        "{}",
        done.stderr
    );
    project.ok(&["init"]);
    project.ok(&["migrate"]);
    project.ok(&["create", "acme"]);
    let rows = project.ok(&[
        "exec",
        "--tenant",
        "acme",
        "INSERT INTO note (title) VALUES ('x') RETURNING newest(), id",
    ]);
    assert_eq!(rows, "newest  id\n9       9\n");
    let sql = "SELECT title = E'IT''S\\t\\\\ HERE' AS same, (SELECT count(*) FROM visit) AS visits \
               FROM note WHERE id = 7";
    let rows = project.json(&["exec", "--tenant", "acme", sql])[0]["rows"].take();
    assert_eq!(rows, json!([{ "same": true, "visits": 0 }]), "{sql}");
}

#[test]
fn a_dry_run_and_a_collision_write_nothing() {
    let project = Project::without_database();
    project.write("old/1_note.up.sql", "CREATE TABLE note (id int);");
    project.write("old/2_more.up.sql", "CREATE TABLE more (id int);\nSET ROLE a;\nCREATE SCHEMA b;");
    let import = ["import-migrations", "golang-migrate", "old"];
    let is_written = |folder: &str| project.folder.path().join(folder).exists();
    let done = project.run(&[&import[..], &["--dry-run"]].concat());
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(
        done.stdout.contains("old/2_more.up.sql:2: changed: `SET ROLE a` is left out"),
        "{}",
        done.stdout
    );
    assert!(
        done.stdout.contains("old/2_more.up.sql:3: not converted: `CREATE SCHEMA b` stays"),
        "{}",
        done.stdout
    );
    assert!(done.stderr.contains("2 files would be written"), "{}", done.stderr);
    assert!(!is_written("migrations"));

    project.write("migrations/tenant/0002_other.sql", "SELECT 1;");
    let error = project.refused(1, &import);
    assert!(error.contains("nothing was written: version 2 is that of `"), "{error}");
    assert!(error.contains("0002_other.sql` already") && error.contains("`--to DIR`"), "{error}");
    assert!(!is_written("migrations/tenant/1_note.sql") && !is_written("migrations/master"));

    let done = project.run(&[&import[..], &["--to", "new", "--format", "json"]].concat());
    assert_eq!((done.code, done.stderr.as_str()), (3, ""));
    let answer: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(answer["files"][1]["version"], 2);
    assert_eq!(answer["findings"][0]["remark"], "changed");
    assert_eq!(answer["findings"][1]["line"], 3);
    assert!(is_written("new/tenant/1_note.sql") && is_written("new/master"));
    // What was read stays as it is.
    let read = |file: &str| fs::read_to_string(project.folder.path().join(Path::new(file))).unwrap();
    assert_eq!(read("old/1_note.up.sql"), "CREATE TABLE note (id int);");
    assert_eq!(read("new/tenant/1_note.sql"), "CREATE TABLE note (id int);\n");
    project.refused(1, &[&import[..], &["--to", "new"]].concat());
}

#[test]
fn what_is_no_layout_of_the_tool_is_refused() {
    let project = Project::without_database();
    project.write("old/README.md", "nothing");
    let error = project.refused(1, &["import-migrations", "prisma", "old"]);
    assert!(
        error.starts_with("error: old: there is no migration of prisma here\nhint: name the folder"),
        "{error}"
    );
    project.refused(1, &["import-migrations", "goose", "nowhere"]);
    project.refused(2, &["import-migrations", "liquibase", "old"]);
    project.refused(2, &["import-migrations", "goose", "old", "--with-rows", "note"]);
    project.write("old/1_a.up.sql", "SELECT 1;");
    project.write("old/01_b.up.sql", "SELECT 1;");
    let error = project.refused(1, &["import-migrations", "golang-migrate", "old"]);
    assert!(
        error.contains("old/01_b.up.sql: it has the same version as `old/1_a.up.sql`")
            || error.contains("old/1_a.up.sql: it has"),
        "{error}"
    );
}
