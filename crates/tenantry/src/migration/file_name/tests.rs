#![allow(clippy::unwrap_used)]

use super::*;

#[track_caller]
fn check_refused(name: &str, fault: NameFault, right: &str) {
    let expect = WrongName { fault, right: right.to_owned() };
    assert_eq!(FileName::parse(name), Err(expect), "{name}");
    assert!(FileName::parse(right).unwrap().is_some(), "{right} is no right name");
}

#[test]
fn a_version_is_digits_without_a_sign() {
    check_refused("+5_y.sql", NameFault::Signed, "5_y.sql");
    check_refused("-5_x.sql", NameFault::Signed, "5_x.sql");
    check_refused("-0_x.up.sql", NameFault::Signed, "0_x.up.sql");
    check_refused("x_y.sql", NameFault::NoVersion, "0001_x_y.sql");
    check_refused("notes.sql", NameFault::NoVersion, "0001_notes.sql");
    check_refused("_1_x.sql", NameFault::NoVersion, "0001_1_x.sql");
    check_refused(" 1_x.sql", NameFault::NoVersion, "1_x.sql");
    check_refused("１_x.sql", NameFault::NoVersion, "0001_１_x.sql");
    check_refused(".sql", NameFault::NoVersion, "0001_notes.sql");
}

#[test]
fn the_version_fits_the_ledger() {
    check_refused("20191100000001000000_x.sql", NameFault::TooLarge, "20191100000001_x.sql");
    check_refused("9223372036854775808_x.up.sql", NameFault::TooLarge, "92233720368547_x.up.sql");
    assert_eq!(FileName::parse("9223372036854775807_x.sql").unwrap().unwrap().version, i64::MAX);
}

#[test]
fn an_underscore_follows_the_version() {
    check_refused("0001-x.sql", NameFault::NoUnderscore, "0001_x.sql");
    check_refused("0001.sql", NameFault::NoUnderscore, "0001_notes.sql");
    check_refused("0001 x.sql", NameFault::NoUnderscore, "0001_x.sql");
    check_refused("0001x_y.sql", NameFault::NoUnderscore, "0001_x_y.sql");
    check_refused("1.2__x.down.sql", NameFault::NoUnderscore, "1_2__x.down.sql");
    check_refused("2019-05-06-123456_users.sql", NameFault::NoUnderscore, "20190506123456_users.sql");
}

#[test]
fn the_ending_is_in_small_letters() {
    check_refused("1_x.SQL", NameFault::Ending(".sql"), "1_x.sql");
    check_refused("1_x.Up.sql", NameFault::Ending(".up.sql"), "1_x.up.sql");
    check_refused("1_x.DOWN.SQL", NameFault::Ending(".down.sql"), "1_x.down.sql");
    check_refused("1_x.sql ", NameFault::Ending(".sql"), "1_x.sql");
    check_refused("x.SQL", NameFault::NoVersion, "0001_x.sql");
}

#[test]
fn names_of_flyway_are_told_in_ours() {
    check_refused("V1__init.sql", NameFault::NoVersion, "1_init.sql");
    check_refused("U12__init.sql", NameFault::NoVersion, "12_init.down.sql");
    check_refused("R__views.sql", NameFault::NoVersion, "0001_R__views.sql");
    check_refused("views.sql", NameFault::NoVersion, "0001_views.sql");
}

#[test]
fn what_is_not_sql_is_none_of_them() {
    for name in ["README.md", "1_x.sql.bak", "1_x.sql~", "1_x", "sql", "", "1_x.sqlx", "ä.sq"] {
        assert_eq!(FileName::parse(name).unwrap(), None, "{name}");
    }
}

#[test]
fn a_file_in_a_folder_has_a_name_outside_of_it() {
    for (folder, file, right) in [
        ("20240101_init", "migration.sql", "20240101_init.sql"),
        ("00000000000000_setup", "up.sql", "00000000000000_setup.up.sql"),
        ("2019-05-06-123456_users", "down.sql", "20190506123456_users.down.sql"),
        ("old", "0001_x.sql", "0001_x.sql"),
        ("old", "x.SQL", "0001_x.sql"),
        ("old", "migration.sql", "0001_old.sql"),
    ] {
        assert_eq!(name_out_of_folder(folder, file), right);
        assert!(FileName::parse(right).unwrap().is_some(), "{right} is no right name");
    }
}
