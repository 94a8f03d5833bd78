//! Databases that do not answer, while the others do.
use tenantry::Tenancy;
use tenantry::tenant::Alias;

use crate::context::Finish;
use crate::failure::Report;
use crate::output::{Format, print_report};

/// Says which databases did not answer. Where one did not, the command has done its work without it.
pub(crate) fn tell(format: Format, tenancy: &Tenancy, finish: Finish) -> Finish {
    tell_some(format, tenancy, |_| true, finish)
}

/// Says the same of those that the work was about.
pub(crate) fn tell_some(
    format: Format,
    tenancy: &Tenancy,
    is_meant: impl Fn(&Alias) -> bool,
    finish: Finish,
) -> Finish {
    let mut finish = finish;
    for (_, error) in tenancy.unreachable().iter().filter(|(alias, _)| is_meant(alias)) {
        print_report(format, &Report::of(error));
        finish = Finish::SomeFailed;
    }
    finish
}
