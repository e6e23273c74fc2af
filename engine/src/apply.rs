//! Executing a batch: each command that writes against its session, and all against the table.
//!
//! Keys are random, so each command misses the cache once. Done one after the other those misses
//! would be most of the cost; therefore a group of commands is touched first, which lets their
//! misses overlap, and executed after.

use crate::sessions::{Admission, Sessions, Settled};
use crate::store::{Store, TOUCH_KEYS_MAX};
use synod_protocols::command::{Command, Commands, Op, Reply, SessionId, Status};

/// Commands that are touched before they are executed.
const GROUP_COMMANDS: usize = TOUCH_KEYS_MAX;

/// What became of the commands of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Executed now.
    pub fresh: u64,
    /// Answered as they were when they were executed.
    pub repeated: u64,
    /// Not answered: their session has gone on.
    pub stale: u64,
    /// Answered with [`Status::Expired`].
    pub expired: u64,
    /// Executed before the snapshot was taken that the table comes from; not answered.
    pub contained: u64,
}

/// Executes a batch that passed [`synod_protocols::command::validate`].
///
/// Command `i` of the batch has version `version_base + i`; `version_base` is from 1. `on_reply`
/// gets the answers, in order: all of them, of which a replica sends those that its clients wait
/// for.
pub fn apply_batch(
    version_base: u64,
    batch: &[u8],
    store: &mut Store,
    sessions: &mut Sessions,
    mut on_reply: impl FnMut(SessionId, &Reply<'_>),
) -> Tally {
    assert!(version_base > 0);
    let mut tally = Tally::default();
    let mut group = Commands::new(batch);
    let mut version = version_base;
    loop {
        // One command has no other whose miss could overlap with its own.
        if group.clone().nth(1).is_some() {
            touch(group.clone(), store, sessions);
        }
        let version_before = version;
        for command in group.by_ref().take(GROUP_COMMANDS) {
            apply(version, &command, store, sessions, &mut tally, &mut on_reply);
            version += 1;
        }
        if version == version_before {
            return tally;
        }
    }
}

/// Loads what the next group of commands needs.
fn touch(commands: Commands<'_>, store: &Store, sessions: &Sessions) {
    let mut keys = [0; GROUP_COMMANDS];
    let mut ids = [0; GROUP_COMMANDS];
    let (mut count, mut writes) = (0, 0);
    for command in commands.take(GROUP_COMMANDS) {
        keys[count] = command.key;
        count += 1;
        ids[writes] = command.session.0;
        writes += usize::from(command.op != Op::Get);
    }
    store.touch(&keys[..count]);
    sessions.touch(&ids[..writes]);
}

#[inline]
fn apply(
    version: u64,
    command: &Command<'_>,
    store: &mut Store,
    sessions: &mut Sessions,
    tally: &mut Tally,
    on_reply: &mut impl FnMut(SessionId, &Reply<'_>),
) {
    let mut answer = |status, version, value: &[u8]| {
        let (session_index, sequence) = (command.session.index(), command.sequence);
        let reply = Reply { sequence, session_index, status, version, value };
        on_reply(command.session, &reply);
    };
    if command.op == Op::Get {
        // It changes nothing, so it may be executed as often as it comes.
        match store.apply(version, command) {
            Some(outcome) => {
                tally.fresh += 1;
                answer(outcome.status, version, outcome.value);
            }
            None => tally.contained += 1,
        }
        return;
    }
    match sessions.admit(command.session, command.sequence, version) {
        Admission::Fresh(slot) => match store.apply(version, command) {
            Some(outcome) => {
                sessions.settle(slot, outcome.status, outcome.value);
                tally.fresh += 1;
                answer(outcome.status, version, outcome.value);
            }
            None => {
                // The answer is not known any more, but a repeat must find that there was one.
                sessions.settle(slot, Status::Ok, &[]);
                tally.contained += 1;
            }
        },
        Admission::Repeat(Settled { status, version, result, result_bytes }) => {
            tally.repeated += 1;
            answer(status, version, &result.to_le_bytes()[..usize::from(result_bytes)]);
        }
        Admission::Stale => tally.stale += 1,
        Admission::Expired => {
            tally.expired += 1;
            answer(Status::Expired, version, &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreLimits;

    const LIMITS: StoreLimits =
        StoreLimits { keys_expected: 1000, keys_max: 1000, large_bytes_max: 0 };

    fn add(session: u64, sequence: u64) -> Command<'static> {
        let session = SessionId(session);
        let value = &[1, 0, 0, 0, 0, 0, 0, 0];
        Command { session, sequence, key: 1, op: Op::Add, expected: 0, value }
    }

    #[test]
    fn every_command_is_executed_at_most_once_and_repeats_get_the_first_answer() {
        let (mut store, mut sessions) = (Store::new(LIMITS), Sessions::new(100));
        let mut batch = Vec::new();
        for command in [add(1, 1), add(2, 1), add(1, 1), add(1, 2), add(1, 1), add(3, 2)] {
            command.encode(&mut batch);
        }
        let mut replies = Vec::new();
        let tally = apply_batch(10, &batch, &mut store, &mut sessions, |session, reply| {
            replies.push((session.0, reply.status, reply.version, reply.value.first().copied()));
        });
        let expected = [
            (1, Status::Ok, 10, Some(1)),
            (2, Status::Ok, 11, Some(2)),
            (1, Status::Ok, 10, Some(1)),
            (1, Status::Ok, 13, Some(3)),
            (3, Status::Expired, 15, None),
        ];
        assert_eq!(replies, expected);
        assert_eq!(tally, Tally { fresh: 3, repeated: 1, stale: 1, expired: 1, contained: 0 });
    }

    #[test]
    fn a_repeated_get_reads_again() {
        let (mut store, mut sessions) = (Store::new(LIMITS), Sessions::new(100));
        let mut batch = Vec::new();
        let get = Command { op: Op::Get, value: &[], ..add(1, 1) };
        for command in [get, add(2, 1), get] {
            command.encode(&mut batch);
        }
        let mut statuses = Vec::new();
        apply_batch(1, &batch, &mut store, &mut sessions, |_, reply| statuses.push(reply.status));
        assert_eq!(statuses, [Status::Absent, Status::Ok, Status::Ok]);
    }

    #[test]
    fn groups_cover_the_batch_whatever_its_length() {
        for count in [0, 1, GROUP_COMMANDS - 1, GROUP_COMMANDS, GROUP_COMMANDS + 1, 500] {
            let (mut store, mut sessions) = (Store::new(LIMITS), Sessions::new(100));
            let mut batch = Vec::new();
            for sequence in 1..=count {
                add(1, sequence as u64).encode(&mut batch);
            }
            let mut sum = 0;
            apply_batch(1, &batch, &mut store, &mut sessions, |_, reply| {
                sum = synod_protocols::bytes::leading_u64(reply.value);
            });
            assert_eq!(sum, count as u64);
        }
    }
}
