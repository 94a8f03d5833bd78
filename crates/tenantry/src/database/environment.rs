//! The variables that belong to Tenantry, and what becomes of one that nobody reads.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::mistake::{Mistake, nearest};

/// The URL of the default database, as other programs read it too.
const DATABASE_URL: &str = "DATABASE_URL";
/// The variable that goes before it.
const DEFAULT_URL: &str = "TENANTRY_DATABASES_DEFAULT_URL";
const PREFIX: &str = "TENANTRY_";

/// Variables that are not keys of the configuration: the command line's, and those of `tenantry-embedded`.
const OF_OTHER_PARTS: &[&str] = &[
    "TENANTRY_BYPASS_KEY",
    "TENANTRY_CONFIG",
    "TENANTRY_PG_BIN",
    "TENANTRY_PG_DOWNLOAD_URL",
    "TENANTRY_TEST_URL",
];

/// Variables of our own tests and scripts, which inherit them to programs that they start.
const OF_TESTS: &[&str] = &[
    "TENANTRY_CHAOS_CHECKOUTS",
    "TENANTRY_CHAOS_TENANTS",
    "TENANTRY_CITUS_URL",
    "TENANTRY_DIE_AFTER",
    "TENANTRY_DIE_AT",
    "TENANTRY_KEEPER",
    "TENANTRY_LEAVE_OUT",
    "TENANTRY_LOCKS",
    "TENANTRY_MANY_BYTES",
    "TENANTRY_PG_FOLDERS",
    "TENANTRY_PG_NEWER",
    "TENANTRY_TEST_ARGUMENT",
    "TENANTRY_TEST_PART",
    "TENANTRY_TEST_READS",
    "TENANTRY_TEST_S3",
    "TENANTRY_THOROUGH",
    "TENANTRY_TRAFFIC_READS",
    "TENANTRY_TRAFFIC_URL",
    "TENANTRY_VICTIM_FILES",
    "TENANTRY_VICTIM_URL",
];

/// The variables whose name begins with `TENANTRY_`, in whatever case, and `DATABASE_URL`.
///
/// An empty variable is like one that is not set.
#[derive(Default)]
pub(super) struct Variables(BTreeMap<String, OsString>);

/// The variable that overrides a key, `TENANTRY_POOL_MODE` for `pool.mode`.
pub(super) fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

impl Variables {
    pub(super) fn of_process() -> Self {
        Self::among(std::env::vars_os())
    }

    pub(super) fn among(all: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let named = all.into_iter().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
        let is_ours = |name: &str| name == DATABASE_URL || name.to_ascii_uppercase().starts_with(PREFIX);
        Self(named.filter(|(name, value)| is_ours(name) && !value.is_empty()).collect())
    }

    /// The variable of this name, or the one that stands in for it, if one is set.
    pub(super) fn find(&self, name: &str) -> Result<Option<(&str, &str)>, Mistake> {
        let stand_in = || self.0.get_key_value(DATABASE_URL).filter(|_| name == DEFAULT_URL);
        let Some((name, value)) = self.0.get_key_value(name).or_else(stand_in) else { return Ok(None) };
        let not_text = || Mistake::new("the value is not UTF-8").of(|| format!("`{name}`"));
        Ok(Some((name, value.to_str().ok_or_else(not_text)?)))
    }

    /// Refuses a variable that neither overrides a key nor belongs to another part.
    ///
    /// `keys` are the variables of all keys, with the key that each overrides.
    pub(super) fn refuse_unknown(&self, keys: &BTreeMap<String, String>) -> Result<(), Mistake> {
        let is_known = |name: &str| {
            name == DATABASE_URL
                || keys.contains_key(name)
                || OF_OTHER_PARTS.contains(&name)
                || OF_TESTS.contains(&name)
                || is_set_by_kubernetes(name)
        };
        let Some(name) = self.0.keys().find(|name| !is_known(name)) else { return Ok(()) };
        let usual = name.to_ascii_uppercase();
        if self.0.contains_key(&usual) && is_known(&usual) {
            let message = format!("`{name}` and `{usual}` are one variable in two spellings");
            return Err(Mistake::new(message).with_hint(format!("unset `{name}`")));
        }
        Err(Mistake::new(format!("unknown variable `{name}`")).with_hint(hint(&usual, keys)))
    }
}

fn hint(name: &str, keys: &BTreeMap<String, String>) -> String {
    if let Some(alias) = undeclared_alias(name, keys) {
        let section = format!("[databases.{alias}]");
        return format!(
            "a database has variables where its section `{section}`, which may be empty, is in tenantry.toml"
        );
    }
    let known = keys.keys().map(String::as_str).chain(OF_OTHER_PARTS.iter().copied());
    let near = nearest(&name[PREFIX.len()..], known.filter_map(|name| name.strip_prefix(PREFIX)));
    match near {
        Some(near) => format!("did you mean `{PREFIX}{near}`?"),
        None => {
            format!("a variable is `{PREFIX}` and the path of a key in capitals, as in `TENANTRY_POOL_MODE`")
        }
    }
}

/// The alias in the name of a database's variable, unless it is that of a known database in other letters.
fn undeclared_alias(name: &str, keys: &BTreeMap<String, String>) -> Option<String> {
    let databases = || keys.values().filter_map(|key| key.strip_prefix("databases.")?.split_once('.'));
    let rest = name.strip_prefix(PREFIX)?.strip_prefix("DATABASES_")?;
    let aliases =
        databases().filter_map(|(_, key)| rest.strip_suffix(&format!("_{}", key.to_ascii_uppercase())));
    // `EU_OWNER_URL` is the `owner_url` of `eu` rather than the `url` of `eu_owner`.
    let alias = aliases.min_by_key(|alias| alias.len())?.to_lowercase();
    nearest(&alias, databases().map(|(known, _)| known)).is_none().then_some(alias)
}

/// Returns true for what Kubernetes gives every container for a Service that is called `tenantry`, or
/// something that begins so: `TENANTRY_SERVICE_HOST`, `TENANTRY_PORT_5432_TCP_ADDR` and their like.
fn is_set_by_kubernetes(name: &str) -> bool {
    let is_of_port = |(_, port): (&str, &str)| port.starts_with(|first: char| first.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT")
        || name.split_once("_PORT_").is_some_and(is_of_port)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn refusal_of(names: &[&str]) -> Option<String> {
        let keys = BTreeMap::from([("TENANTRY_POOL_MODE".to_owned(), "pool.mode".to_owned())]);
        let variables = Variables::among(names.iter().map(|name| (name.into(), "x".into())));
        variables.refuse_unknown(&keys).err().map(|mistake| mistake.to_string())
    }

    #[test]
    fn variables_of_others_are_no_mistake() {
        let of_others = [
            "PATH",
            "POOL_MOED",
            "MY_TENANTRY_POOL_MOED",
            "DATABASE_URL",
            "TENANTRY_PG_BIN",
            "TENANTRY_LEAVE_OUT",
            "TENANTRY_SERVICE_HOST",
            "TENANTRY_SERVICE_PORT",
            "TENANTRY_SERVICE_PORT_HTTP",
            "TENANTRY_APP_SERVICE_HOST",
            "TENANTRY_PORT",
            "TENANTRY_PORT_8080_TCP",
            "TENANTRY_PORT_8080_TCP_ADDR",
        ];
        assert_eq!(refusal_of(&of_others), None);
        for ours in ["TENANTRY_PORTS", "TENANTRY_POOL_PORT_MODE", "TENANTRY_SERVICE_HOSTS", "Tenantry_pg_bin"]
        {
            assert_eq!(refusal_of(&[ours]), Some(format!("unknown variable `{ours}`")));
        }
    }

    fn collect_files(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect_files(&path, found);
            } else if path.extension().is_none_or(|it| it == "rs" || it == "sh") {
                found.push(path);
            }
        }
    }

    /// The variables that a program or a script reads, as far as the text tells, but for those of keys.
    fn read_in(text: &str) -> impl Iterator<Item = &str> {
        let before = ["var(\"", "var_os(\"", "variable(\"", "env = \"", "${"];
        text.match_indices(PREFIX).filter_map(move |(at, _)| {
            let is_part = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_';
            let name = text[at..].split(|it| !is_part(it)).next()?;
            before.iter().any(|before| text[..at].ends_with(before)).then_some(name)
        })
    }

    #[test]
    fn the_variables_that_this_workspace_reads_are_listed() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = package.ancestors().nth(2).expect("a folder above the package");
        let mut found = Vec::new();
        for folder in ["crates", "examples", "bench", "xtask", ".ci"] {
            collect_files(&workspace.join(folder), &mut found);
        }
        let texts: Vec<_> = found.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
        let names: Vec<_> = texts.iter().flat_map(|text| read_in(text)).collect();
        assert_eq!(refusal_of(&names), None, "it belongs into one of the lists above");
        assert_eq!(
            read_in("std::env::var(\"TENANTRY_NEW\") \"TENANTRY_POOL_MODE\"").collect::<Vec<_>>(),
            ["TENANTRY_NEW"]
        );
    }
}
