//! A tenant is deleted, comes back, and goes for good.

use std::time::{Duration, Instant};

use http::StatusCode;
use tenantry::database::Period;
use tenantry::doctor::Check;
use tenantry::registry::AuditState;
use tenantry::resolve::{CustomDomain, FirstOf, Subdomain};
use tenantry::tenant::{SchemaName, Status, Tenant};
use tenantry::{ErrorKind, NewTenant, PoolConfig, PurgeOptions, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::doctor::close_public;
use crate::http::{application, request, routes, send};
use crate::support::{
    Client, NOTHING, ONE_TENANT, builder, check_error, config, database, domain, slug, table, tenancy,
};

const NOTE: &str = "CREATE TABLE note (id serial PRIMARY KEY, title text)";
const NOW: PurgeOptions = PurgeOptions { now: true, drop_dependents: false };

async fn acme(tenancy: &Tenancy) -> Tenant {
    tenancy.create(NewTenant::new("acme").domain(domain("notes.acme.org"))).await.unwrap()
}

#[tokio::test]
async fn a_deleted_tenant_comes_back_as_what_it_was() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = acme(&tenancy).await;
    let db = tenancy.db(&acme).unwrap();
    sqlx::query("INSERT INTO note (title) VALUES ('kept')").execute(&db).await.unwrap();
    for before in [Status::Active, Status::Suspended] {
        Client::owner(&database).await.run(&format!("UPDATE tenantry.tenant SET status = '{before}'")).await;
        let deleted = tenancy.delete(&acme).await.unwrap();
        assert_eq!(deleted.status(), Status::Deleted);
        assert_eq!(tenancy.tenant("acme").await.unwrap(), deleted, "the cache knows at once");
        assert_eq!(tenancy.delete(&acme).await.unwrap(), deleted, "once more changes nothing");
        for refused in [tenancy.db(&deleted).err(), db.acquire().await.err().map(Into::into)] {
            check_error::<()>(Err(refused.unwrap()), ErrorKind::UnknownTenant, &["acme"]);
        }
        let taken = tenancy.create(NewTenant::new("acme")).await;
        let error = check_error(taken, ErrorKind::AlreadyExists, &["undelete acme"]);
        assert_eq!(error.to_string(), "tenant `acme` already exists", "nobody is told what became of it");
        let other = tenancy.create(NewTenant::new("other").domain(domain("notes.acme.org"))).await;
        check_error(other, ErrorKind::AlreadyExists, &["notes.acme.org"]);

        let back = tenancy.undelete(&deleted).await.unwrap();
        assert_eq!(back.status(), before);
        assert_eq!(tenancy.undelete(&acme).await.unwrap(), back, "once more changes nothing");
        assert_eq!(tenancy.purge_after(&back).await.unwrap(), None);
        assert_eq!(tenancy.domains(&back).await.unwrap(), [domain("notes.acme.org")]);
    }
    Client::owner(&database).await.run("UPDATE tenantry.tenant SET status = 'active'").await;
    tenancy.delete(&acme).await.unwrap();
    tenancy.undelete(&acme).await.unwrap();
    let titles: Vec<String> = sqlx::query_scalar("SELECT title FROM note").fetch_all(&db).await.unwrap();
    assert_eq!(titles, ["kept"], "a handle that was kept serves again");
    let verbs: Vec<_> = tenancy.audit(acme.id(), 4).await.unwrap().into_iter().map(|it| it.verb).collect();
    assert_eq!(verbs, ["undelete", "delete", "undelete", "delete"]);
}

#[tokio::test]
async fn a_deleted_tenant_is_answered_like_one_that_never_was() {
    let resolver =
        FirstOf::new(vec![Box::new(Subdomain::of("example.com").unwrap()), Box::new(CustomDomain::new())]);
    let application = application(resolver.unwrap(), PoolConfig::default()).await;
    let tenancy = &application.tenancy;
    let acme = tenancy.tenant("acme").await.unwrap();
    tenancy.add_domain(&acme, &domain("notes.acme.org")).await.unwrap();
    tenancy.delete(&acme).await.unwrap();
    for path in ["/schema", "/slug"] {
        let ask = async |host| {
            let answer = send(routes().layer(tenancy.layer()), request(host, path)).await;
            let headers = ["content-type", "retry-after"].map(|name| answer.header(name).map(str::to_owned));
            (answer.status, answer.body, headers)
        };
        let nobody = ask("nobody.example.com").await;
        assert_eq!(nobody.0, StatusCode::NOT_FOUND);
        for host in ["acme.example.com", "notes.acme.org"] {
            assert_eq!(ask(host).await, nobody, "{host}{path}");
        }
    }
    tenancy.undelete(&acme).await.unwrap();
    let answer = send(routes().layer(tenancy.layer()), request("notes.acme.org", "/slug")).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "acme"));
}

#[tokio::test]
async fn only_a_deleted_tenant_whose_time_has_come_is_purged() {
    let database = database().await;
    let tenancy = builder(&database).keep_deleted(Period::days(7)).connect().await.unwrap();
    let acme = acme(&tenancy).await;
    let globex = tenancy.create(NewTenant::new("globex")).await.unwrap();
    let purge = tenancy.purge(&acme, NOW).await;
    check_error(purge, ErrorKind::TenantUnavailable, &["is active, not deleted", "tenantry delete acme"]);
    tenancy.delete(&acme).await.unwrap();
    let in_a_week = time::OffsetDateTime::now_utc() + time::Duration::days(7);
    let date = tenancy.purge_after(&acme).await.unwrap().unwrap();
    assert!((in_a_week - date).abs() < time::Duration::minutes(1), "{date}");
    let purge = tenancy.purge(&acme, PurgeOptions::default()).await;
    check_error(purge, ErrorKind::TenantUnavailable, &["is kept until 20", "--now"]);
    tenancy.delete_for(&globex, Period::days(0)).await.unwrap();
    assert_eq!(tenancy.due_for_purge("", 10).await.unwrap().len(), 1, "globex is due");

    let mut client = Client::owner(&database).await;
    assert_eq!(client.traces("acme").await.schemas, 1);
    tenancy.purge(&acme, NOW).await.unwrap();
    tenancy.purge(&globex, PurgeOptions::default()).await.unwrap();
    assert_eq!(client.traces("acme").await, NOTHING);
    assert_eq!(client.count("tenantry.domain").await, 0);
    check_error(tenancy.tenant("acme").await, ErrorKind::UnknownTenant, &["acme"]);
    check_error(tenancy.undelete(&acme).await, ErrorKind::UnknownTenant, &[]);
    check_error(tenancy.purge(&acme, NOW).await, ErrorKind::UnknownTenant, &[]);
    let entry = tenancy.audit(acme.id(), 1).await.unwrap().remove(0);
    assert_eq!((entry.verb.as_str(), entry.state), ("purge", AuditState::Done));

    // The slug and the domain are free again.
    let again = tenancy.create(NewTenant::new("acme").domain(domain("notes.acme.org"))).await.unwrap();
    assert_ne!(again.id(), acme.id());
    close_public(&database).await;
    assert_eq!(tenancy.doctor().await, []);
}

#[tokio::test]
async fn what_depends_on_a_tenant_elsewhere_is_named_before_anything_is_dropped() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE, "CREATE TYPE mood AS ENUM ('sad')"]).await;
    let acme = acme(&tenancy).await;
    let (note, mood) = (table(&acme, "note"), table(&acme, "mood"));
    let mut client = Client::owner(&database).await;
    tenancy.delete(&acme).await.unwrap();
    for (make, named) in [
        (format!("CREATE VIEW public.all_notes AS SELECT * FROM {note}"), "view all_notes"),
        (format!("CREATE TABLE public.tag (note int REFERENCES {note})"), "tag_note_fkey on table tag"),
        (format!("CREATE TABLE public.feeling (mood {mood})"), "column mood of table feeling"),
        (format!("CREATE TABLE public.heir () INHERITS ({note})"), "table heir"),
        (
            format!("CREATE FUNCTION public.first({note}) RETURNS int LANGUAGE sql AS 'SELECT 1'"),
            "function first",
        ),
    ] {
        client.run(&make).await;
        let error = check_error(tenancy.purge(&acme, NOW).await, ErrorKind::Dependents, &[]);
        let told = error.to_string();
        let last = named.rsplit(' ').next().unwrap();
        assert!(told.contains(last), "{told} does not name {named}");
        assert_eq!(client.traces("acme").await, ONE_TENANT);
        assert_eq!(tenancy.tenant("acme").await.unwrap().status(), Status::Deleted);
    }
    let all = PurgeOptions { drop_dependents: true, ..NOW };
    tenancy.purge(&acme, all).await.unwrap();
    assert_eq!(client.traces("acme").await, NOTHING);
    let left = client.count("pg_class WHERE relname IN ('all_notes', 'heir')").await;
    assert_eq!(left, 0);
    assert_eq!(client.count("pg_constraint WHERE conname = 'tag_note_fkey'").await, 0);
}

#[tokio::test]
async fn a_shared_schema_is_refused_whatever_the_options() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = acme(&tenancy).await;
    tenancy.delete(&acme).await.unwrap();
    let mut client = Client::owner(&database).await;
    let options = PurgeOptions { now: true, drop_dependents: true };
    for (name, kind) in [
        ("public", ErrorKind::InvalidInput),
        ("extensions", ErrorKind::InvalidInput),
        ("tenantry", ErrorKind::Database),
        ("tenantry_void", ErrorKind::Database),
        ("pg_catalog", ErrorKind::Database),
        ("information_schema", ErrorKind::Database),
    ] {
        client.run(&format!("UPDATE tenantry.tenant SET schema_name = '{name}'")).await;
        let refused = tenancy.purge(&acme, options).await.unwrap_err();
        let is_refused = refused.kind() == kind || refused.kind() == ErrorKind::Decode;
        assert!(is_refused || refused.kind() == ErrorKind::Registry, "{name}: {refused:?}");
    }
    let restore = format!("UPDATE tenantry.tenant SET schema_name = '{}'", acme.schema());
    client.run(&restore).await;
    client
        .run(&format!(
            "INSERT INTO tenantry.spare (schema_name, digest) VALUES ('{}', sha256(''))",
            acme.schema()
        ))
        .await;
    check_error(tenancy.purge(&acme, options).await, ErrorKind::Registry, &["somebody else"]);
    client.run("DELETE FROM tenantry.spare").await;
    assert_eq!(client.traces("acme").await, ONE_TENANT);
    tenancy.purge(&acme, options).await.unwrap();
}

#[tokio::test]
async fn two_aliases_of_one_database_do_not_share_a_schema_unnoticed() {
    let database = database().await;
    let alias = "twin".parse().unwrap();
    let tenancy = builder(&database).database_as(alias, config(&database)).connect().await.unwrap();
    let acme = acme(&tenancy).await;
    let mut client = Client::owner(&database).await;
    client
        .run(&format!(
            "INSERT INTO tenantry.tenant (id, slug, schema_name, database, status)
             VALUES (gen_random_uuid(), 'shadow', '{}', 'twin', 'active')",
            acme.schema()
        ))
        .await;
    tenancy.delete(&acme).await.unwrap();
    check_error(tenancy.purge(&acme, NOW).await, ErrorKind::Registry, &["somebody else"]);

    let elsewhere = ScratchDatabase::create().await.unwrap();
    let alias = "twin".parse().unwrap();
    let tenancy = builder(&database).database_as(alias, config(&elsewhere)).connect().await.unwrap();
    tenancy.purge(&acme, NOW).await.unwrap();
}

/// A schema of every kind of thing that depends on each other in unusual ways.
const TANGLED: &str = r#"
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN short AS text CHECK (length(value) < 100);
CREATE TYPE pair AS (a int, b mood);
CREATE TYPE span AS RANGE (subtype = int);
CREATE SEQUENCE loose;
CREATE TABLE "odd ""name" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mood mood, at pair, "of" short, s span);
CREATE TABLE a (id serial PRIMARY KEY, b int, n bigint DEFAULT nextval('loose'));
CREATE TABLE b (id serial PRIMARY KEY, a int REFERENCES a, self int REFERENCES b);
ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b;
CREATE FUNCTION label(a) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT ''x''';
CREATE FUNCTION zero() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 0';
CREATE TABLE c (id int DEFAULT zero(), CHECK (id >= zero()));
CREATE FUNCTION of_c(c) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE INDEX ON c (of_c(c));
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION touch();
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
CREATE PROCEDURE act() LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION same(mood, mood) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1::text = $2::text';
CREATE OPERATOR === (LEFTARG = mood, RIGHTARG = mood, FUNCTION = same);
CREATE VIEW v AS SELECT id, total(b) AS total FROM a GROUP BY id;
CREATE MATERIALIZED VIEW m AS SELECT * FROM v;
CREATE VIEW w AS SELECT * FROM m;
CREATE OR REPLACE VIEW v AS SELECT id, total(b) AS total FROM a GROUP BY id;
CREATE TABLE part (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY RANGE (at);
CREATE TABLE part_1_1 PARTITION OF part_1 FOR VALUES FROM ('2020-01-01') TO ('2020-06-01');
CREATE TABLE refers (id int, at date, FOREIGN KEY (id, at) REFERENCES part);
CREATE TABLE base (x int);
CREATE TABLE heir (y int) INHERITS (base);
CREATE STATISTICS st ON a, self FROM b;
CREATE POLICY p ON b USING (a > zero());
CREATE RULE r AS ON INSERT TO base DO ALSO SELECT 1;
CREATE TEXT SEARCH CONFIGURATION tsc (COPY = simple);
CREATE COLLATION col FROM "C";
"#;

#[tokio::test]
async fn a_tangled_schema_is_purged_to_its_last_object() {
    let database = database().await;
    let tenancy = tenancy(&database, &[TANGLED]).await;
    let mut client = Client::owner(&database).await;
    client.run("CREATE TABLE plan (name text PRIMARY KEY)").await;
    let acme = acme(&tenancy).await;
    let owner = table(&acme, "c");
    client.run(&format!("ALTER TABLE {owner} ADD COLUMN plan text REFERENCES public.plan")).await;
    let before = client.count("pg_depend").await;
    let other = tenancy.create(NewTenant::new("other")).await.unwrap();
    tenancy.delete(&other).await.unwrap();
    tenancy.purge(&other, NOW).await.unwrap();
    assert_eq!(client.count("pg_depend").await, before, "nothing of it is left in the catalogs");
    tenancy.delete(&acme).await.unwrap();
    tenancy.purge(&acme, NOW).await.unwrap();
    assert_eq!(client.traces("acme").await, NOTHING);
    assert_eq!(client.count("pg_trigger WHERE tgrelid = 'plan'::regclass").await, 0);
}

#[tokio::test]
async fn an_adopted_schema_with_an_odd_name_and_an_extension_is_purged() {
    let database = database().await;
    let tenancy = tenancy(&database, &[]).await;
    let name = r#"Acme's "Own" schema"#;
    let quoted = r#""Acme's ""Own"" schema""#;
    Client::superuser(&database).await.run(&format!(
        "CREATE SCHEMA {quoted} AUTHORIZATION CURRENT_USER; CREATE EXTENSION IF NOT EXISTS citext SCHEMA {quoted};
         GRANT ALL ON SCHEMA {quoted} TO PUBLIC"
    )).await;
    let owner: String = Client::owner(&database).await.value("SELECT current_user::text").await;
    Client::superuser(&database).await.run(&format!("ALTER SCHEMA {quoted} OWNER TO \"{owner}\"")).await;
    let new = NewTenant::new("acme").existing_schema(SchemaName::parse(name).unwrap());
    let acme = tenancy.create(new).await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run(&format!("CREATE TABLE {quoted}.note (title {quoted}.citext)")).await;
    tenancy.delete(&acme).await.unwrap();
    let purged = tenancy.purge(&acme, NOW).await;
    if let Err(error) = purged {
        // The extension is the superuser's: it is said, and goes on once that is out of the way.
        assert_eq!(tenancy.tenant("acme").await.unwrap().last_error(), Some(error.to_string().as_str()));
        Client::superuser(&database).await.run("DROP EXTENSION citext").await;
        tenancy.purge(&acme, PurgeOptions::default()).await.unwrap();
    }
    assert_eq!(client.count("tenantry.tenant").await, 0);
}

/// The locks of a server with PostgreSQL's own settings, which all sessions share: 64 for each of 100 connections.
const DEFAULT_ROOM: i64 = 64 * 100;

#[tokio::test]
#[allow(clippy::print_stdout, reason = "a measurement")]
async fn a_large_schema_fits_into_the_lock_table_of_a_default_server() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = acme(&tenancy).await;
    let mut client = Client::owner(&database).await;
    let schema = acme.schema();
    for from in (0..1_700).step_by(100) {
        let upto = from + 99;
        client
            .run(&format!(
                r#"DO $$ BEGIN FOR i IN {from}..{upto} LOOP
                    EXECUTE format('CREATE TABLE "{schema}".t%s (id serial PRIMARY KEY, a int UNIQUE, b text)', i);
                END LOOP; END $$"#
            ))
            .await;
    }
    let objects = client.count(&format!("pg_class WHERE relnamespace = '{schema}'::regnamespace")).await;
    assert!(objects > DEFAULT_ROOM, "{objects} relations fit, so nothing is tested");

    tenancy.delete(&acme).await.unwrap();
    let mut most = 0;
    let begun = Instant::now();
    let purge = tenancy.purge(&acme, NOW);
    let watch = async {
        loop {
            let held = client.count("pg_locks WHERE pid <> pg_backend_pid()").await;
            most = most.max(held);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        purged = purge => purged.unwrap(),
        () = watch => unreachable!("it never ends"),
    }
    println!("1,700 tables in {:?}, at most {most} locks at a time", begun.elapsed());
    assert!(most > 50 && most * 2 < DEFAULT_ROOM, "{most} locks of {DEFAULT_ROOM}");
    assert_eq!(client.traces("acme").await, NOTHING);
}

#[tokio::test]
async fn a_purge_waits_for_whoever_reads_and_gives_up_in_the_end() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = acme(&tenancy).await;
    tenancy.delete(&acme).await.unwrap();
    let mut reader = Client::owner(&database).await;
    reader.run(&format!("BEGIN; SELECT * FROM {}", table(&acme, "note"))).await;
    let purge = tenancy.purge(&acme, NOW);
    let ((), purged) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            reader.run("COMMIT").await;
        },
        purge
    );
    purged.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_meets_the_tenant_or_nobody() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = acme(&tenancy).await;
    let db = tenancy.db(&acme).unwrap();
    let traffic = async || {
        let (mut served, mut turned_away) = (0, 0);
        loop {
            match sqlx::query_scalar::<_, i64>("SELECT count(*) FROM note").fetch_one(&db).await {
                Ok(count) => {
                    assert_eq!(count, 0);
                    served += 1;
                }
                Err(error) => {
                    let error = tenantry::Error::from(error);
                    let is_gone = matches!(error.kind(), ErrorKind::UnknownTenant | ErrorKind::MissingSchema);
                    assert!(is_gone, "{error:#}");
                    turned_away += 1;
                    if tenancy.tenants_after("", 1).await.unwrap().is_empty() {
                        return (served, turned_away);
                    }
                }
            }
        }
    };
    let life = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            tenancy.delete(&acme).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            tenancy.undelete(&acme).await.unwrap();
        }
        tenancy.delete(&acme).await.unwrap();
        tenancy.purge(&acme, NOW).await.unwrap();
    };
    let (one, other, ()) = tokio::join!(traffic(), traffic(), life);
    for (served, turned_away) in [one, other] {
        assert!(served > 5 && turned_away > 1, "{served} {turned_away}");
    }
}

#[tokio::test]
async fn what_is_half_purged_is_told_with_the_command_that_finishes_it() {
    let database = database().await;
    let tenancy = tenancy(&database, &[NOTE]).await;
    let acme = acme(&tenancy).await;
    tenancy.delete(&acme).await.unwrap();
    let mut client = Client::owner(&database).await;
    client.run("UPDATE tenantry.tenant SET status = 'purging'").await;
    close_public(&database).await;
    let findings = tenancy.doctor().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (findings[0].check, findings[0].mend.as_str()),
        (Check::HalfMade, "tenantry purge acme --yes")
    );
    check_error(tenancy.undelete(&acme).await, ErrorKind::TenantUnavailable, &["cannot come back"]);
    assert_eq!(tenancy.due_for_purge("", 10).await.unwrap()[0].slug(), &slug("acme"));
    tenancy.purge(&acme, PurgeOptions::default()).await.unwrap();
    assert_eq!(tenancy.doctor().await, []);
}
