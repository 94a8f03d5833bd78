use docs::read;
use yaml_rust2::{Yaml, YamlLoader};

use crate::bench::Project;

const MIGRATE: &str = "packaging/kubernetes/migrate.yaml";
const PURGE: &str = "packaging/kubernetes/purge.yaml";

fn manifest(file: &str) -> Yaml {
    let documents = YamlLoader::load_from_str(&read(file)).unwrap();
    <[Yaml; 1]>::try_from(documents).unwrap().into_iter().next().unwrap()
}

fn strings(list: &Yaml) -> Vec<&str> {
    list.as_vec().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// The arguments of the only container of a kind, which may do no more than it must.
fn arguments<'a>(pod: &'a Yaml, kind: &str) -> Vec<&'a str> {
    let [container] = &pod[kind].as_vec().unwrap()[..] else { panic!("one container") };
    let security = &container["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"].as_bool(), Some(false));
    assert_eq!(security["readOnlyRootFilesystem"].as_bool(), Some(true));
    assert_eq!(strings(&security["capabilities"]["drop"]), ["ALL"]);
    assert_eq!(container["env"][0]["name"].as_str(), Some("DATABASE_URL"));
    assert!(container["command"].is_badvalue(), "the image's entry point is the program");
    assert_eq!(pod["securityContext"]["runAsNonRoot"].as_bool(), Some(true));
    strings(&container["args"])
}

/// A project in which `acme` has a table that the second file makes.
async fn project_with_a_conflict() -> Project {
    let project = Project::ready().await;
    for slug in ["acme", "globex"] {
        project.ok(&["create", slug]);
    }
    project.ok(&["exec", "--tenant", "acme", "CREATE TABLE tag ()"]);
    project.write("migrations/tenant/0002_tag.sql", "CREATE TABLE tag ();");
    project
}

#[tokio::test]
async fn the_job_gives_up_at_the_exit_codes_that_another_attempt_does_not_change() {
    let job = manifest(MIGRATE);
    let pod = &job["spec"]["template"]["spec"];
    let (init, migrate) = (arguments(pod, "initContainers"), arguments(pod, "containers"));
    assert_eq!(
        pod["restartPolicy"].as_str(),
        Some("Never"),
        "without it, there may be no policy for failures"
    );
    let rules = job["spec"]["podFailurePolicy"]["rules"].as_vec().unwrap();
    let gives_up = rules.iter().find(|rule| rule["action"].as_str() == Some("FailJob")).unwrap();
    assert_eq!(gives_up["onExitCodes"]["operator"].as_str(), Some("In"));
    let codes = gives_up["onExitCodes"]["values"].as_vec().unwrap().iter();
    let gives_up_at = codes.map(|code| code.as_i64().unwrap()).collect::<Vec<_>>();

    let mut project = project_with_a_conflict().await;
    let code = |project: &Project, arguments: &[&str]| i64::from(project.run(arguments).code);
    // A registry that is there is left as it is.
    assert_eq!(code(&project, &init), 0);
    assert_eq!(code(&project, &migrate), 3, "some tenants failed");
    assert_eq!(code(&project, &[&migrate[..], &["--wrong"]].concat()), 2, "a wrong command line");
    assert_eq!(gives_up_at, [2, 3]);
    // The database is away, which the next attempt may find otherwise.
    let there = project.variables.clone();
    project.variables = vec![("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing".to_owned())];
    for arguments in [&init, &migrate] {
        assert_eq!(code(&project, arguments), 1);
    }
    assert!(job["spec"]["backoffLimit"].as_i64().unwrap() > 0);
    project.variables = there;
    project.ok(&["exec", "--tenant", "acme", "DROP TABLE tag"]);
    assert_eq!(code(&project, &migrate), 0);
}

#[tokio::test]
async fn the_nightly_job_purges_what_is_due() {
    let job = manifest(PURGE);
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let project = Project::with_tenants().await;
    project.ok(&["delete", "globex", "--yes", "--keep", "0d"]);
    assert_eq!(project.ok(&arguments(pod, "containers")), "purged globex\n");
    assert_eq!(job["spec"]["concurrencyPolicy"].as_str(), Some("Forbid"));
}

/// A manifest is YAML before Helm has filled it in, and after.
#[test]
fn what_helm_fills_in_is_in_quotes() {
    for file in [MIGRATE, PURGE] {
        for line in read(file).lines().filter(|line| line.contains("{{")) {
            let (_, value) = line.split_once(": ").unwrap();
            assert!(
                value.starts_with("\"{{ .Values.migrations.") && value.ends_with(" }}\""),
                "{file}: {line}"
            );
        }
    }
}
