//! Conformance suites: one async function per promise in a port's rustdoc, run by every implementation of the port,
//! fakes and real servers alike.
//!
//! An adapter's test file names a suite and gives it a factory, an async function or closure that makes a fresh, empty
//! [`Subject`](sessions::Subject); each promise becomes a test of its own name:
//!
//! ```
//! use std::sync::Arc;
//!
//! use chat_domain::testing::{FakeClock, MemorySessions, conformance::sessions::Subject};
//!
//! async fn fresh() -> Subject {
//!     let clock = Arc::new(FakeClock::new());
//!     Subject::new(Arc::new(MemorySessions::new(clock.clone())), clock)
//! }
//!
//! chat_domain::conformance_tests!(sessions, fresh);
//!
//! mod without_waiting {
//!     use super::*;
//!     // Attributes of one's own instead of `#[tokio::test]`, and a closure for a factory.
//!     chat_domain::conformance_tests!(#[tokio::test(start_paused = true)] sessions, || async { fresh().await });
//! }
//! # fn main() {}
//! ```
//!
//! The suites do no I/O and need no executor; they wait on the subject's [`Clock`]. A suite for what not every
//! implementation can do (`session_expiry`, `session_capacity`, `shared_bypass`, `durable_spool`) is one of its own, so
//! that a test file shows what is claimed.

pub mod bypass;
pub mod durable_spool;
pub mod health;
pub mod history;
pub mod limits;
pub mod llm;
pub mod session_capacity;
pub mod session_expiry;
pub mod sessions;
pub mod shared_bypass;
pub mod spool;
pub mod tools;

use std::{any::Any, future::poll_fn, pin::pin, task::Poll, time::Duration};

use futures_util::{
    future::{BoxFuture, Either, select},
    pin_mut,
};

use crate::ports::Clock;

/// What has to live as long as a subject: a server, a directory.
pub type Held = Box<dyn Any + Send>;

/// Lets time pass for what is under test: a fake clock is moved, a real one waited for.
pub type Advance = Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// What a promise may take at the most where it says no time itself: real servers on a busy machine need some.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long something is watched that must not happen.
pub const GLANCE: Duration = Duration::from_millis(40);

/// The output of `future`, which has to be there before [`PATIENCE`] is over.
pub async fn soon<T>(clock: &dyn Clock, what: &str, future: impl Future<Output = T>) -> T {
    let end = clock.moment().plus(PATIENCE);
    pin_mut!(future);
    match select(future, clock.sleep_until(end)).await {
        // One that nobody woke is found ready when patience is over.
        Either::Left((output, _)) if clock.moment() < end => output,
        _ => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

/// Watches a future that must not be ready now, nor a [`GLANCE`] later.
pub async fn not_yet<T>(clock: &dyn Clock, what: &str, future: &mut (impl Future<Output = T> + Unpin)) {
    let long_enough = clock.sleep_until(clock.moment().plus(GLANCE));
    match select(future, long_enough).await {
        Either::Left(_) => panic!("{what}: too early"),
        Either::Right(_) => {}
    }
}

/// Asks until the answer is yes, which has to come before [`PATIENCE`] is over.
pub async fn eventually(clock: &dyn Clock, what: &str, ask: impl AsyncFn() -> bool) {
    eventually_within(clock, PATIENCE, what, ask).await;
}

/// Asks until the answer is yes, which has to come before `patience` is over.
pub async fn eventually_within(clock: &dyn Clock, patience: Duration, what: &str, ask: impl AsyncFn() -> bool) {
    let end = clock.moment().plus(patience);
    loop {
        // A look may take long itself: the last one is begun after the end.
        let is_late = clock.moment() >= end;
        if ask().await {
            return;
        }
        assert!(!is_late, "{what}: not within {patience:?}");
        clock.sleep_until(clock.moment().plus(Duration::from_millis(10))).await;
    }
}

/// Polls `future` as often as it wants to be, but at most `polls` times, and drops it; its output if it was ready by
/// then.
pub async fn polled_at_most<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut left = polls;
    let mut future = pin!(future);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A number of polls no future under test comes near; one that does wakes itself without end.
pub const MANY_POLLS: usize = 5_000;

/// Runs a suite against an implementation: each promise becomes a test of its own name, in a module named as the suite.
/// See [`testing::conformance`](crate::testing::conformance).
#[macro_export]
macro_rules! conformance_tests {
    (sessions, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] sessions, $($rest)*); };
    (session_expiry, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] session_expiry, $($rest)*); };
    (session_capacity, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] session_capacity, $($rest)*); };
    (limits, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] limits, $($rest)*); };
    (bypass, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] bypass, $($rest)*); };
    (shared_bypass, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] shared_bypass, $($rest)*); };
    (history, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] history, $($rest)*); };
    (spool, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] spool, $($rest)*); };
    (durable_spool, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] durable_spool, $($rest)*); };
    (llm, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] llm, $($rest)*); };
    (tools, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] tools, $($rest)*); };
    (health, $($rest:tt)*) => { $crate::conformance_tests!(#[tokio::test] health, $($rest)*); };
    ($(#[$attribute:meta])+ sessions, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] sessions, $make, [
        a_created_session_is_found_as_it_was_made
        a_session_that_is_not_there_is_missed_everywhere
        another_callers_session_is_as_if_it_were_not_there
        a_deletion_can_be_asked_for_again_until_it_is_finished
        sessions_are_listed_newest_first
        a_commit_appends_and_the_next_turn_sees_it
        messages_are_remembered_whole
        a_commit_keeps_the_last_messages_for_good
        a_dropped_ticket_stores_nothing_and_the_next_goes_on
        a_turn_waits_for_the_one_before_it
        turns_run_in_the_order_they_came_in
        taking_a_place_waits_for_nobody
        sessions_never_wait_for_each_other
        a_dropped_waiter_leaves_no_trace
        waiting_ends_at_the_deadline
        a_turn_that_was_busy_leaves_no_trace
        waiting_turns_are_bounded
        a_ticket_that_holds_is_not_lost
        deletion_ends_the_running_turn
        deletion_ends_the_waiting_turns
        a_deleted_session_is_gone
        readers_see_a_turn_whole_or_not_at_all
        many_turns_at_once_keep_their_pairs
        open_turn_may_be_dropped_at_every_poll
        waiting_may_be_dropped_at_every_poll
        commit_may_be_dropped_at_every_poll
    ]); };
    ($(#[$attribute:meta])+ session_expiry, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] session_expiry, $make, [
        an_idle_session_goes
        reading_ends_idleness
        a_turn_ends_idleness
        a_session_does_not_go_under_a_running_turn
        another_callers_look_does_not_keep_it
    ]); };
    ($(#[$attribute:meta])+ session_capacity, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] session_capacity, $make, [
        there_are_no_more_sessions_than_may_be
        a_deleted_session_makes_room
    ]); };
    ($(#[$attribute:meta])+ limits, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] limits, $make, [
        it_decides_as_the_table_says
        who_waits_as_told_passes
        a_refused_request_takes_nothing
        identities_are_limited_apart
        two_requests_never_pass_on_one_token
    ]); };
    ($(#[$attribute:meta])+ bypass, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] bypass, $make, [
        an_empty_list_holds_nobody
        what_was_added_is_contained_and_listed
        a_network_contains_its_addresses
        adding_twice_is_adding_once
        a_network_is_taken_out_as_it_was_put_in
        the_list_is_sorted
    ]); };
    ($(#[$attribute:meta])+ shared_bypass, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] shared_bypass, $make, [
        what_one_adds_the_other_sees_within_a_second
        what_one_removes_the_other_misses_within_a_second
        a_newcomer_sees_what_is_there
    ]); };
    ($(#[$attribute:meta])+ history, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] history, $make, [
        it_answers
        what_is_not_archived_is_not_found
        an_opened_session_is_found_and_its_prompt_is_not_shown
        messages_are_read_in_the_order_of_their_times_then_ids
        contents_survive
        a_record_archives_its_session
        an_open_that_comes_late_changes_nothing_but_the_prompt
        every_operation_can_be_applied_twice
        forget_tells_whether_there_was_anything
        forget_is_final
        a_forget_of_what_nobody_knows_leaves_nothing
        forget_takes_one_session_only
        sessions_come_newest_first_then_by_id
        sessions_are_found_by_their_time
        sessions_come_in_pages
        messages_come_in_pages_that_leave_prompts_out
        one_operation_applied_by_two_at_once_counts_once
        a_record_and_a_forget_at_once_leave_nothing
        many_sessions_are_recorded_at_once
        apply_may_be_dropped_at_every_poll
    ]); };
    ($(#[$attribute:meta])+ spool, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] spool, $make, [
        an_empty_spool_holds_nothing
        what_was_appended_is_loaded
        it_is_listed_in_the_order_it_came_in
        what_was_removed_is_gone
        what_was_buried_is_gone
        it_is_bounded_and_what_it_holds_is_not_harmed
        appends_at_once_all_count
        append_may_be_dropped_at_every_poll
    ]); };
    ($(#[$attribute:meta])+ durable_spool, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] durable_spool, $make, [
        it_says_that_it_is_durable
        the_next_process_finds_what_was_appended
        ids_increase_over_processes
        what_was_removed_or_buried_stays_away
        a_damaged_record_is_told_and_harms_no_other
    ]); };
    ($(#[$attribute:meta])+ llm, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] llm, $make, [
        a_whole_answer_is_one_end
        a_streamed_answer_is_text_and_one_end
        tools_are_asked_for_in_order
        it_resolves_when_the_first_part_is_there
        a_failure_before_the_first_part_is_the_futures
        an_answer_that_breaks_off_is_an_error_and_the_end
        an_empty_answer_is_an_error
        it_gives_up_at_the_deadline
        dropping_the_future_stops_the_call
        dropping_the_stream_stops_the_call
        answers_do_not_wait_for_each_other
    ]); };
    ($(#[$attribute:meta])+ tools, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] tools, $make, [
        function_names_are_unique_and_valid
        a_catalogue_never_changes
        a_tool_answers
        a_failing_tool_is_an_outcome
        an_unknown_tool_is_an_outcome
        a_hanging_tool_is_an_outcome_at_the_deadline
        calls_run_in_parallel
        dropping_a_call_cancels_it
        results_are_bounded
        starting_is_waited_for_no_longer_than_the_deadline
    ]); };
    ($(#[$attribute:meta])+ health, $make:expr $(,)?) => { $crate::conformance_tests!(@each [$(#[$attribute])+] health, $make, [
        it_answers_within_two_seconds
        it_tells_what_is_well_from_what_is_not
        it_holds_no_secret
    ]); };
    (@each $attributes:tt $suite:ident, $make:expr, [$($case:ident)*]) => {
        mod $suite {
            use super::*;
            $($crate::conformance_tests!(@one $attributes $suite, $make, $case);)*
        }
    };
    (@one [$(#[$attribute:meta])+] $suite:ident, $make:expr, $case:ident) => {
        $(#[$attribute])+
        async fn $case() {
            $crate::testing::conformance::$suite::$case($make).await;
        }
    };
}

#[cfg(test)]
mod tests;
