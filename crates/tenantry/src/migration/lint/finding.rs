use super::rule::Rule;

/// The place that a rule found, as a byte of the file.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) at: usize,
    pub(super) message: String,
}
