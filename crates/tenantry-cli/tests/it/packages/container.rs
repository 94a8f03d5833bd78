use docs::{read, root};

use crate::bench::Project;

const CONTAINERFILE: &str = "packaging/container/Containerfile";
const IGNORED: &str = "packaging/container/Containerfile.dockerignore";

/// A stage of the build: its name, and its instructions with what follows them.
struct Stage {
    name: String,
    base: String,
    instructions: Vec<(String, String)>,
}

impl Stage {
    fn all(&self, instruction: &str) -> impl Iterator<Item = &str> {
        self.instructions.iter().filter(move |(word, _)| word == instruction).map(|(_, rest)| rest.as_str())
    }
}

fn stages() -> Vec<Stage> {
    let text = read(CONTAINERFILE).replace("\\\n", " ");
    let mut stages: Vec<Stage> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap();
        if word == "FROM" {
            let (base, name) = rest.split_once(" AS ").unwrap();
            stages.push(Stage { name: name.to_owned(), base: base.to_owned(), instructions: Vec::new() });
        } else {
            stages.last_mut().unwrap().instructions.push((word.to_owned(), rest.to_owned()));
        }
    }
    stages
}

/// The words of an instruction in the form of a list, which no shell reads.
fn words(list: &str) -> Vec<String> {
    serde_json::from_str(list).unwrap()
}

#[test]
fn what_is_copied_into_the_image_is_there_and_is_the_whole_workspace() {
    let stages = stages();
    let copies =
        stages.iter().flat_map(|stage| stage.all("COPY")).filter(|copy| !copy.starts_with("--from="));
    let sources = copies.flat_map(|copy| {
        let words: Vec<_> = copy.split_whitespace().collect();
        words[..words.len() - 1].to_vec()
    });
    let sources: Vec<_> = sources.collect();
    let ignored = read(IGNORED);
    for source in &sources {
        assert!(root().join(source).exists(), "{source}");
        assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source} is kept from the build");
    }
    // cargo reads the manifests of all members, whichever it builds.
    let manifest = read("Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
    for member in words(members) {
        let folder = member.trim_end_matches("/*");
        assert!(sources.contains(&folder), "{folder}");
    }
}

#[test]
fn the_image_runs_the_program_and_not_as_root() {
    let stages = stages();
    let [build, slim, full] = &stages[..] else { panic!("three stages") };
    assert_eq!([&build.name, &slim.name, &full.name], ["build", "slim", "full"]);
    assert_eq!(full.base, "slim");
    let compile = build.all("RUN").last().unwrap();
    assert!(compile.contains(" --release --locked --package tenantry-cli"), "{compile}");
    for stage in [slim, full] {
        let user = stage.all("USER").last().unwrap();
        let (user, group) = user.split_once(':').unwrap();
        assert!(user.parse::<u32>().unwrap() > 0 && group.parse::<u32>().unwrap() > 0, "{}", stage.name);
    }
    let copied = slim.all("COPY").find_map(|copy| copy.strip_prefix("--from=build ")).unwrap();
    let (source, target) = copied.split_once(' ').unwrap();
    assert_eq!(source, "/source/target/release/tenantry");
    assert_eq!(words(slim.all("ENTRYPOINT").next().unwrap()), [target]);
    assert_eq!(
        full.all("ENTRYPOINT").count() + full.all("CMD").count(),
        0,
        "they are those of the stage below"
    );
    let arguments = words(slim.all("CMD").next().unwrap());
    let help = Project::without_database().ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(help.contains("\n  migrate "), "{help}");
}
