use super::rule::Rule;

/// What a rule found, and at which byte of the file.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) at: usize,
    pub(super) message: String,
}
