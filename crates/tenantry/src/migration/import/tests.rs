#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::migration::set::{Migration, MigrationSet};
use crate::migration::{file_name, scripts};

fn options(with_rows: &[&str]) -> ImportOptions {
    ImportOptions {
        schema: "public".to_owned(),
        with_rows: with_rows.iter().map(|&table| table.to_owned()).collect(),
        with_grants_to: Vec::new(),
        extension_schema: "extensions".to_owned(),
        master_digits: "0007".to_owned(),
        tenant_digits: "0001".to_owned(),
    }
}

fn run(tool: ImportTool, files: &[(&str, &str)], with_rows: &[&str]) -> Result<Imported, MigrationError> {
    let mut folder = SourceFolder::new("");
    for (path, text) in files {
        folder.add(path, text.as_bytes().to_vec())?;
    }
    import(tool, &folder, &options(with_rows))
}

/// The names and texts of the new files, of which every one must be accepted, and what is told.
#[track_caller]
fn imported(tool: ImportTool, files: &[(&str, &str)]) -> (Vec<(String, String)>, Vec<String>) {
    let Imported { mut files, findings } = run(tool, files, &[]).unwrap();
    check_accepted(&files);
    files.sort_by(|a, b| (!a.is_master, a.version, &a.name).cmp(&(!b.is_master, b.version, &b.name)));
    let told = findings.iter().map(ToString::to_string).collect();
    (files.into_iter().map(|file| (file.name, file.text)).collect(), told)
}

#[track_caller]
fn check_accepted(files: &[ImportedFile]) {
    let script = |file: &ImportedFile| {
        let name = file_name::FileName::parse(&file.name).unwrap().unwrap();
        assert_eq!(name.version, file.version, "{}", file.name);
        scripts::any_script(name.version, name.kind, &file.text)
    };
    for is_master in [true, false] {
        let mut errors = Vec::new();
        let of_kind = files.iter().filter(|file| file.is_master == is_master);
        let set = MigrationSet::new(of_kind.map(script).collect(), &mut errors);
        errors.extend(set.iter().flat_map(Migration::refusals).cloned());
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[track_caller]
fn check(tool: ImportTool, files: &[(&str, &str)], expect: &[(&str, &str)], told: &[&str]) {
    let (files, findings) = imported(tool, files);
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(files, expect);
    check_told(&findings, told);
}

/// Checks the beginnings of all that is told.
#[track_caller]
fn check_told(findings: &[String], told: &[&str]) {
    let plain: Vec<_> = findings
        .iter()
        .map(|it| it.replacen(" changed:", "", 1).replacen(" not converted:", "", 1))
        .collect();
    let is_as_told = |(finding, told): (&String, &&str)| finding.starts_with(told);
    assert!(plain.len() == told.len() && plain.iter().zip(told).all(is_as_told), "{findings:#?}");
}

#[test]
fn goose_is_divided_by_its_annotations() {
    check(
        ImportTool::Goose,
        &[
            (
                "00001_note.sql",
                "-- +goose Up\r\nCREATE TABLE note (id int);\r\n-- +goose StatementBegin\r\n\
                 CREATE FUNCTION f() RETURNS int \
                 AS $$\r\nBEGIN\r\n  RETURN 1;\r\nEND $$ LANGUAGE plpgsql;\r\n-- +goose StatementEnd\r\n\r\n\
                 -- +goose Down\r\nDROP FUNCTION f();\r\nDROP TABLE note;\r\n",
            ),
            (
                "20240131120000_index.sql",
                "-- +goose NO TRANSACTION\n-- +goose up\nCREATE INDEX CONCURRENTLY i ON note (id);\n\
              \n-- +goose DOWN\nDROP INDEX CONCURRENTLY i;\n",
            ),
            (
                "20240131120001_seed.sql",
                "-- +goose Up\n-- +goose ENVSUB ON\nINSERT INTO note VALUES (1);\n-- +goose Down\n",
            ),
            ("00003_code.go", ""),
            ("README.md", ""),
        ],
        &[
            ("00001_note.down.sql", "DROP FUNCTION f();\r\nDROP TABLE note;\n"),
            (
                "00001_note.up.sql",
                "CREATE TABLE note (id int);\r\nCREATE FUNCTION f() RETURNS int \
                 AS $$\r\nBEGIN\r\n  RETURN 1;\r\nEND $$ LANGUAGE plpgsql;\n",
            ),
            ("20240131120000_index.down.sql", "-- no-transaction\nDROP INDEX CONCURRENTLY i;\n"),
            ("20240131120000_index.up.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON note (id);\n"),
            ("20240131120001_seed.sql", "-- +goose ENVSUB ON\nINSERT INTO note VALUES (1);\n"),
        ],
        &[
            "00003_code.go: left out: it is no SQL; `tenantry new --code`",
            "20240131120001_seed.sql:2: variables of the environment",
            "20240131120001_seed.sql:4: left out: the way back holds no statement",
        ],
    );
}

#[test]
fn sql_that_no_section_holds_is_told() {
    let text = "SELECT 0;\n-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n-- migrate:up\nSELECT 3;\n";
    check(
        ImportTool::Dbmate,
        &[("1_a.sql", text)],
        &[("1_a.down.sql", "SELECT 2;\n"), ("1_a.up.sql", "SELECT 1;\n")],
        &["1_a.sql:1: left out: ", "1_a.sql:6: left out: "],
    );
}

#[test]
fn golang_migrate_loses_its_transactions_and_keeps_its_pairs() {
    check(
        ImportTool::GolangMigrate,
        &[
            ("000001_note.up.sql", "BEGIN;\n\nCREATE TABLE IF NOT EXISTS \"Note\" (id int);\n\nCOMMIT;\n"),
            ("000001_note.down.sql", "BEGIN;\nDROP TABLE \"Note\";\nCOMMIT;"),
            ("000002_index.up.sql", "CREATE INDEX CONCURRENTLY i ON public.\"Note\" (id);"),
            ("000003_tag.down.sql", "DROP TABLE tag;"),
            ("other.sql", "SELECT 1;"),
            ("old/000001_x.up.sql", "SELECT 1;"),
        ],
        &[
            ("000001_note.down.sql", "DROP TABLE \"Note\";\n"),
            ("000001_note.up.sql", "CREATE TABLE IF NOT EXISTS \"Note\" (id int);\n"),
            ("000002_index.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON \"Note\" (id);\n"),
        ],
        &[
            "000003_tag.down.sql: left out: there is no `.up.sql`",
            "old/000001_x.up.sql: left out: ",
            "other.sql: left out: ",
        ],
    );
}

#[test]
fn dbmate_says_what_runs_without_a_transaction() {
    check(
        ImportTool::Dbmate,
        &[(
            "20240131120000_index.sql",
            "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY i ON note (id);\n\n\
             -- migrate:down transaction:false\nALTER TABLE note DROP a;\nALTER TABLE note DROP b;\n",
        )],
        &[
            ("20240131120000_index.down.sql", "ALTER TABLE note DROP a;\nALTER TABLE note DROP b;\n"),
            ("20240131120000_index.up.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON note (id);\n"),
        ],
        &["20240131120000_index.sql:5: becomes one transaction"],
    );
}

#[test]
fn diesel_sorts_by_text() {
    check(
        ImportTool::Diesel,
        &[
            ("00000000000000_diesel_initial_setup/up.sql", "SELECT 1;"),
            ("00000000000000_diesel_initial_setup/down.sql", "SELECT 2;"),
            ("2024-01-31-120000-0000_later/up.sql", "SELECT 3;"),
            ("2024-01-31-120000-0000_later/down.sql", "-- This file should undo anything in `up.sql`\n"),
            ("2024-02-01-120000_note/up.sql", "VACUUM note;"),
            ("2024-02-01-120000_note/metadata.toml", "run_in_transaction = false # VACUUM\n"),
            ("2024-02-01-120000_note/extra.sql", "SELECT 1;"),
            (".diesel_lock", ""),
        ],
        &[
            ("00000000000000_diesel_initial_setup.down.sql", "SELECT 2;\n"),
            ("00000000000000_diesel_initial_setup.up.sql", "SELECT 1;\n"),
            ("202401311200000000_later.sql", "SELECT 3;\n"),
            ("202401311200000001_note.sql", "-- no-transaction\nVACUUM note;\n"),
        ],
        &[
            "2024-01-31-120000-0000_later/down.sql:1: left out: the way back",
            "2024-02-01-120000_note/extra.sql: left out: ",
            "2024-02-01-120000_note/up.sql: its version becomes 202401311200000001",
        ],
    );
}

#[test]
fn refinery_applies_both_kinds_of_files() {
    check(
        ImportTool::Refinery,
        &[
            ("V1__note.sql", "SELECT 1;"),
            ("U2__tag.sql", "SELECT 2;"),
            ("V10__Last_one.sql", "SELECT 10;"),
            ("V3__code.rs", ""),
            ("mod.rs", ""),
        ],
        &[("1_note.sql", "SELECT 1;\n"), ("2_tag.sql", "SELECT 2;\n"), ("10_Last_one.sql", "SELECT 10;\n")],
        &["V3__code.rs: left out: it is no SQL"],
    );
}

#[test]
fn versions_of_flyway_sort_as_they_did() {
    let (files, told) = imported(
        ImportTool::Flyway,
        &[
            ("V1__a.sql", "SELECT 1;"),
            ("V1.2.1__c.sql", "SELECT 3;"),
            ("sub/V1_10__d.sql", "SELECT 4;"),
            ("V1.2__b.sql", "SELECT 2;"),
            ("V2.0__e.sql", "VACUUM;"),
            ("V2.0__e.sql.conf", "executeInTransaction=false\n"),
            ("U1.2__b.sql", "SELECT -2;"),
            ("U9__x.sql", "SELECT 9;"),
            ("R__views.sql", "SELECT ${x};"),
            ("B1__base.sql", "SELECT 1;"),
            ("afterMigrate.sql", "SELECT 1;"),
            ("V3__old.sql", "SELECT '${name}';"),
        ],
    );
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "1000_a.sql",
            "1020_b.down.sql",
            "1020_b.up.sql",
            "1021_c.sql",
            "1100_d.sql",
            "2000_e.sql",
            "3000_old.sql"
        ]
    );
    assert_eq!(files[5].1, "-- no-transaction\nVACUUM;\n");
    check_told(
        &told,
        &[
            "B1__base.sql: left out: it is a baseline",
            "R__views.sql: left out: it is repeatable",
            "U9__x.sql: left out: there is no `V` file",
            "V3__old.sql: versions with points become numbers",
            "V3__old.sql:1: placeholders are Flyway's",
            "afterMigrate.sql: left out: it is called at an event",
        ],
    );
    let (files, _) = imported(ImportTool::Flyway, &[("V7__a.sql", "SELECT 1;"), ("V12__b.sql", "SELECT 2;")]);
    assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["0007_a.sql", "0012_b.sql"]);
}

#[test]
fn prisma_goes_by_the_alphabet() {
    check(
        ImportTool::Prisma,
        &[
            ("migration_lock.toml", "provider = \"postgresql\""),
            (
                "0_init/migration.sql",
                "-- CreateSchema\nCREATE SCHEMA IF NOT EXISTS \"public\";\n\n-- CreateTable\n\
             CREATE TABLE \"public\".\"User\" (\"id\" TEXT);\n",
            ),
            ("20240131120000_a/migration.sql", "SELECT 1;"),
            ("20240131120000_b/migration.sql", "SELECT 2;"),
            ("20240131120000_b/down.sql", "SELECT 3;"),
        ],
        &[
            ("0_init.sql", "-- CreateSchema\n\n-- CreateTable\nCREATE TABLE \"User\" (\"id\" TEXT);\n"),
            ("20240131120000_a.sql", "SELECT 1;\n"),
            ("20240131120001_b.down.sql", "SELECT 3;\n"),
            ("20240131120001_b.up.sql", "SELECT 2;\n"),
        ],
        &[
            "0_init/migration.sql:2: `CREATE SCHEMA IF NOT EXISTS \"public\"` is left out",
            "20240131120000_b/migration.sql: its version becomes 20240131120001",
        ],
    );
}

/// Is written with `<tab>` where a tab stands.
const DUMP: &str = r"--
-- PostgreSQL database dump
--

\restrict abc

SET statement_timeout = 0;
SET check_function_bodies = false;
SELECT pg_catalog.set_config('search_path', '', false);

CREATE SCHEMA public;
ALTER SCHEMA public OWNER TO shop;
CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;
COMMENT ON EXTENSION citext IS 'in any case';

CREATE TABLE public.plan (
    id integer NOT NULL,
    name public.citext -- of public.plan
);
ALTER TABLE public.plan OWNER TO shop;
CREATE SEQUENCE public.plan_id_seq;
ALTER TABLE ONLY public.plan ALTER COLUMN id SET DEFAULT nextval('public.plan_id_seq'::regclass);
CREATE TABLE public.note (id int, body text);

COPY public.plan (id, name) FROM stdin;
1<tab>it's \\ a\tb
2<tab>\N
\.

COPY public.note (id, body) FROM stdin;
1<tab>a
\.

SELECT pg_catalog.setval('public.plan_id_seq', 2, true);
GRANT SELECT ON TABLE public.note TO reporting;

\unrestrict abc
";

#[test]
fn a_dump_becomes_a_first_migration() {
    let Imported { files, findings } =
        run(ImportTool::Dump, &[("shop.sql", &DUMP.replace("<tab>", "\t"))], &["plan"]).unwrap();
    check_accepted(&files);
    assert_eq!(
        files.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
        ["0007_extensions.sql", "0001_shop.sql"]
    );
    assert_eq!(
        files[0].text,
        "-- Extensions of the database, which every tenant sees.\n\
         CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA \"extensions\";\n\
         COMMENT ON EXTENSION citext IS 'in any case';\n"
    );
    assert_eq!(
        files[1].text,
        "SET check_function_bodies = false;\n\n\
         CREATE TABLE plan (\n    id integer NOT NULL,\n    name citext -- of public.plan\n);\n\n\
         CREATE SEQUENCE plan_id_seq;\n\n\
         ALTER TABLE ONLY plan ALTER COLUMN id SET DEFAULT nextval('plan_id_seq'::regclass);\n\n\
         CREATE TABLE note (id int, body text);\n\n\
         INSERT INTO plan (id, name) VALUES\n    ('1', E'it''s \\\\ a\tb'),\n    ('2', NULL);\n\n\
         SELECT pg_catalog.setval('plan_id_seq', 2, true);\n"
    );
    let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
    check_told(
        &told,
        &[
            "shop.sql:20: `ALTER TABLE public.plan OWNER TO shop` is left out",
            "shop.sql:30: 1 row of `note` are left out",
            "shop.sql:35: `GRANT SELECT ON TABLE public.note TO reporting` is left out",
        ],
    );
    let grants = ImportOptions { with_grants_to: vec!["reporting".to_owned()], ..options(&[]) };
    let mut folder = SourceFolder::new("");
    folder.add("shop.sql", DUMP.replace("<tab>", "\t").into_bytes()).unwrap();
    let with_grants = import(ImportTool::Dump, &folder, &grants).unwrap();
    let usage = "TO reporting', current_schema()); END $$;\nGRANT SELECT ON TABLE note TO reporting;\n";
    assert!(with_grants.files[1].text.ends_with(usage), "{}", with_grants.files[1].text);
    let Imported { files, findings } =
        run(ImportTool::Dump, &[("shop.sql", &DUMP.replace("<tab>", "\t"))], &["other"]).unwrap();
    assert!(!files[1].text.contains("INSERT") && !files[1].text.contains("setval"), "{}", files[1].text);
    assert!(findings[0].to_string().contains("no rows of `other`"), "{findings:?}");
    assert_eq!(findings[0].remark, ImportRemark::NotConverted);
}

/// Converts one text as a file of golang-migrate.
#[track_caller]
fn check_text(sql: &str, expect: &str, told: &[&str]) {
    let Imported { files, findings } = run(ImportTool::GolangMigrate, &[("1_a.up.sql", sql)], &[]).unwrap();
    let file = files.iter().find(|file| !file.is_master).unwrap();
    assert_eq!(file.text, expect);
    let told_of: Vec<_> = findings.iter().map(ToString::to_string).collect();
    check_told(&told_of, told);
}

#[test]
fn the_path_roles_and_owners_go() {
    check_text(
        "SET search_path = app, public;\nSET LOCAL search_path TO app;\nSELECT set_config('search_path', 'a', true);\n\
         /* kept */ CREATE TABLE a (id int); ALTER TABLE a OWNER TO b;\nSET ROLE c;\nREVOKE ALL ON a FROM PUBLIC;\n\
         ALTER FUNCTION f(int, int) OWNER TO b;\nCREATE ROLE d;\nSELECT 1;\n",
        "/* kept */ CREATE TABLE a (id int); \nSELECT 1;\n",
        &[
            "1_a.up.sql:1: `SET search_path = app, public` is left out: unqualified",
            "1_a.up.sql:2: ",
            "1_a.up.sql:3: ",
            "1_a.up.sql:4: `ALTER TABLE a OWNER TO b` is left out: everything belongs",
            "1_a.up.sql:5: `SET ROLE c` is left out: roles",
            "1_a.up.sql:6: `REVOKE ALL ON a FROM PUBLIC` is left out: ",
            "1_a.up.sql:7: ",
            "1_a.up.sql:8: ",
        ],
    );
}

#[test]
fn operators_lose_the_schema_wherever_they_are_named() {
    check_text(
        "CREATE OPERATOR public.~<< (FUNCTION = public.f, LEFTARG = text, RIGHTARG = text, \
         COMMUTATOR = OPERATOR(public.>>~));\nCOMMENT ON OPERATOR public.~<< (text, text) IS 'a';\n\
         CREATE OPERATOR CLASS public.c FOR TYPE text USING btree AS OPERATOR 1 public.~<< (text, text);\n\
         SELECT public.*, a OPERATOR(public.*) b FROM other AS public;\n",
        "CREATE OPERATOR ~<< (FUNCTION = f, LEFTARG = text, RIGHTARG = text, COMMUTATOR = OPERATOR(>>~));\n\
         COMMENT ON OPERATOR ~<< (text, text) IS 'a';\n\
         CREATE OPERATOR CLASS c FOR TYPE text USING btree AS OPERATOR 1 ~<< (text, text);\n\
         SELECT public.*, a OPERATOR(*) b FROM other AS public;\n",
        &[],
    );
}

#[test]
fn the_grants_of_roles_that_are_named_are_carried() {
    let sql = "CREATE TABLE public.a (id int);\nGRANT SELECT ON public.a TO Reporting;\nGRANT INSERT ON a TO shop;\n\
               REVOKE EXECUTE ON FUNCTION public.f(int) FROM PUBLIC;\nGRANT ALL ON a TO reporting, shop;\n\
               GRANT USAGE ON SCHEMA public TO reporting;\nGRANT CONNECT ON DATABASE shop TO reporting;\n\
               ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reporting;\nGRANT UPDATE (id) ON a TO reporting;\n";
    let usage = |name: &str| {
        let format = "EXECUTE pg_catalog.format";
        format!("DO $$ BEGIN {format}('GRANT USAGE ON SCHEMA %I TO {name}', current_schema()); END $$;\n")
    };
    let with_grants_to = vec!["reporting".to_owned(), "public".to_owned()];
    let mut folder = SourceFolder::new("");
    folder.add("1_a.up.sql", sql.as_bytes().to_vec()).unwrap();
    let options = ImportOptions { with_grants_to, ..options(&[]) };
    let Imported { files, findings } = import(ImportTool::GolangMigrate, &folder, &options).unwrap();
    check_accepted(&files);
    assert_eq!(
        files[0].text,
        format!(
            "CREATE TABLE a (id int);\n{}GRANT SELECT ON a TO Reporting;\n\
             REVOKE EXECUTE ON FUNCTION f(int) FROM PUBLIC;\n{}GRANT UPDATE (id) ON a TO reporting;\n",
            usage("Reporting"),
            usage("reporting"),
        )
    );
    check_told(
        &findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        &[
            "1_a.up.sql:2: `GRANT SELECT ON public.a TO Reporting` is kept, and the role may use the schema",
            "1_a.up.sql:3: `GRANT INSERT ON a TO shop` is left out",
            "1_a.up.sql:5: `GRANT ALL ON a TO reporting, shop` is left out: it is for roles beside those",
            "1_a.up.sql:6: `GRANT USAGE ON SCHEMA public TO reporting` is a block now",
            "1_a.up.sql:7: `GRANT CONNECT ON DATABASE shop TO reporting` is left out",
            "1_a.up.sql:8: `ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO…` is left out",
        ],
    );
}

#[test]
fn what_cannot_be_converted_stays_and_is_told() {
    let sql = "\\set v 1\nCREATE SCHEMA app;\nSELECT :v;\nCOPY a FROM stdin CSV;\n1\n\\.\nBEGIN;\nVACUUM;\nSELECT 'a";
    check_text(
        sql,
        &format!("{sql}\n"),
        &[
            "1_a.up.sql:1: `\\set` is a command of psql",
            "1_a.up.sql:2: `CREATE SCHEMA app` stays",
            "1_a.up.sql:3: `:v` is a variable of psql",
            "1_a.up.sql:4: `COPY a FROM stdin CSV` stays: `COPY` from or to the client",
            "1_a.up.sql:7: `BEGIN` stays: ",
            "1_a.up.sql:8: `VACUUM` cannot run in a transaction, and needs a file of its own",
            "1_a.up.sql:9: unterminated string",
        ],
    );
}

#[test]
fn data_behind_copy_become_rows() {
    check_text(
        "CREATE TABLE a (b text);\nCOPY public.a (b) FROM stdin;\nit's\n\\N\n\\.\nSELECT 1;\n",
        "CREATE TABLE a (b text);\nINSERT INTO a (b) OVERRIDING SYSTEM VALUE VALUES\n    ('it''s'),\n    (NULL);\n\
         SELECT 1;\n",
        &["1_a.up.sql:2: the data of `COPY public.a (b) FROM stdin` are written as INSERT"],
    );
    check_text("COPY a FROM stdin;\n\\.\nSELECT 1;\n", "SELECT 1;\n", &["1_a.up.sql:1: the data of"]);
    let elsewhere = "COPY other.a FROM stdin;\n1\n\\.\nSELECT 1;\n";
    check_text(elsewhere, elsewhere, &["1_a.up.sql:1: `COPY other.a FROM stdin` stays: "]);
}

#[test]
fn public_goes_by_tokens() {
    for (sql, expect) in [
        ("SELECT public.f(public.a.b) FROM PUBLIC . t -- public.t", "SELECT f(a.b) FROM t -- public.t"),
        ("SELECT x::\"public\".\"Mood\", y OPERATOR(public.=) z", "SELECT x::\"Mood\", y OPERATOR(=) z"),
        (
            "SELECT nextval('public.\"Seq\"'), '\"public\".t'::regclass",
            "SELECT nextval('\"Seq\"'), 't'::regclass",
        ),
        ("COMMENT ON TABLE public.t IS 'see public.u'", "COMMENT ON TABLE t IS 'see public.u'"),
        ("SELECT db.public.t.a, t.public, public FROM t", "SELECT db.public.t.a, t.public, public FROM t"),
        (
            "CREATE FUNCTION public.f() RETURNS int BEGIN ATOMIC SELECT public.g(); END",
            "CREATE FUNCTION f() RETURNS int \
          BEGIN ATOMIC SELECT g(); END",
        ),
        ("INSERT INTO t VALUES ('went public. Then')", "INSERT INTO t VALUES ('went public. Then')"),
    ] {
        check_text(&format!("{sql};\n"), &format!("{expect};\n"), &[]);
    }
}

#[test]
fn bodies_are_converted_and_told() {
    check_text(
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $f$\nBEGIN\n  -- public.a\n  \
         INSERT INTO public.log VALUES ('x');\n  EXECUTE 'DROP TABLE public.b';\nEND $f$;\n",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $f$\nBEGIN\n  -- public.a\n  \
         INSERT INTO log VALUES ('x');\n  EXECUTE 'DROP TABLE public.b';\nEND $f$;\n",
        &[
            "1_a.up.sql:4: `public.` is taken out of the body",
            "1_a.up.sql:5: `public.` is in a string, and stays",
        ],
    );
    check_text(
        "DO $$ BEGIN PERFORM public.f(); END $$;\n",
        "DO $$ BEGIN PERFORM f(); END $$;\n",
        &["1_a.up.sql:1: "],
    );
    let own_path =
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql\nSET search_path = '' AS $$ SELECT public.g() $$;\n";
    check_text(own_path, own_path, &["1_a.up.sql:2: the function has a path of its own"]);
    let quoted = "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ''a'' FROM public.t';\n";
    check_text(quoted, quoted, &["1_a.up.sql:1: `public.` is in the body, and stays"]);
    let other = "CREATE FUNCTION f() RETURNS int LANGUAGE plv8 AS $$ public.g() $$;\n";
    check_text(other, other, &[]);
    check_text(
        "ALTER TABLE t SET SCHEMA public;\n",
        "ALTER TABLE t SET SCHEMA public;\n",
        &["1_a.up.sql:1: it names"],
    );
}

#[test]
fn another_schema_is_taken_out_instead() {
    let sql = "CREATE SCHEMA \"Shop\";\nCREATE TABLE \"Shop\".note (id int DEFAULT nextval('\"Shop\".s'::regclass), \
               kind public.kind);\nSELECT shop.f();\n";
    let mut folder = SourceFolder::new("");
    folder.add("1_a.up.sql", sql.into()).unwrap();
    let options = ImportOptions { schema: "Shop".to_owned(), ..options(&[]) };
    let Imported { files, findings } = import(ImportTool::GolangMigrate, &folder, &options).unwrap();
    assert_eq!(
        files[0].text,
        "CREATE TABLE note (id int DEFAULT nextval('s'::regclass), kind public.kind);\nSELECT shop.f();\n"
    );
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn what_is_in_the_database_once_is_told() {
    let sql = "ALTER DATABASE shop SET timezone = 'UTC';\nCREATE PUBLICATION p FOR TABLE a;\n";
    check_text(sql, sql, &["1_a.up.sql:1: `ALTER DATABASE shop", "1_a.up.sql:2: `CREATE PUBLICATION p"]);
}

#[test]
fn a_dump_may_have_any_name_and_is_no_archive() {
    let Imported { files, .. } = run(ImportTool::Dump, &[("shop.backup", "SELECT 1;")], &[]).unwrap();
    assert_eq!(files[0].name, "0001_shop.sql");
    let error = SourceFolder::new("").add("shop.dump", b"PGDMP\x01\x0e".to_vec()).unwrap_err();
    assert!(
        error.to_string().contains("an archive") && error.hint().unwrap().contains("pg_restore"),
        "{error}"
    );
}

#[test]
fn extensions_move_once() {
    let files = [
        ("1_a.up.sql", "create extension pgcrypto;\nCREATE TABLE a ();\n"),
        ("1_a.down.sql", "DROP TABLE a;\nDROP EXTENSION pgcrypto;"),
        (
            "2_b.up.sql",
            "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" SCHEMA public VERSION '1.1' CASCADE;\n\
          CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA pg_catalog;\nCREATE EXTENSION plpgsql;\n",
        ),
    ];
    let (files, told) = imported(ImportTool::GolangMigrate, &files);
    assert_eq!(
        files[0].1,
        "-- Extensions of the database, which every tenant sees.\n\
         CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA \"extensions\";\n\
         CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA \"extensions\" CASCADE;\n"
    );
    // A file without a statement keeps its place in the order.
    assert_eq!((files[3].0.as_str(), files[3].1.as_str()), ("2_b.sql", "\n"));
    check_told(
        &told,
        &[
            "1_a.down.sql:2: `DROP EXTENSION pgcrypto` is left out",
            "1_a.up.sql:1: `create extension pgcrypto` is moved",
            "2_b.up.sql:1: ",
            "2_b.up.sql:2: ",
        ],
    );
}

#[test]
fn the_same_version_twice_is_refused_and_long_ones_are_counted() {
    let twice = [("1_a.up.sql", "SELECT 1;"), ("0001_b.up.sql", "SELECT 2;")];
    let error = run(ImportTool::GolangMigrate, &twice, &[]).unwrap_err();
    assert_eq!(error.to_string(), "0001_b.up.sql: it has the same version as `1_a.up.sql`");
    assert!(error.hint().is_some());
    for (first, second) in [("V1__a.sql", "V1.0__b.sql"), ("V01__a.sql", "V1__b.sql")] {
        run(ImportTool::Flyway, &[(first, "SELECT 1;"), (second, "SELECT 1;")], &[]).unwrap_err();
    }
    check(
        ImportTool::GolangMigrate,
        &[("99999999999999999999_b.up.sql", "SELECT 2;"), ("5_a.up.sql", "SELECT 1;")],
        &[("0001_a.sql", "SELECT 1;\n"), ("0002_b.sql", "SELECT 2;\n")],
        &["5_a.up.sql: the versions are too long"],
    );
    for tool in ImportTool::ALL {
        let error = run(tool, &[("README.md", "")], &[]).unwrap_err();
        assert!(error.to_string().contains(tool.as_str()) && error.hint().is_some(), "{error}");
    }
}

#[test]
fn bytes_are_taken_as_people_save_them() {
    check_text("\u{feff}SELECT 1;", "SELECT 1;\n", &[]);
    let error = SourceFolder::new("db").add("1_a.up.sql", b"\xff\xfeS\0".to_vec()).unwrap_err();
    assert_eq!(error.to_string(), "db/1_a.up.sql:1: the file is UTF-16");
    assert!(
        SourceFolder::is_text("a/B.SQL") && SourceFolder::is_text("a.conf") && !SourceFolder::is_text("a.go")
    );
}

#[test]
fn escapes_of_copy_are_undone() {
    let sql = "COPY public.a (b) FROM stdin;\n\\N\n\\\\N\n\\x41\\101\\b\\v\\r\\n\\q\n\\\\x00ff\n\n\\.\n";
    let dump = format!("{sql}SELECT 1;\n");
    let Imported { files, .. } = run(ImportTool::Dump, &[("a.sql", &dump)], &["a"]).unwrap();
    assert_eq!(
        files[0].text,
        "INSERT INTO a (b) VALUES\n    (NULL),\n    (E'\\\\N'),\n    ('AA\u{8}\u{b}\r\nq'),\n    (E'\\\\x00ff'),\n    \
         ('');\n\n\
         SELECT 1;\n"
    );
}

proptest! {
    #[test]
    fn any_text_is_converted(
        any: String,
        words in prop::collection::vec(
            "(public\\.|\"public\"|copy a from stdin;\n|\\\\\\.\n|é|\\$\\$|'|;|\n|begin;|commit|\\\\x |as|\
             -- \\+goose down\n|create function f\\(\\)|set search_path|extension|[(),.:;])",
            0..24,
        ),
    ) {
        for text in [any, words.concat(), words.join(" ")] {
            let up = format!("-- +goose Up\n{text}");
            let _ = run(ImportTool::Goose, &[("1_a.sql", &up)], &[]);
            let _ = run(ImportTool::Dump, &[("a.sql", &text)], &["a"]);
            let _ = run(ImportTool::GolangMigrate, &[("1_a.up.sql", &text)], &[]);
        }
    }
}
