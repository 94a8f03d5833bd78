//! Mistakes in the arguments, for programs.
use std::ffi::OsString;

use crate::failure::Failure;

/// Returns true if the arguments ask for JSON, whatever else is wrong with them.
pub(crate) fn wants_json(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut arguments = arguments.into_iter().take_while(|argument| argument != "--").peekable();
    while let Some(argument) = arguments.next() {
        let is_next_json = arguments.peek().is_some_and(|next| next == "json");
        if argument == "--format=json" || (argument == "--format" && is_next_json) {
            return true;
        }
    }
    false
}

/// The failure that clap tells people in this text: what is wrong, tips, how the command is called, where to read on.
pub(crate) fn failure_of(text: &str) -> Failure {
    let mut paragraphs = text.trim().split("\n\n");
    let message = match paragraphs.next().and_then(|first| first.strip_prefix("error: ")) {
        Some(message) => on_one_line(message),
        // Without a command there is help only.
        None => {
            return Failure::usage("a command is missing").with_hint("`tenantry help` shows the commands");
        }
    };
    let mut hint = None;
    for paragraph in paragraphs.map(on_one_line) {
        if let Some(tip) = paragraph.strip_prefix("tip: ") {
            hint = Some(tip.to_owned());
        } else if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            hint = hint.or_else(|| Some(format!("call it as `{usage}`")));
        }
    }
    Failure::usage(message)
        .with_hint(hint.unwrap_or_else(|| "`tenantry help` explains the options".to_owned()))
}

fn on_one_line(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Report;

    #[test]
    fn json_is_wanted_by_a_flag_in_front_of_the_last_arguments() {
        let wants = |arguments: &[&str]| wants_json(arguments.iter().map(OsString::from));
        assert!(wants(&["tenantry", "list", "--format", "json"]));
        assert!(wants(&["tenantry", "--format=json", "--wrong"]));
        for arguments in
            [&["list", "--format", "table", "json"][..], &["psql", "--", "--format", "json"], &["json"], &[]]
        {
            assert!(!wants(arguments), "{arguments:?}");
        }
    }

    #[track_caller]
    fn check(text: &str, error: &str, hint: &str) {
        let report = serde_json::json!(Report::of(&failure_of(text)));
        assert_eq!(report, serde_json::json!({ "error": error, "kind": "usage", "hint": hint }));
    }

    #[test]
    fn a_mistake_is_one_sentence_with_a_hint() {
        check(
            "error: unexpected argument '--wher' found\n\n  tip: a similar argument exists: '--where'\n\n\
             Usage: tenantry list --where <CONDITION>\n\nFor more information, try '--help'.\n",
            "unexpected argument '--wher' found",
            "a similar argument exists: '--where'",
        );
        check(
            "error: the following required arguments were not provided:\n  <SLUG>\n  --x\n\n\
             Usage: tenantry show <SLUG>\n",
            "the following required arguments were not provided: <SLUG> --x",
            "call it as `tenantry show <SLUG>`",
        );
        let value =
            "error: invalid value 'xml' for '--format <FORMAT>'\n  [possible values: table, json]\n\nFor\n";
        let error = "invalid value 'xml' for '--format <FORMAT>' [possible values: table, json]";
        check(value, error, "`tenantry help` explains the options");
        check(
            "Operate a fleet\n\nUsage: tenantry",
            "a command is missing",
            "`tenantry help` shows the commands",
        );
    }
}
