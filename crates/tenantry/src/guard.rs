//! The guards of the invariants, each with a switch that leaves it out.
//!
//! A test that cannot fail proves nothing. With `TENANTRY_LEAVE_OUT=busy-flag` in the environment of a
//! test run, [`Guard::BusyFlag`] is not there, and the test of its invariant has to fail. The test stands
//! beside the guard: `cargo xtask guards` reads these lines, and checks that each test passes with its
//! guard and fails without it. In any other build the switch does not exist.

/// A guard that a test run can leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A run leaves a schema alone whose ledger is that of another type than the run takes its tenant for.
    ///
    /// Test: `invariants::types::a_run_leaves_a_tenant_alone_whose_type_is_half_changed`.
    LedgerType,
    /// The server's answer to a switch is compared with the schema that was asked for.
    ///
    /// Test: `invariants::switching::a_missing_schema_is_an_error_before_the_first_statement`.
    Verification,
    /// Nothing may be created behind the tenant's schema in the `search_path`.
    ///
    /// Test: `invariants::fall_through::a_dropped_schema_is_an_error_on_a_warm_connection`.
    Void,
    /// A touched connection is cleaned before anybody else sees it.
    ///
    /// Test: `invariants::crossing::a_setting_does_not_cross`.
    Hygiene,
    /// The settings that every session begins with are made again when it was cleaned.
    ///
    /// Test: `invariants::session_pooler::what_every_session_begins_with_outlasts_cleaning`.
    Defaults,
    /// Code removes what no plain statement removes, such as a connection of `dblink`.
    ///
    /// Test: `invariants::crossing::a_connection_of_dblink_does_not_cross`.
    Rest,
    /// A statement's text decides whether it touches the session.
    ///
    /// Test: `invariants::crossing::an_advisory_lock_does_not_cross`.
    Classification,
    /// A connection whose state is in doubt is closed.
    ///
    /// Test: `invariants::cancellation::a_begin_cancelled_in_flight_leaves_no_transaction_behind`.
    DoubtfulClosed,
    /// The server confirms that a dropped transaction was rolled back, in the schema it began in.
    ///
    /// Test: `invariants::crossing::a_dropped_transaction_whose_schema_is_gone_closes_its_connection`.
    RollbackVerified,
    /// A connection whose last answer was drained is cleaned and verified.
    ///
    /// Test: `invariants::cancellation::what_a_drained_statement_leaves_reaches_nobody`.
    DrainVerified,
    /// The rest of an answer is read where it holds up nobody, whatever there is of it.
    ///
    /// Test: `invariants::unread::a_slot_is_free_before_the_rest_of_a_large_answer_is_read`.
    DrainAside,
    /// A connection is marked busy before the first byte is sent.
    ///
    /// Test: `invariants::cancellation::a_begin_cancelled_in_flight_leaves_no_transaction_behind`.
    BusyFlag,
    /// Statements are tagged with what their tenant has applied.
    ///
    /// Test: `invariants::statements::tenants_at_different_versions_share_no_statement`.
    Tag,
    /// The statement cache is emptied between schemas that own types.
    ///
    /// Test: `invariants::statements::types_of_one_name_in_two_schemas_work_through_one_text`.
    ForgetTypes,
    /// A changed epoch closes a tenant's warm connections.
    ///
    /// Test: `invariants::switching::a_new_epoch_closes_the_warm_connections_of_a_tenant`.
    Epoch,
    /// The ledger row is written before the migration.
    ///
    /// Test: `invariants::ledger::a_second_runner_fails_before_any_ddl`.
    LedgerFirst,
    /// After a file, the server is asked what it changed outside of its schema.
    ///
    /// Test: `invariants::outside::a_file_that_changes_something_outside_is_undone`.
    Inspection,
    /// To Citus, a message is sent statement by statement.
    ///
    /// Test: `invariants::citus::a_file_of_several_statements_reaches_a_worker_one_by_one`.
    CitusStatements,
    /// On Citus, what changes a schema waits for the disk before it is committed.
    ///
    /// Test: `invariants::citus::no_change_of_a_distributed_schema_is_committed_before_it_is_on_disk`.
    CitusCommit,
    /// A connection to a worker of Citus is used if the server says that it is that worker.
    ///
    /// Test: `invariants::citus::a_server_that_is_not_the_worker_gets_no_statement`.
    NodeIdentity,
    /// The cluster is asked for the node of a tenant, whatever the registry says.
    ///
    /// Test: `invariants::citus::a_registry_that_is_wrong_leads_nobody_to_another_node`.
    NodeOfCluster,
    /// A tenant's transaction looks whether its run was taken over.
    ///
    /// Test: `invariants::runs::a_run_that_was_taken_over_changes_no_further_tenant`.
    RunToken,
    /// A spare with a function that names its own schema is not kept.
    ///
    /// Test: `invariants::spares::a_function_that_names_its_schema_is_never_renamed_away_from_it`.
    OwnName,
    /// A clone is compared with its source before anybody can see it.
    ///
    /// Test: `invariants::clones::a_clone_that_is_not_like_its_source_is_never_served`.
    CloneProof,
    /// A copy in another database is compared with its source before anybody can see it.
    ///
    /// Test: `invariants::elsewhere::a_copy_in_another_database_that_is_not_like_its_source_is_never_served`.
    TransferProof,
    /// A tenant of an archive is compared with the one that was exported before anybody can see it.
    ///
    /// Test: `invariants::archives::a_tenant_that_is_not_like_its_archive_is_never_served`.
    #[cfg_attr(not(feature = "archive"), allow(dead_code, reason = "nobody reads archives"))]
    ArchiveProof,
    /// A schema that is adopted at a version is compared with its files in the transaction that writes the ledger.
    ///
    /// Test: `invariants::adoption::a_schema_that_changed_since_it_was_compared_is_not_adopted`.
    AdoptionProof,
    /// A database that became a tenant is compared with it before anybody can see it.
    ///
    /// Test: `invariants::clones::a_tenant_that_is_not_like_its_database_is_never_served`.
    ImportProof,
    /// A tenant that moves is locked against writers at its old place before it is read.
    ///
    /// Test: `invariants::moves::nothing_that_is_written_while_a_tenant_moves_is_lost`.
    MoveFence,
    /// A change that the copy of a tenant that moves has seen is not repeated behind it.
    ///
    /// Test: `invariants::online_moves::what_is_written_meanwhile_is_at_the_new_place_once`.
    MoveOnce,
    /// A tenant that moves goes on at the new place behind the last change of the old one.
    ///
    /// Test: `invariants::online_moves::what_is_written_meanwhile_is_at_the_new_place_once`.
    MoveDrain,
    /// The schema has another name at the old place before the registry leads to the new one.
    ///
    /// Test: `invariants::moves::whoever_still_is_at_the_old_place_fails`.
    MoveClosed,
    /// Checkouts of a tenant that is being moved wait, and go on at the new place.
    ///
    /// Test: `invariants::moves::checkouts_wait_for_the_end_of_a_move_and_go_on_at_the_new_place`.
    MoveWait,
    /// Rows that arrived at the new place are compared with those that set out.
    ///
    /// Test: `invariants::moves::a_copy_that_is_not_what_set_out_is_never_served`.
    MoveProof,
    /// The value of `lastval()` is discarded on a switch.
    ///
    /// Test: `invariants::crossing::the_last_value_of_a_sequence_does_not_cross`.
    Sequences,
    /// A statement whose cached plan is stale is sent again.
    ///
    /// Test: `invariants::statements::a_migration_under_a_warm_connection_is_not_felt`.
    SecondAttempt,
    /// A connection that comes back to a closed pool is closed.
    ///
    /// Test: `pool::exploration::no_random_schedule_loses_a_slot_or_a_waiter`.
    ClosedPool,
    /// A switch that is sent ahead of a statement fails, if it is not confirmed.
    ///
    /// Test: `invariants::client::nothing_runs_behind_a_switch_that_fails`.
    #[cfg(feature = "tokio-postgres")]
    SwitchAhead,
    /// A switch is sent ahead of a statement only on a session in the void.
    ///
    /// Test: `invariants::client::a_switch_that_fails_before_its_transaction_leaves_its_statement_in_the_void`.
    #[cfg(feature = "tokio-postgres")]
    VoidFirst,
    /// A transaction whose closure was dropped in the middle is undone before anything else runs on its handle.
    ///
    /// Test: `invariants::diesel::what_follows_a_transaction_that_was_dropped_is_outside_of_it`.
    #[cfg(feature = "diesel-async")]
    AbandonedTransaction,
    /// A request that names two hosts is for nobody.
    ///
    /// Test: `invariants::hosts::a_request_that_names_two_hosts_is_for_nobody`.
    OneHost,
    /// A tenant that may only be read is served by sessions that are read-only.
    ///
    /// Test: `invariants::suspended::a_tenant_that_may_only_be_read_is_not_written_on_a_warm_connection`.
    ReadOnlySession,
    /// A handle that only reads is served by sessions that are read-only, on whichever server.
    ///
    /// Test: `invariants::replicas::a_replica_that_was_promoted_takes_no_write_on_a_warm_connection`.
    ReadHandle,
    /// The server's answer to a switch says that it is a standby, where a replica is read.
    ///
    /// Test: `invariants::replicas::a_replica_that_was_promoted_answers_no_further_tenant`.
    Standby,
    /// A handle that is kept asks whether its tenant is still served.
    ///
    /// Test: `invariants::kept_handles::a_kept_handle_notices_that_its_tenant_is_suspended`.
    KeptHandle,
    /// Handles and jobs stay with the id of their tenant, whoever has its slug now.
    ///
    /// Test: `invariants::kept_handles::a_handle_and_a_job_stay_with_their_tenant_when_another_takes_its_slug`.
    Identity,
    /// A transaction inside of another one of `SeaORM`'s that is dropped is undone before the next statement.
    ///
    /// Test: `invariants::orm::a_transaction_inside_of_another_one_is_undone_by_itself`.
    #[cfg(feature = "sea-orm")]
    OrmDropped,
    /// A statement on a transaction of `SeaORM`'s is refused while one inside of it is open.
    ///
    /// Test: `invariants::orm::only_the_innermost_transaction_has_the_say`.
    #[cfg(feature = "sea-orm")]
    OrmInnermost,
    /// A statement on a handle that holds its own pool's last connection names that as the cause.
    ///
    /// Test: `invariants::cancellation::a_handle_that_waits_for_itself_is_told_so`.
    SelfDeadlock,
    /// Behind a pooler, a statement and what prepares the session for it are one transaction.
    ///
    /// Test: `invariants::pooler::a_statement_and_what_prepares_it_are_one_transaction`.
    PoolerTransaction,
    /// Behind a pooler, what a transaction leaves in the session is removed before it ends.
    ///
    /// Test: `invariants::pooler::what_a_block_of_code_sets_reaches_nobody`.
    PoolerHygiene,
}

/// Returns true if the guard does its work: always, unless a test run leaves it out.
#[cfg(test)]
pub(crate) fn stands(guard: Guard) -> bool {
    use std::sync::LazyLock;
    static LEFT_OUT: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("TENANTRY_LEAVE_OUT").ok().map(|name| name.replace('-', "")));
    LEFT_OUT.as_deref().is_none_or(|name| !format!("{guard:?}").eq_ignore_ascii_case(name))
}

/// Returns true if the guard does its work, which it always does outside of tests.
#[cfg(not(test))]
pub(crate) const fn stands(_guard: Guard) -> bool {
    true
}
