//! Operations whose way through this replica is looked at.
//!
//! Clients say which ([`Kind::Sampled`](crate::frame::Kind::Sampled)). The node stamps them as their batch
//! goes from hand to hand, without the protocol's knowledge, and tells the client with the answer how long
//! each stage took ([`Spans`]). Where nobody asks this costs a look at an empty list, turn by turn and
//! batch by batch.

use std::collections::VecDeque;

use synod_protocols::bytes::u64_at;
use synod_protocols::command::SessionId;
use synod_protocols::types::{Payload, Time};

use crate::spans::{STAGES, Spans};
use crate::wal::Lsn;

/// Operations that are looked at at a time. Beyond that the oldest is forgotten: as a rule it will
/// never be answered, because others lead.
const SAMPLES_MAX: usize = 1024;

/// Bytes that tell a command from all others: session and sequence, with which it begins.
const HEAD_BYTES: usize = 16;

/// An operation that is looked at, and when it was where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    head: [u8; HEAD_BYTES],
    /// Where its command lies.
    block: u32,
    offset: u32,
    /// When a turn found it.
    received: Time,
    /// When the protocol got its batch.
    batched: Option<Time>,
    /// When the turn of that was over.
    handed: Option<Time>,
    /// The end of the log when the protocol got the batch, and then of what it appended for it, if it
    /// did.
    log_before: Option<Lsn>,
    log_until: Option<Lsn>,
    /// When that was durable.
    durable: Option<Time>,
    /// When it was agreed on, or answered where nothing is.
    pub(super) agreed: Option<Time>,
    /// When all of its batch was applied and answered.
    pub(super) applied: Option<Time>,
}

impl Sample {
    fn session(&self) -> SessionId {
        SessionId(u64_at(&self.head, 0))
    }

    fn sequence(&self) -> u64 {
        u64_at(&self.head, 8)
    }

    /// The client that waits for it.
    pub(super) fn client(&self) -> u32 {
        self.session().client()
    }

    /// Whether its command is one of a batch with these bytes. The place alone does not say so: the
    /// memory of what was never answered is used again.
    fn is_in(&self, batch: Payload, bytes: &[u8]) -> bool {
        let place = self.offset.wrapping_sub(batch.offset);
        self.block == batch.block && place < batch.bytes && {
            let head = bytes[place as usize..].first_chunk();
            head == Some(&self.head)
        }
    }

    /// The protocol gets its batch while the log ends there.
    pub(super) fn begin_step(&mut self, log_end: Option<Lsn>, now: Time) {
        (self.batched, self.log_before) = (Some(now), log_end);
    }

    /// The protocol has got its batch.
    pub(super) fn end_step(&mut self, log_end: Option<Lsn>) {
        self.log_until = log_end.filter(|_| log_end > self.log_before);
    }

    /// What its client is told, if its answer is ready at `replied`. Stages that were still under way
    /// when it was agreed on were over then.
    pub(super) fn spans(&self, replied: Time) -> Spans {
        let agreed = self.agreed.unwrap_or(replied);
        let batched = self.batched.unwrap_or(agreed);
        let handed = self.handed.unwrap_or(agreed).min(agreed);
        let durable = match self.log_until {
            None => handed,
            Some(_) => self.durable.unwrap_or(agreed).min(agreed),
        };
        let ends = [batched, handed, durable, agreed, self.applied.unwrap_or(replied), replied];
        let (mut stages_ns, mut from) = ([0; STAGES], self.received);
        for (stage, until) in stages_ns.iter_mut().zip(ends) {
            *stage = until.since(from);
            from = from.max(until);
        }
        Spans { session_index: self.session().index(), sequence: self.sequence(), stages_ns }
    }
}

/// All of them that were not answered yet, oldest first.
#[derive(Debug)]
pub(super) struct Samples(VecDeque<Sample>);

impl Samples {
    pub(super) fn new() -> Self {
        Self(VecDeque::with_capacity(SAMPLES_MAX))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A turn at `now` found the first command of `requests`, which is to be looked at.
    pub(super) fn begin(&mut self, requests: Payload, bytes: &[u8], now: Time) {
        let Some(&head) = bytes.first_chunk() else { return };
        if self.0.len() == SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Sample {
            head,
            block: requests.block,
            offset: requests.offset,
            received: now,
            batched: None,
            handed: None,
            log_before: None,
            log_until: None,
            durable: None,
            agreed: None,
            applied: None,
        });
    }

    /// Those in a batch with these bytes.
    pub(super) fn of<'a>(
        &'a mut self,
        batch: Payload,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = &'a mut Sample> {
        self.0.iter_mut().filter(move |sample| sample.is_in(batch, bytes))
    }

    /// The one that is this request.
    pub(super) fn request(&mut self, session: SessionId, sequence: u64) -> Option<&mut Sample> {
        self.0.iter_mut().find(|it| it.session() == session && it.sequence() == sequence)
    }

    /// What was stamped for this batch goes another way from here.
    pub(super) fn forget(&mut self, batch: Payload, bytes: &[u8]) {
        self.0.retain(|sample| !sample.is_in(batch, bytes));
    }

    /// Everything below `durable` is durable, since `now`.
    pub(super) fn note_durable(&mut self, durable: Lsn, now: Time) {
        let is_due = |it: &&mut Sample| it.log_until.is_some_and(|until| until <= durable);
        for sample in self.0.iter_mut().filter(is_due) {
            sample.durable.get_or_insert(now);
        }
    }

    /// The turn is over in which the protocol got some of them; it is asked when that is if there are any.
    pub(super) fn note_handed(&mut self, now: impl FnOnce() -> Time) {
        let is_fresh = |it: &&mut Sample| it.batched.is_some() && it.handed.is_none();
        let mut fresh = self.0.iter_mut().filter(is_fresh).peekable();
        if fresh.peek().is_some() {
            let now = now();
            fresh.for_each(|sample| sample.handed = Some(now));
        }
    }

    /// One that was answered; it is not looked at any more.
    pub(super) fn next_answered(&mut self) -> Option<Sample> {
        let index = self.0.iter().position(|sample| sample.applied.is_some())?;
        self.0.remove(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_protocols::command::{Command, Op};

    fn command(sequence: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let session = SessionId::new(3, 8);
        Command { session, sequence, key: 1, op: Op::Get, expected: 0, value: &[] }
            .encode(&mut bytes);
        bytes
    }

    fn at(offset: u32) -> Payload {
        Payload { block: 2, offset, bytes: 32, commands: 1 }
    }

    /// A sample that was received at 100.
    fn begun() -> Samples {
        let mut samples = Samples::new();
        samples.begin(at(64), &command(5), Time(100));
        samples
    }

    fn stages(sample: &Sample, replied: u64) -> [u64; STAGES] {
        let spans = sample.spans(Time(replied));
        assert_eq!((spans.session_index, spans.sequence, sample.client()), (8, 5, 3));
        assert_eq!(spans.stages_ns.iter().sum::<u64>(), replied - 100, "{spans:?}");
        spans.stages_ns
    }

    #[test]
    fn stages_follow_on_each_other() {
        let mut samples = begun();
        // Others lie before and behind it in the batch.
        let bytes = [command(4), command(5), command(6)].concat();
        let batch = Payload { bytes: 96, commands: 3, ..at(32) };
        let in_batch = |samples: &mut Samples, stamp: &dyn Fn(&mut Sample)| {
            samples.of(batch, &bytes).for_each(stamp);
        };
        in_batch(&mut samples, &|it| it.begin_step(Some(Lsn(10)), Time(110)));
        in_batch(&mut samples, &|it| it.end_step(Some(Lsn(20))));
        samples.note_handed(|| Time(130));
        samples.note_handed(|| panic!("no other turn is that of a batch"));
        samples.note_durable(Lsn(19), Time(150));
        samples.note_durable(Lsn(20), Time(160));
        samples.note_durable(Lsn(30), Time(170));
        in_batch(&mut samples, &|it| it.agreed = Some(Time(200)));
        assert!(samples.next_answered().is_none());
        in_batch(&mut samples, &|it| it.applied = Some(Time(250)));
        let sample = samples.next_answered().unwrap();
        assert_eq!(stages(&sample, 310), [10, 20, 30, 40, 50, 60]);
        assert!(samples.is_empty());
    }

    #[test]
    fn an_agreement_ends_what_is_under_way() {
        let sample = |log_until, handed, durable| Sample {
            batched: Some(Time(110)),
            handed,
            log_until,
            durable,
            agreed: Some(Time(200)),
            applied: Some(Time(250)),
            ..begun().0[0]
        };
        let (log, handed) = (Some(Lsn(20)), Some(Time(130)));
        assert_eq!(stages(&sample(log, handed, None), 310), [10, 20, 70, 0, 50, 60]);
        assert_eq!(stages(&sample(None, handed, None), 310), [10, 20, 0, 70, 50, 60], "no log");
        assert_eq!(stages(&sample(log, None, None), 310), [10, 90, 0, 0, 50, 60], "in one turn");
        let late = Some(Time(220));
        assert_eq!(stages(&sample(log, late, late), 310), [10, 90, 0, 0, 50, 60]);
    }

    #[test]
    fn nothing_is_awaited_from_a_step_that_appends_nothing() {
        let mut sample = begun().0[0];
        sample.begin_step(Some(Lsn(10)), Time(110));
        sample.end_step(Some(Lsn(10)));
        assert_eq!(sample.log_until, None);
        sample.begin_step(None, Time(110));
        sample.end_step(None);
        assert_eq!(sample.log_until, None);
    }

    #[test]
    fn what_lies_there_now_is_not_taken_for_what_lay_there() {
        let mut samples = begun();
        assert_eq!(samples.of(at(64), &command(5)).count(), 1);
        assert_eq!(samples.of(at(64), &command(6)).count(), 0, "the memory was used again");
        assert_eq!(samples.of(at(96), &command(5)).count(), 0, "it was sent again");
        assert_eq!(samples.of(Payload { block: 3, ..at(64) }, &command(5)).count(), 0);
        assert_eq!(samples.of(Payload { bytes: 8, ..at(64) }, &[5; 8]).count(), 0);
        samples.forget(at(64), &command(6));
        assert!(samples.request(SessionId::new(3, 8), 5).is_some());
        assert!(samples.request(SessionId::new(3, 9), 5).is_none());
        samples.forget(at(64), &command(5));
        assert!(samples.is_empty());
    }

    #[test]
    fn the_oldest_goes_when_they_are_too_many() {
        let mut samples = Samples::new();
        for sequence in 1..=SAMPLES_MAX as u64 + 1 {
            samples.begin(at(64), &command(sequence), Time(sequence));
        }
        assert_eq!((samples.0.len(), samples.0[0].sequence()), (SAMPLES_MAX, 2));
    }
}
