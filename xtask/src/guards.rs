//! Shows that the tests of the invariants can fail: leaves one guard out at a time, and expects its test to panic.
//!
//! The pairs of guard and test are in the documentation of `enum Guard`, which is read as text.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::command::{Failure, IN_GATE, Result, cargo, output_of, root};

const SOURCE: &str = "crates/tenantry/src/guard.rs";
/// The time that one test may take.
const LIMIT: Duration = Duration::from_mins(2);
/// Guards that are checked at a time. Their tests wait for a server more than they compute, and share that server.
const AT_ONCE: usize = 2;
/// The exit code of a test binary in which a test has failed.
const FAILED: Option<i32> = Some(101);

/// A guard, and the test that must fail without it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    guard: String,
    test: String,
}

/// Checks the guards of these names, or all.
///
/// Those that fail beside others are checked once more, alone: a test that shares the machine may miss its moment.
pub(crate) fn check(names: &[String]) -> Result<()> {
    let pairs = chosen(pairs_in(&read(SOURCE)?)?, names)?;
    let tests = build_unit_tests()?;
    let doubtful = check_all(&tests, &pairs, AT_ONCE)?;
    if !doubtful.is_empty() {
        println!("again, one at a time:");
    }
    match check_all(&tests, &doubtful, 1)?.len() {
        0 => println!("guards: {} guards, each with a test that fails without it", pairs.len()),
        failed => return Err(Failure::new(format!("{failed} of {} guards failed", pairs.len()))),
    }
    Ok(())
}

/// Checks some pairs at a time, and answers with those that failed.
fn check_all(tests: &Path, pairs: &[Pair], at_once: usize) -> Result<Vec<Pair>> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let check = |_| scope.spawn(|| check_some(tests, pairs, &next));
        let workers: Vec<_> = (0..at_once).map(check).collect();
        let died = |_| Err(Failure::new("a thread of the checks panicked"));
        let failed = workers.into_iter().map(|worker| worker.join().unwrap_or_else(died));
        Ok(failed.collect::<Result<Vec<_>>>()?.concat())
    })
}

/// Checks pairs that nobody has begun with, as long as there are any. Answers with those that failed.
fn check_some(tests: &Path, pairs: &[Pair], next: &AtomicUsize) -> Result<Vec<Pair>> {
    let mut failed = Vec::new();
    while let Some(pair) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
        match check_pair(tests, pair)? {
            Verdict::Holds { at } => {
                println!("ok      {}: without it {} fails at {at}", pair.guard, pair.test);
            }
            Verdict::Fails { why, output } => {
                failed.push(pair.clone());
                println!(
                    "FAILED  {}: {} {why}\n    {}",
                    pair.guard,
                    pair.test,
                    output.replace('\n', "\n    ")
                );
            }
        }
    }
    Ok(failed)
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(root().join(file)).map_err(Failure::to(format!("read `{file}`")))
}

/// Reads the variants of `enum Guard`: the last line of each one's documentation is ``Test: `module::name`.``
fn pairs_in(source: &str) -> Result<Vec<Pair>> {
    let (_, behind) = source.split_once("enum Guard {\n").unwrap_or_default();
    let (variants, _) = behind.split_once("\n}").unwrap_or_default();
    let (mut pairs, mut test) = (Vec::new(), None);
    for line in variants.lines().map(str::trim) {
        if let Some(named) = line.strip_prefix("/// Test: `").and_then(|rest| rest.strip_suffix("`.")) {
            test = Some(named.to_owned());
        } else if let Some(variant) = line.strip_suffix(',') {
            let without = || Failure::new(format!("`{SOURCE}` names no test for guard `{variant}`"));
            pairs.push(Pair { guard: name_of(variant), test: test.take().ok_or_else(without)? });
        }
    }
    if pairs.is_empty() { Err(Failure::new(format!("there is no guard in `{SOURCE}`"))) } else { Ok(pairs) }
}

/// `BusyFlag` is `busy-flag` in `TENANTRY_LEAVE_OUT`.
fn name_of(variant: &str) -> String {
    let mut name = String::new();
    for (at, letter) in variant.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn chosen(mut pairs: Vec<Pair>, names: &[String]) -> Result<Vec<Pair>> {
    if let Some(unknown) = names.iter().find(|name| pairs.iter().all(|pair| pair.guard != **name)) {
        return Err(Failure::new(format!("no guard is named `{unknown}`")));
    }
    pairs.retain(|pair| names.is_empty() || names.contains(&pair.guard));
    Ok(pairs)
}

/// Builds the unit tests of the library, with the features they have in the gate.
/// Everything is chosen, as the tests do: with fewer packages, fewer features are on, and all is built once more.
fn build_unit_tests() -> Result<PathBuf> {
    let messages = output_of(&mut cargo(&format!("test {IN_GATE} --no-run --message-format=json")))?;
    executable_in(&messages).ok_or_else(|| Failure::new("the unit tests of the library were not built"))
}

/// The executable in the messages of cargo, one JSON object a line.
fn executable_in(messages: &str) -> Option<PathBuf> {
    let is_library =
        |line: &&str| line.contains(r#""kind":["lib"]"#) && line.contains(r#""name":"tenantry","#);
    let mut executables = messages.lines().filter(is_library).filter_map(|line| {
        let (_, behind) = line.split_once(r#""executable":""#)?;
        behind.split_once('"').map(|(path, _)| PathBuf::from(path))
    });
    executables.next_back()
}

enum Verdict {
    Holds { at: String },
    Fails { why: String, output: String },
}

fn check_pair(tests: &Path, Pair { guard, test }: &Pair) -> Result<Verdict> {
    let (status, output) = run_alone(tests, test, None)?;
    if !status.success() || !output.contains("test result: ok. 1 passed; 0 failed;") {
        return Ok(Verdict::Fails { why: "does not pass with the guard in place".to_owned(), output });
    }
    let (status, output) = run_alone(tests, test, Some(guard))?;
    let is_alone = output.contains("test result: FAILED. 0 passed; 1 failed;");
    Ok(match place_of_panic(&output, test) {
        Some(at) if is_alone && status.code() == FAILED => Verdict::Holds { at },
        _ => Verdict::Fails { why: format!("does not fail without the guard ({status})"), output },
    })
}

/// The place where the test itself panicked, in its own thread:
/// `thread 'module::name' (7) panicked at src/file.rs:12:5:`.
fn place_of_panic(output: &str, test: &str) -> Option<String> {
    let thread = format!("thread '{test}' ");
    let line = output.lines().find(|line| line.starts_with(&thread) && line.contains("panicked at "))?;
    let (_, place) = line.split_once("panicked at ")?;
    Some(place.split(':').take(2).collect::<Vec<_>>().join(":"))
}

/// Runs one test, in the folder of the crate as cargo does; gives how it ended and what it said.
fn run_alone(tests: &Path, test: &str, left_out: Option<&str>) -> Result<(ExitStatus, String)> {
    let (mut output, input) = io::pipe().map_err(Failure::to("make a pipe"))?;
    let cannot_run = || Failure::to(format!("run `{}`", tests.display()));
    let mut child = {
        let mut command = Command::new(tests);
        command.args(["--exact", test, "--test-threads=1"]).current_dir(root().join("crates/tenantry"));
        command.env("RUST_BACKTRACE", "0").env_remove("TENANTRY_LEAVE_OUT");
        command.envs(left_out.map(|guard| ("TENANTRY_LEAVE_OUT", guard)));
        command.stdin(Stdio::null()).stderr(input.try_clone().map_err(cannot_run())?).stdout(input);
        command.spawn().map_err(cannot_run())?
    };
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        output.read_to_end(&mut said).map(|_| String::from_utf8_lossy(&said).into_owned())
    });
    let status = wait(&mut child).map_err(Failure::to(format!("wait for `{test}`")))?;
    let said = reader.join().unwrap_or_else(|_| Err(io::Error::other("the reader panicked")));
    Ok((status, said.map_err(Failure::to(format!("read what `{test}` says")))?))
}

/// Waits for the end, and brings it about when it takes too long.
fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENUM: &str = "/// Some.\nenum Guard {\n    /// Flag.\n    ///\n    /// Test: `a::b`.\n    BusyFlag,\n    \
                        /// Test: `c::d`.\n    #[cfg(feature = \"x\")]\n    Void,\n}\nimpl Guard {}\n";

    fn pair(guard: &str, test: &str) -> Pair {
        Pair { guard: guard.to_owned(), test: test.to_owned() }
    }

    #[test]
    fn a_guard_and_its_test_are_read_from_the_enum() {
        assert_eq!(pairs_in(ENUM).expect("pairs"), [pair("busy-flag", "a::b"), pair("void", "c::d")]);
    }

    #[test]
    fn a_guard_without_a_test_is_named() {
        let failure = pairs_in(&ENUM.replace("    /// Test: `c::d`.\n", "")).expect_err("no test");
        assert!(failure.to_string().contains("no test for guard `Void`"), "{failure}");
        assert!(pairs_in("enum Other {\n}").is_err());
    }

    #[test]
    fn only_the_guards_that_were_named_are_chosen() {
        let pairs = || vec![pair("tag", "a::b"), pair("void", "c::d")];
        assert_eq!(chosen(pairs(), &["void".to_owned()]).expect("known"), [pair("void", "c::d")]);
        assert_eq!(chosen(pairs(), &[]).expect("all"), pairs());
        assert!(chosen(pairs(), &["viod".to_owned()]).is_err());
    }

    #[test]
    fn the_unit_tests_of_the_library_are_found_among_what_was_built() {
        let built = |kind: &str, name: &str| {
            format!(
                r#"{{"target":{{"kind":["{kind}"],"name":"{name}","test":true}},"executable":"/t/{kind}-{name}"}}"#
            )
        };
        let messages =
            [built("lib", "notes"), built("lib", "tenantry"), built("bin", "tenantry"), built("test", "it")];
        assert_eq!(executable_in(&messages.join("\n")), Some(PathBuf::from("/t/lib-tenantry")));
        assert_eq!(executable_in(&built("lib", "tenantry").replace("\"/t/lib-tenantry\"", "null")), None);
    }

    #[test]
    fn a_panic_counts_in_the_thread_of_the_test_only() {
        let panic = "thread 'a::b' (42) panicked at crates/x.rs:12:5:\nassertion failed";
        assert_eq!(place_of_panic(panic, "a::b").as_deref(), Some("crates/x.rs:12"));
        assert_eq!(place_of_panic(panic, "a::c"), None);
        assert_eq!(place_of_panic("thread 'tokio-rt-worker' panicked at x.rs:1:1:", "a::b"), None);
    }
}
