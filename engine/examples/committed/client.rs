//! The client: sends a batch of puts when one was answered.

use synod::frame::{self, Assembler, Kind, Next};
use synod::greeting::{Dialling, Hello, Key, Nonces, Speaker};
use synod::io::{Event, Io, LinkId};
use synod_protocols::command::{Command, Op, Replies, SessionId, Status, validate_replies};

use crate::network::{CLUSTER, MemoryIo, address_of, key};

/// Keys that are written.
pub(crate) const KEYS: usize = 10_000;

/// A batch of sessions, each with one command outstanding or none.
#[derive(Clone, Copy)]
struct Batch {
    sequence: u64,
    unanswered: u32,
}

/// One connection to replica 0, with the sessions of all batches that may be under way.
pub(crate) struct Client {
    io: MemoryIo,
    link: LinkId,
    /// Until the replica has answered.
    greeting: Option<Dialling>,
    assembler: Assembler,
    outbox: Vec<u8>,
    commands: u32,
    batches: Vec<Batch>,
    sent: u64,
    answered: u64,
}

impl Client {
    pub(crate) fn new(mut io: MemoryIo, commands: u32, batches: u32) -> Self {
        let link = io.connect(&address_of(0));
        let mut outbox = Vec::new();
        let hello = Hello { cluster: CLUSTER, group: 0, to: 0, speaker: Speaker::Client(1) };
        let mut nonces = Nonces::new(Key::of_seed(9));
        let greeting = Dialling::begin(hello, key().for_clients(), &mut nonces, &mut outbox);
        let greeting = Some(greeting);
        let batches = vec![Batch { sequence: 0, unanswered: 0 }; batches as usize];
        let assembler = Assembler::default();
        Self { io, link, greeting, assembler, outbox, commands, batches, sent: 0, answered: 0 }
    }

    /// Commands that were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Takes in answers and sends the batches that may go, `commands_max` commands in all.
    pub(crate) fn turn(&mut self, commands_max: u64) {
        let (assembler, batches, answered) =
            (&mut self.assembler, &mut self.batches, &mut self.answered);
        let (greeting, outbox) = (&mut self.greeting, &mut self.outbox);
        let commands = self.commands;
        self.io.poll(self.io.now(), |event| {
            let Event::Received(_, bytes) = event else { return };
            let fed = assembler.feed(bytes, u32::MAX, |frame| {
                if let Some(begun) = greeting.take() {
                    assert!(begun.answer(frame.payload, outbox), "replica 0 answers");
                    return Next::Frames(u32::MAX);
                }
                validate_replies(frame.payload).expect("replicas send sound replies");
                for reply in Replies::new(frame.payload) {
                    assert_eq!(reply.status, Status::Ok);
                    let batch = &mut batches[(reply.session_index / commands) as usize];
                    assert_eq!(reply.sequence, batch.sequence);
                    batch.unanswered -= 1;
                    *answered += 1;
                }
                Next::Frames(u32::MAX)
            });
            fed.expect("replicas send sound frames");
        });
        for number in 0..self.batches.len() {
            let greeted = self.greeting.is_none();
            if greeted && self.batches[number].unanswered == 0 && self.sent < commands_max {
                self.push_batch(number);
            }
        }
        self.io.send(self.link, &mut self.outbox);
    }

    fn push_batch(&mut self, number: usize) {
        let batch = &mut self.batches[number];
        batch.sequence += 1;
        batch.unanswered = self.commands;
        let first = u32::try_from(number).expect("few batches") * self.commands;
        let at = frame::start(&mut self.outbox, Kind::Requests, &[]);
        for index in first..first + self.commands {
            // Keys that are far apart, each as often as the others.
            let key = self.sent.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let command = Command {
                session: SessionId::new(1, index),
                sequence: batch.sequence,
                key: key % KEYS as u64,
                op: Op::Put,
                expected: 0,
                value: &[7; 16],
            };
            command.encode(&mut self.outbox);
            self.sent += 1;
        }
        frame::finish(&mut self.outbox, at, self.commands);
    }
}
