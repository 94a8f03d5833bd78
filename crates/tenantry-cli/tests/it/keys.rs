use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::bench::Project;

/// The keys of each command's JSON. One thing has one key in all of them: `slug` is a tenant, `database` the alias of a
/// database, `schema` the name of a schema, `run` the number of a run, `version` that of a migration.
const KEYS: &[(&str, &str)] = &[
    (
        "adopt",
        "also database differences domain ledger mend nearest noted notes refused schema slug \
         tables tool type unknown version",
    ),
    (
        "archives",
        "archives begun_at bytes ended_at file fingerprint id outcome rows run sha256 slug unknown \
         verified version",
    ),
    ("baseline", "file first_rows version"),
    ("bypass", "bypass slug until"),
    (
        "clone",
        "copied created_at database digest domains id last_error name node notes owns_types schema \
         settings slug status suspension type",
    ),
    (
        "create",
        "created_at database digest domains former_slugs id last_error migrations name node \
         owns_types purge_after schema settings slug status suspension type",
    ),
    (
        "create --abort",
        "created_at database digest id last_error name node owns_types removed schema settings slug \
         status suspension type",
    ),
    ("database close", "closed database"),
    ("database list", "address closed closed_at database error operator size_bytes tenants"),
    ("database open", "closed database"),
    (
        "delete",
        "created_at database digest domains former_slugs id last_error migrations name node \
         owns_types purge_after schema settings slug status suspension type",
    ),
    ("dev start", "data_directory host log_file pid port running version"),
    ("dev status", "running"),
    ("dev url", "url"),
    ("doctor", "check database mend severity what why"),
    ("domain list", "domains slug"),
    ("drain", "database moved moves removed slug status staying to under_way"),
    ("errors", "error hint kind slug"),
    ("exec", "affected error kind message notices rows severity slug"),
    ("export", "bytes exported failed file groups notes removed rows run sha256 slug verified version"),
    (
        "import",
        "compared copied created_at database digest domains id last_error migrated name node notes \
         owns_types refused schema settings sha256 slug status suspension tables type version",
    ),
    ("import-migrations", "dry_run file files findings line master message remark version"),
    ("init", "created name what"),
    ("lint", "column errors file hint line message rule warnings"),
    (
        "list",
        "created_at database digest id last_error migrations name node owns_types schema settings \
         slug status suspension type",
    ),
    (
        "migrate",
        "behind column direction error failed failures file groups hint kind line marked master \
         message migrated pending refused rule run schemas slug slugs sql stopped tenants \
         transaction untouched up_to_date version warnings",
    ),
    (
        "move",
        "copied created_at database digest from id is_possible kept_schema last_error name node \
         notes offline online owns_types refused schema settings size_bytes slug stall_ms \
         stalled_ms status suspension tables to type",
    ),
    ("new", "files version"),
    ("purge", "failed purged"),
    ("release", "released schema"),
    (
        "rename",
        "created_at database digest domains former_slugs id last_error migrations name node \
         owns_types purge_after redirect_until schema settings slug status suspension type",
    ),
    (
        "resume",
        "created_at database digest id last_error name node owns_types schema settings slug status \
         suspension type",
    ),
    ("runs", "digest ended_at error failed migrated operator run started_at state up_to_date version wave"),
    (
        "runs show",
        "applied digest elapsed_ms ended_at error failed finished_at from_version groups migrated \
         operator run schemas slug slugs started_at state tenants undone up_to_date version wave",
    ),
    (
        "set",
        "applied created_at database digest domains former_slugs id kept last_error migrations name \
         node owns_types purge_after put_back schema settings slug status suspension type undone",
    ),
    (
        "show",
        "audit begun_at created_at database digest domains ended_at error footprint former_slugs id \
         last_error migrations name node operator options owns_types purge_after schema settings \
         size_bytes slug state status suspension tables type verb",
    ),
    ("spare fill", "made removed"),
    ("spare list", "created_at database is_current schema type"),
    (
        "status",
        "active address behind database databases deleted digest ended_at error failed files groups \
         last_run latest master migrated migrations moving operator path provisioning purging \
         registry replicas run server_version slug slugs spares started_at state suspended tenant \
         tenants total type types up_to_date version versions wave",
    ),
    (
        "suspend",
        "created_at database digest id last_error message name node owns_types read_only reason \
         schema settings slug status suspension type until",
    ),
    (
        "undelete",
        "created_at database digest domains former_slugs id last_error migrations name node \
         owns_types purge_after schema settings slug status suspension type",
    ),
    ("verify", "bytes file manifest rows sha256 slug version"),
];

/// Keys below which people choose their own, and those of a file that has them elsewhere, too.
const FREE: &[&str] = &["settings", "rows", "options", "manifest"];

fn collect(json: &Value, keys: &mut BTreeSet<String>) {
    match json {
        Value::Array(items) => items.iter().for_each(|item| collect(item, keys)),
        Value::Object(fields) => {
            for (key, value) in fields {
                keys.insert(key.clone());
                if !FREE.contains(&key.as_str()) {
                    collect(value, keys);
                }
            }
        }
        _ => {}
    }
}

/// Runs a command, and collects the keys of all that it prints: data, and errors one a line.
fn keys_of(project: &Project, command: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let arguments: Vec<_> = command.split('|').chain(["--format", "json"]).collect();
    let done = project.run(&arguments);
    let words = command.split('|').filter(|word| !word.contains(['=', '\'', '/']));
    let name = words.take_while(|word| !word.starts_with('-')).take(2).collect::<Vec<_>>();
    let name = match name[..] {
        [command @ ("runs" | "spare" | "dev" | "domain" | "database"), action] => {
            format!("{command} {action}")
        }
        _ if command.contains("--abort") => format!("{} --abort", name[0]),
        _ => name[0].to_owned(),
    };
    let keys = found.entry(name).or_default();
    if !done.stdout.is_empty() {
        collect(&serde_json::from_str(&done.stdout).expect(&done.stdout), keys);
    }
    let errors = found.entry("errors".to_owned()).or_default();
    for line in done.stderr.lines() {
        collect(&serde_json::from_str(line).expect(line), errors);
    }
}

/// Commands on one migration file, in this order.
const FIRST: &[&str] = &[
    "init",
    "create|acme|--name|Acme|--setting|plan=gold|--domain|acme.org",
    "create|--from|tenants",
    "list",
    "show|acme",
    "set|acme|--setting|plan=silver",
    "set|acme|--type|none",
    "suspend|acme|--reason|unpaid|--message|Please pay|--for|1h",
    "bypass|acme",
    "resume|acme",
    "clone|acme|copy",
    "export|acme|--to|acme.tar.zst",
    "verify|acme.tar.zst",
    "import|acme.tar.zst|--slug|third",
    "export|--all|--to|backup/",
    "archives|--in|backup",
    "domain|list|acme",
    "dev|url|--tenant|acme",
    "exec|--all|INSERT INTO note VALUES (1, NULL); DO $$ BEGIN RAISE NOTICE 'x'; END $$",
    "exec|--all|SELECT 1 / 0",
    "lint",
    "spare|fill|--count|1",
    "spare|list",
    "database|list",
    "drain|default|--dry-run",
    "database|close|default",
    "database|open|default",
];

/// Commands that come after a second one.
const THEN: &[&str] = &[
    "lint",
    "migrate|--dry-run",
    "migrate|--sql",
    "migrate",
    "runs",
    "runs|show|1",
    "status",
    "doctor",
    "baseline",
    "baseline|--check",
    "migrate|--mark-applied|1",
    "show|nobody",
    "show",
    "dev|status",
    "new|more",
    "release|initech|--yes",
    "adopt|--like|t%initech%|--dry-run",
    "move|acme|--to|default",
    "move|acme|--to|default|--offline",
    "rename|acme|apex",
    "rename|apex|acme|--redirect-for|0d",
    "delete|acme|--yes",
    "undelete|acme",
    "delete|acme|--yes|--keep|0d",
    "purge|acme|--yes",
    "exec|--master|UPDATE tenantry.tenant SET status = 'provisioning' WHERE slug = 'hooli'",
    "create|hooli|--abort|--yes",
    "import-migrations|goose|old",
    "import|--from|env:DATABASE_URL|imported|--applied-through|1|--without-other-schemas|--dry-run",
    "import|--from|env:DATABASE_URL|imported|--applied-through|1|--without-other-schemas",
];

#[tokio::test]
async fn one_thing_has_one_key_in_all_commands() {
    let mut project = Project::new().await;
    project.variables.push(("TENANTRY_BYPASS_KEY", "k".repeat(32)));
    project.write("migrations/master/0001_plan.sql", "CREATE TABLE plan (name text);");
    project.write("migrations/tenant/0001_note.sql", "CREATE TABLE note (id int, title text);");
    project.write("tenants", "initech\nhooli\n");
    project.write("old/20240131120000_more.sql", "-- +goose Up\nSET ROLE a;\nCREATE TABLE more (id int);\n");
    let mut found = BTreeMap::new();
    let mut keys = |command: &str| keys_of(&project, command, &mut found);
    for command in FIRST {
        keys(command);
    }
    project.write(
        "migrations/tenant/0002_title.sql",
        "ALTER TABLE note ALTER title SET NOT NULL, DROP COLUMN id;",
    );
    for command in THEN {
        keys(command);
    }
    keys_of(&Project::without_database(), "dev|start", &mut found);
    let found: Vec<_> = found
        .into_iter()
        .map(|(command, keys)| (command, keys.into_iter().collect::<Vec<_>>().join(" ")))
        .collect();
    let expect: Vec<_> =
        KEYS.iter().map(|(command, keys)| ((*command).to_owned(), (*keys).to_owned())).collect();
    assert_eq!(found, expect);
    check_spelling(&found);
}

/// Asserts that no key is another word for a thing that has one.
#[track_caller]
fn check_spelling(found: &[(String, String)]) {
    for other in ["tenant", "alias", "run_id", "tenant_slug", "schema_name", "example"] {
        let spelt = found.iter().find(|(_, keys)| keys.split(' ').any(|key| key == other));
        // The directories of migrations are those of the master schema and of tenants.
        assert!(spelt.is_none_or(|(command, _)| command == "status"), "{spelt:?} says `{other}`");
    }
}
