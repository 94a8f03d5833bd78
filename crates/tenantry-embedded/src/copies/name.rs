use crate::{Result, secret::hash, sql::Name};

/// The databases of one owner at one server, as their names tell them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope(String);

impl Scope {
    /// Locks are known within one database only, so those who lock elsewhere must not share names.
    pub(super) fn of(database: &str, owner: &str) -> Self {
        let parts = [database, owner].join("\n");
        Self(hash(&parts)[..8].to_owned())
    }

    pub(super) fn template(&self, key: &str) -> Result<Name> {
        Name::parse(&format!("tenantry_template_{}_{}", self.0, short(key)))
    }

    pub(super) fn draft(&self, key: &str) -> Result<Name> {
        Name::parse(&format!("tenantry_draft_{}_{}", self.0, short(key)))
    }

    pub(super) fn copy(&self, process: &str, number: u64) -> Result<Name> {
        Name::parse(&format!("tenantry_test_{}_{process}_{number}", self.0))
    }

    /// The beginning of the names of all copies.
    pub(super) fn copies(&self) -> String {
        format!("tenantry_test_{}_", self.0)
    }

    /// The beginning of the names of all templates.
    pub(super) fn templates(&self) -> String {
        format!("tenantry_template_{}_", self.0)
    }

    /// The name of the lock that a process holds as long as it lives.
    pub(super) fn lock_of_process(&self, process: &str) -> String {
        format!("tenantry test process {} {process}", self.0)
    }

    /// The name of the lock of whoever makes a template.
    pub(super) fn lock_of_template(&self, key: &str) -> String {
        format!("tenantry template {} {}", self.0, short(key))
    }

    /// Reads the process out of the name of a copy.
    pub(super) fn process<'a>(&self, copy: &'a str) -> Option<&'a str> {
        copy.strip_prefix(&self.copies())?.split('_').next()
    }
}

fn short(key: &str) -> String {
    hash(key)[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_copy_tells_its_process() {
        let scope = Scope::of("postgres", "me");
        let copy = scope.copy("0a1b2c3d", 7).expect("a name");
        assert_eq!(scope.process(copy.as_str()), Some("0a1b2c3d"));
        assert_eq!(Scope::of("other", "me").process(copy.as_str()), None);
        assert_eq!(scope.process("postgres"), None);
    }

    #[test]
    fn another_key_is_another_template() {
        let scope = Scope::of("postgres", "me");
        assert_ne!(scope.template("a").expect("a name"), scope.template("b").expect("a name"));
        assert!(scope.template(&"long ".repeat(100)).is_ok());
    }
}
