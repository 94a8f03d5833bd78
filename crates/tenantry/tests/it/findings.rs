//! Findings about what people and other programs did to schemas. Each is made, found, mended as it says, and gone.

use tenantry::NewTenant;
use tenantry::doctor::{Check, Finding};
use tenantry::resolve::TenantKey;
use tenantry::tenant::Tenant;

use crate::doctor::{Fixture, check, close_public};
use crate::roles::{TwoLogins, two_logins};
use crate::support::{Client, database, table, tenancy, tenant_files};

const NOTE: &str = "CREATE TABLE note (id bigserial PRIMARY KEY, title text NOT NULL, body text)";

#[tokio::test]
async fn columns_in_another_order_are_found_and_gaps_are_not() {
    let mut fixture = Fixture::new(&[NOTE]).await;
    let acme = fixture.create("acme").await;
    fixture.create("globex").await;
    fixture.create("initech").await;
    let note = table(&acme, "note");
    // The rows of the catalogs differ then, and what one can do with the table does not.
    fixture.owner.run(&format!("ALTER TABLE {note} ADD gone int; ALTER TABLE {note} DROP gone")).await;
    fixture.check(&[]).await;
    fixture.owner.run(&format!("ALTER TABLE {note} DROP title, ADD title text NOT NULL")).await;
    let says = "the columns of `note` stand as id, body, title instead of id, title, body";
    let findings = fixture.check(&[(Check::Drift, says)]).await;
    assert!(findings[0].mend.contains("/* by hand: make table \"note\" anew"), "{findings:#?}");
    let id = "nextval('note_id_seq'::regclass)";
    let anew = format!(
        "SET search_path TO {}; ALTER SEQUENCE note_id_seq OWNED BY NONE; DROP TABLE note;
         CREATE TABLE note (id bigint DEFAULT {id} PRIMARY KEY, title text NOT NULL, body text);
         ALTER SEQUENCE note_id_seq OWNED BY note.id; RESET search_path",
        acme.schema()
    );
    fixture.owner.run(&anew).await;
    fixture.check(&[]).await;
}

/// Kinds whose definitions name what is in the schema, so the catalogs have other numbers in each.
const NAMES_ITS_OWN: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE FUNCTION is_good(mood) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE FUNCTION with_default(m mood DEFAULT 'sad') RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE TABLE diary (id bigserial PRIMARY KEY, day date NOT NULL,
        mood mood NOT NULL DEFAULT 'ok' CHECK (is_good(mood)),
        moods mood[] DEFAULT '{sad}', next bigint DEFAULT nextval('diary_id_seq') + 1,
        score int GENERATED ALWAYS AS (CASE mood WHEN 'sad' THEN 0 ELSE 1 END) STORED);
    CREATE INDEX diary_good ON diary (day) WHERE is_good(mood);
    CREATE INDEX diary_mood ON diary (is_good(mood), (day + 1));
    CREATE TABLE log (at timestamptz NOT NULL, diary bigint REFERENCES diary) PARTITION BY RANGE (at);
    CREATE TABLE log_2026 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE VIEW good AS SELECT * FROM diary WHERE is_good(mood);
    CREATE TRIGGER touched BEFORE UPDATE ON diary FOR EACH ROW WHEN (is_good(NEW.mood)) EXECUTE FUNCTION touch();
    CREATE POLICY good ON diary USING (is_good(mood));
    CREATE STATISTICS diary_days ON day, mood FROM diary;
    CREATE DOMAIN good_mood AS mood CHECK (is_good(VALUE))";

#[tokio::test]
async fn what_names_its_own_schema_is_compared() {
    let mut fixture = Fixture::new(&[NAMES_ITS_OWN]).await;
    let acme = fixture.create("acme").await;
    fixture.create("globex").await;
    fixture.create("initech").await;
    fixture.check(&[]).await;
    let own = acme.schema();
    for (change, says) in [
        ("ALTER TABLE diary ALTER mood SET DEFAULT 'sad'", "`mood DEFAULT 'sad'::mood NOT NULL` instead of"),
        ("ALTER TABLE diary ALTER moods SET DEFAULT '{ok}'", "column `diary.moods` is"),
        ("ALTER TABLE diary ALTER next SET DEFAULT nextval('diary_id_seq') + 2", "column `diary.next` is"),
        (
            "DROP POLICY good ON diary; CREATE POLICY good ON diary USING (NOT is_good(mood))",
            "policy `diary.good` is",
        ),
        (
            "DROP INDEX diary_good; CREATE INDEX diary_good ON diary (day) WHERE NOT is_good(mood)",
            "index `diary_good` is",
        ),
        (
            "CREATE OR REPLACE FUNCTION with_default(m mood DEFAULT 'ok') RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "function",
        ),
        ("CREATE OR REPLACE VIEW good AS SELECT * FROM diary WHERE NOT is_good(mood)", "view `good` is"),
    ] {
        fixture.owner.run(&format!("SET search_path TO {own}; {change}; RESET search_path")).await;
        let findings = fixture.check(&[(Check::Drift, says)]).await;
        fixture.mend(&findings).await;
    }
}

/// An installation of two logins with three tenants, of which the first is changed by its owner. Nothing is found
/// before that, and nothing after the mend.
async fn check_grants(logins: &TwoLogins, change: &str, says: &[&str]) {
    let tenancy = logins.builder().migrations(tenant_files(&[NAMES_ITS_OWN])).connect().await.unwrap();
    let acme = tenancy.find(&TenantKey::Slug("acme".parse().unwrap())).await.unwrap();
    let mut owner = Client::owner(&logins.database).await;
    owner.run(&format!("SET search_path TO {}; {change}; RESET search_path", acme.schema())).await;
    let findings = check(&tenancy, &[(Check::Drift, "tenant `acme` differs from")]).await;
    for words in says {
        assert!(findings[0].what.contains(words), "it does not say {words:?}: {findings:#?}");
    }
    owner.run(&findings[0].mend).await;
    check(&tenancy, &[]).await;
}

#[tokio::test]
async fn privileges_that_differ_are_found() {
    let logins = two_logins().await;
    close_public(&logins.database).await;
    let tenancy = logins.builder().migrations(tenant_files(&[NAMES_ITS_OWN])).connect().await.unwrap();
    for slug in ["acme", "globex", "initech"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }
    tenancy.fill_spares(1).await.unwrap();
    check(&tenancy, &[]).await;
    let app = &logins.application;
    let is_extra = "grant `on diary to pg_monitor` is extra";
    check_grants(&logins, "DO $$ BEGIN EXECUTE 'GRANT SELECT ON diary TO pg_monitor'; END $$", &[is_extra])
        .await;
    let change =
        format!("REVOKE UPDATE ON diary, diary_id_seq FROM {app}; REVOKE ALL ON FUNCTION touch() FROM {app}");
    let says = [
        format!(
            "grant `on diary to {app}` is `DELETE, INSERT, SELECT` instead of `DELETE, INSERT, SELECT, UPDATE`"
        ),
        format!("grant `on diary_id_seq to {app}` is"),
        format!("grant `on touch() to {app}` is missing"),
    ];
    check_grants(&logins, &change, &says.each_ref().map(String::as_str)).await;
    let change = "REVOKE EXECUTE ON FUNCTION touch() FROM PUBLIC; REVOKE USAGE ON TYPE mood FROM PUBLIC;
                  GRANT SELECT (mood), UPDATE (day) ON diary TO pg_monitor";
    let says = [
        "grant `on touch() to PUBLIC` is missing",
        "grant `on mood to PUBLIC` is missing",
        "grant `on diary.mood to pg_monitor` is extra",
        "grant `on diary.day to pg_monitor` is extra",
    ];
    check_grants(&logins, change, &says).await;
    let schema: String = format!(
        "DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO pg_monitor WITH GRANT OPTION',
             current_schema()); END $$;
         DO $$ BEGIN EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I REVOKE UPDATE ON TABLES FROM {app}',
             current_schema()); END $$"
    );
    let says = ["grant `on the schema to pg_monitor` is extra", "grant `on tables to come of "];
    check_grants(&logins, &schema, &says).await;
    // What is made anew has the grants of what it replaces.
    let change = "DROP VIEW good; CREATE VIEW good AS SELECT day FROM diary";
    check_grants(&logins, change, &["view `good` is another"]).await;
}

#[tokio::test]
async fn an_extension_that_tenants_do_not_see_is_found() {
    let database = database().await;
    close_public(&database).await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut superuser = Client::superuser(&database).await;
    let create = format!(
        "CREATE EXTENSION pg_stat_statements SCHEMA public; CREATE EXTENSION hstore SCHEMA extensions;
         CREATE EXTENSION pgcrypto SCHEMA tenantry; CREATE EXTENSION citext SCHEMA {};
         CREATE EXTENSION pg_trgm SCHEMA public; CREATE EXTENSION cube SCHEMA public;
         UPDATE pg_extension SET extrelocatable = false WHERE extname = 'cube'",
        acme.schema()
    );
    superuser.run(&create).await;
    let elsewhere =
        |name: &str, schema: &str| format!("`{name}` is in the schema `{schema}`, which tenants do not see");
    let says = [
        elsewhere("citext", acme.schema().as_str()),
        elsewhere("cube", "public"),
        elsewhere("pg_trgm", "public"),
        elsewhere("pgcrypto", "tenantry"),
    ];
    let expected = says.each_ref().map(|says| (Check::ExtensionElsewhere, says.as_str()));
    let findings = check(&tenancy, &expected).await;
    assert!(
        findings[2]
            .mend
            .starts_with("ALTER EXTENSION \"pg_trgm\" SET SCHEMA \"extensions\" -- as `postgres`")
    );
    run_all(&mut superuser, &findings).await;
    check(&tenancy, &[]).await;
    let db = tenancy.db(&acme).unwrap();
    sqlx::query("CREATE INDEX title ON note USING gin (title gin_trgm_ops)").execute(&db).await.unwrap();
}

async fn run_all(client: &mut Client, findings: &[Finding]) {
    for finding in findings {
        client.run(&finding.mend).await;
    }
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_found() {
    let logins = two_logins().await;
    close_public(&logins.database).await;
    let tenancy = logins.builder().migrations(tenant_files(&[NOTE])).connect().await.unwrap();
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut superuser = Client::superuser(&logins.database).await;
    let hotfix = "CREATE TABLE hotfix (id serial PRIMARY KEY)";
    check_foreign(&mut superuser, &tenancy, &acme, hotfix, "table").await;
    let db = tenancy.db(&acme).unwrap();
    sqlx::query("INSERT INTO hotfix DEFAULT VALUES").execute(&db).await.unwrap();
    for (create, kind) in [
        ("CREATE SEQUENCE hotfix_number", "sequence"),
        ("CREATE VIEW hotfix_view AS SELECT 1 AS one", "view"),
        ("CREATE TYPE hotfix_type AS (a int)", "type"),
        ("CREATE DOMAIN hotfix_domain AS int", "type"),
        ("CREATE FUNCTION hotfix_function(a int, note) RETURNS int LANGUAGE sql AS 'SELECT 1'", "routine"),
        ("ALTER TABLE note OWNER TO postgres", "table"),
    ] {
        check_foreign(&mut superuser, &tenancy, &acme, create, kind).await;
    }
    sqlx::query("SELECT nextval('hotfix_number'), one FROM hotfix_view").execute(&db).await.unwrap();
    // What an extension has brought belongs to that.
    superuser.run("CREATE EXTENSION hstore SCHEMA extensions").await;
    check(&tenancy, &[]).await;
}

async fn check_foreign(
    superuser: &mut Client,
    tenancy: &tenantry::Tenancy,
    tenant: &Tenant,
    create: &str,
    kind: &str,
) {
    let path = tenant.schema();
    superuser.run(&format!("SET search_path TO {path}; {create}; RESET search_path")).await;
    let says = format!("{kind} {path}.");
    let findings = check(tenancy, &[(Check::ForeignOwner, says.as_str())]).await;
    run_all(superuser, &findings).await;
    check(tenancy, &[]).await;
}

/// The state up to PostgreSQL 14, where `public` belongs to the superuser and everybody may create there.
const OPEN: &str = "ALTER SCHEMA public OWNER TO postgres; GRANT CREATE ON SCHEMA public TO PUBLIC";

#[tokio::test]
async fn a_public_schema_that_is_open_to_all_is_closed_by_its_mend() {
    let says = (Check::MayCreate, "may create in the schema `public`");
    let database = database().await;
    let mut superuser = Client::superuser(&database).await;
    superuser.run(OPEN).await;
    let single = tenancy(&database, &[NOTE]).await;
    let findings = check(&single, &[says]).await;
    assert!(findings[0].mend.starts_with("ALTER SCHEMA \"public\" OWNER TO"), "{findings:#?}");
    run_all(&mut superuser, &findings).await;
    check(&single, &[]).await;
    // The migrations of the master schema still create there.
    Client::owner(&database).await.run("CREATE TABLE public.plan (id int)").await;

    let logins = two_logins().await;
    let mut superuser = Client::superuser(&logins.database).await;
    superuser.run(OPEN).await;
    let tenancy = logins.builder().migrations(tenant_files(&[NOTE])).connect().await.unwrap();
    let findings = check(&tenancy, &[says]).await;
    run_all(&mut superuser, &findings).await;
    check(&tenancy, &[]).await;
    Client::owner(&logins.database).await.run("CREATE TABLE public.plan (id int)").await;
}

#[tokio::test]
async fn a_schema_that_was_renamed_is_found_by_its_number() {
    let mut fixture = Fixture::new(&[NOTE]).await;
    let mut tenants = Vec::new();
    for slug in ["acme", "globex", "initech", "umbrella"] {
        let tenant = fixture.create(slug).await;
        let db = fixture.tenancy.db(&tenant).unwrap();
        sqlx::query("INSERT INTO note (title) VALUES ($1)").bind(slug).execute(&db).await.unwrap();
        tenants.push(tenant);
    }
    fixture.tenancy.fill_spares(1).await.unwrap();
    let spare = fixture.tenancy.spares().await.unwrap().remove(0).schema;
    let [acme, globex, initech, umbrella] = [0, 1, 2, 3].map(|index: usize| tenants[index].schema().as_str());
    let rename = format!(
        "ALTER SCHEMA {acme} RENAME TO \"Acme's old\"; ALTER SCHEMA {globex} RENAME TO t_globex_0123456789;
         ALTER SCHEMA {spare} RENAME TO tenantry_spare_0123456789; ALTER SCHEMA {initech} RENAME TO aside;
         ALTER SCHEMA {umbrella} RENAME TO {initech}; ALTER SCHEMA aside RENAME TO {umbrella}"
    );
    fixture.owner.run(&rename).await;
    let found = [
        (Check::RenamedSchema, "the schema of tenant `acme` goes by the name `Acme's old`, not `t_acme_"),
        (Check::RenamedSchema, "the schema of tenant `globex` goes by the name `t_globex_0123456789`"),
        (Check::RenamedSchema, "the schema of spare `tenantry_spare_"),
        (
            Check::RenamedSchema,
            "taken each other's names: that of tenant `initech` goes by the name `t_umbrella_",
        ),
    ];
    let findings = fixture.check(&found).await;
    fixture.mend(&findings).await;
    for tenant in &tenants {
        let db = fixture.tenancy.db(tenant).unwrap();
        let title: String = sqlx::query_scalar("SELECT title FROM note").fetch_one(&db).await.unwrap();
        assert_eq!(title, tenant.slug().as_str());
    }
    // Set aside on purpose, before a backup was restored.
    let set_aside = format!(
        "ALTER SCHEMA {acme} RENAME TO old; CREATE SCHEMA {acme}; SET search_path TO {acme}; {NOTE}; RESET search_path;
         CREATE TABLE {acme}._sqlx_migrations (LIKE old._sqlx_migrations INCLUDING ALL);
         INSERT INTO {acme}._sqlx_migrations TABLE old._sqlx_migrations"
    );
    fixture.owner.run(&set_aside).await;
    fixture.check(&[]).await;
    // After a restore from a dump no number is right.
    let shift = format!(
        "UPDATE tenantry.applied SET schema_number = CASE schema_name
             WHEN '{globex}' THEN (SELECT oid FROM pg_namespace WHERE nspname = 'old') ELSE 1 END;
         ALTER SCHEMA {globex} RENAME TO vanished"
    );
    fixture.owner.run(&shift).await;
    fixture.check(&[(Check::MissingSchema, "tenant `globex`")]).await;
}
