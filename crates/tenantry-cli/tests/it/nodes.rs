use sqlx::{Connection as _, PgConnection};

use crate::bench::Project;

/// An emulation, which is not Citus and moves nothing anywhere.
const EMULATION: &str = include_str!("../../../tenantry/tests/citus/emulation.sql");

/// A cluster by the looks of it, with the workers `worker:1` and `worker:2`, and two tenants on the first.
async fn with_cluster() -> Project {
    let project = Project::ready().await;
    let url = project.database.as_ref().unwrap().superuser_url();
    sqlx::raw_sql(EMULATION).execute(&mut PgConnection::connect(url).await.unwrap()).await.unwrap();
    for slug in ["acme", "globex"] {
        project.ok(&["create", slug]);
        project.run(&["move", slug, "--to", "worker:1", "--online"]);
    }
    project
}

#[tokio::test]
async fn tenants_are_spread_over_the_nodes_and_each_goes_where_it_is_told() {
    let project = with_cluster().await;
    let plan = project.json(&["rebalance"]);
    let planned = &plan["moves"][0];
    assert_eq!((&plan["database"], &planned["slug"]), (&"default".into(), &"acme".into()), "{plan}");
    assert_eq!((&planned["from"], &planned["to"]), (&"worker:1".into(), &"worker:2".into()), "{plan}");
    let table = project.run(&["rebalance"]);
    assert!(table.stdout.contains("acme") && table.stderr.contains("left: 1 to move"), "{}", table.stdout);
    let done = project.run(&["rebalance", "--online"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("moved tenant acme to worker:2 in "), "{}", done.stderr);
    assert!(done.stderr.contains("left: 0 to move"), "{}", done.stderr);

    let moved = project.json(&["move", "acme", "--to", "worker:1", "--offline"]);
    assert_eq!((&moved["from"], &moved["to"]), (&"worker:2".into(), &"worker:1".into()), "{moved}");
    let again = project.run(&["move", "acme", "--to", "worker:1", "--offline"]);
    assert!(again.stderr.contains("tenant acme is on node worker:1 already"), "{}", again.stderr);
    assert!(project.ok(&["show", "acme"]).contains("move"), "it is in the audit");
}

#[tokio::test]
async fn the_commands_of_the_page_work_as_they_are_printed() {
    let project = with_cluster().await;
    let url = project.database.as_ref().unwrap().superuser_url();
    let rename = "UPDATE pg_dist_node SET nodename = 'worker-2.internal', nodeport = 5432 WHERE nodeport = 2";
    sqlx::raw_sql(rename).execute(&mut PgConnection::connect(url).await.unwrap()).await.unwrap();
    let [commands] = docs::blocks_of("docs/citus.md", "sh");
    for line in commands.lines() {
        let done = project.type_lines(line);
        assert_eq!(done.code, 0, "{line}\n{}", done.stderr);
    }
    let again = project.json(&["move", "acme", "--to", "worker-2.internal:5432", "--online"]);
    assert_eq!(again["from"], serde_json::Value::Null, "it is there");
}

#[tokio::test]
async fn a_node_that_cannot_be_gone_to_is_refused() {
    let project = with_cluster().await;
    for (to, says) in [
        ("worker:3", "nodes that take them: worker:1, worker:2"),
        ("coordinator:1", "no node `coordinator:1` takes tenants"),
    ] {
        let refused = project.refused(1, &["move", "acme", "--to", to, "--online"]);
        assert!(refused.contains(says), "{refused}");
    }
    let neither = project.refused(2, &["move", "acme", "--to", "worker:2"]);
    assert!(neither.contains("neither `--online` nor `--offline`"), "{neither}");
    for wrong in ["worker:", ":1", "worker:99999", "worker:x"] {
        let refused = project.refused(2, &["move", "acme", "--to", wrong, "--online"]);
        assert!(refused.contains("a node is `host:port`"), "{refused}");
    }
    let plain = Project::with_tenants().await;
    for command in [&["move", "acme", "--to", "worker:2", "--online"][..], &["rebalance"]] {
        assert!(plain.refused(1, command).contains("database `default` is not Citus"));
    }
}
