use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_embedded::ScratchDatabase;

use super::{installation, run, source, superuser, tenants, value};

const SMALL: &str = "CREATE TABLE note (id int PRIMARY KEY, title text);
    INSERT INTO note SELECT i, 'x' FROM generate_series(1, 50) AS i";

/// Databases as copies of one that is on the same server as the installation.
async fn copies(template: &ScratchDatabase, count: usize) -> Vec<String> {
    let mut urls = Vec::new();
    let mut connection =
        PgConnection::connect(&template.superuser_url().replace(template.name(), "postgres")).await.unwrap();
    for number in 0..count {
        let name = format!("{}_{number}", template.name());
        let create = format!("CREATE DATABASE {name} TEMPLATE {}", template.name());
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        urls.push(template.superuser_url().replace(template.name(), &name));
    }
    urls
}

async fn drop_copies(template: &ScratchDatabase, count: usize) {
    for number in 0..count {
        let drop = format!("DROP DATABASE {}_{number} WITH (FORCE)", template.name());
        run(template.superuser_url(), &drop).await;
    }
}

#[tokio::test]
async fn a_list_goes_on_behind_what_fails_and_after_it_was_killed() {
    const COUNT: usize = 20;
    let project = installation().await;
    let template = source(SMALL).await;
    let urls = copies(&template, COUNT).await;
    run(
        &urls[7],
        "CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY);
         CREATE TABLE bad (id int REFERENCES other.t)",
    )
    .await;
    let rows = urls
        .iter()
        .enumerate()
        .map(|(number, url)| format!("{url},c{number},\"Customer, {number}\",c{number}.example"));
    let csv = format!("url,slug,name,domain\n{}\n", rows.collect::<Vec<_>>().join("\n"));
    project.write("customers.csv", &csv);
    let two: Vec<_> = csv.lines().enumerate().filter(|(line, _)| [0, 7, 8].contains(line)).collect();
    let two: Vec<_> = two.into_iter().map(|(_, line)| line).collect();
    let dry = ["import", "--from-file", "-", "--dry-run", "--format", "json"];
    let dry = project.run_with_input(&dry, &two.join("\n"));
    let found: serde_json::Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!((dry.code, found.as_array().unwrap().len()), (3, 2), "{}", dry.stderr);
    assert_eq!(tenants(&project).await, 0);

    let arguments = ["import", "--from-file", "customers.csv", "--jobs", "3"];
    let mut child = project
        .command(&arguments)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while value::<i64>(superuser(&project), "SELECT count(*) FROM tenantry.tenant").await < 5 {
        assert!(Instant::now() < deadline, "nothing is imported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = project.run(&arguments);
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(
        done.stderr.contains("c0 is there already") && done.stderr.contains("1 failed"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("tenant `c7`: its database cannot be imported"), "{}", done.stderr);
    assert_eq!(tenants(&project).await, 19);
    run(&urls[7], "DROP TABLE bad; DROP SCHEMA other CASCADE").await;
    let done = project.run(&arguments);
    assert!(
        done.code == 0 && done.stderr.contains("1 imported, 19 there already, 0 failed"),
        "{}",
        done.stderr
    );
    assert_eq!(tenants(&project).await, 20);
    let notes = project.ok(&["exec", "--all", "SELECT count(*) AS n FROM note", "--format", "json"]);
    assert_eq!(notes.matches("50").count(), 20, "{notes}");
    project.close_public().await;
    assert_eq!(project.json(&["doctor"]), serde_json::json!([]));
    drop_copies(&template, COUNT).await;
}
