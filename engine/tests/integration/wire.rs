//! What a replica does with bytes that no replica and no client of its run would send: the
//! connection is closed and counted, and nobody else notices.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod world;

use synod::frame::{self, HEADER_BYTES, Kind};
use synod::greeting::{Hello, Key, Speaker};
use synod::node::Rejected;
use synod_protocols::command::{Command, Op, SessionId};
use synod_protocols::multi_paxos::Message;
use synod_protocols::types::{Ballot, Slot};
use synod_protocols::wire::{WIRE_BYTES_MAX, Wire};
use world::{CLIENTS_MAX, FRAME_BYTES_MAX, HELLO, KEY, SECOND_NS, World, hello_frame, none};

const CLIENT: Speaker = Speaker::Client(5);
const REPLICA: Speaker = Speaker::Replica(0);

/// More than a turn may take for anything that a connection sends, whatever lengths it claims.
const BYTES_MAX: u64 = 1 << 20;

type Count = fn(&mut Rejected) -> &mut u64;

/// What is wrong, who sends it, the bytes, and what it is counted as.
type Row = (&'static str, Option<Speaker>, Vec<u8>, Count);

fn framed(kind: Kind, message: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::push(&mut out, kind, message, payload, 1);
    out
}

/// A frame with some of its bytes changed, and the checksum right for them.
fn changed(mut bytes: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    change(&mut bytes);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..4]), &bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn hello(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    changed(hello_frame(HELLO), |bytes| change(&mut bytes[HEADER_BYTES..]))
}

fn command(client: u32) -> Vec<u8> {
    let (session, value) = (SessionId::new(client, 1), [7; 16]);
    let mut out = Vec::new();
    Command { session, sequence: 1, key: 3, op: Op::Put, expected: 0, value: &value }
        .encode(&mut out);
    out
}

fn message(message: &Message) -> Vec<u8> {
    let mut buffer = [0; WIRE_BYTES_MAX];
    let length = message.encode(&mut buffer);
    framed(Kind::Message, &buffer[..length], &[])
}

fn length(bytes: u32) -> Vec<u8> {
    let mut frame = hello_frame(HELLO);
    frame[..4].copy_from_slice(&bytes.to_le_bytes());
    frame
}

fn rows_of_strangers() -> Vec<Row> {
    let of = |hello: Hello| hello_frame(hello);
    let flipped = |at: usize| {
        let mut bytes = hello_frame(HELLO);
        bytes[at] ^= 1;
        bytes
    };
    let twice = [hello_frame(HELLO), hello_frame(HELLO)].concat();
    let larger = {
        let mut payload = hello_frame(HELLO)[HEADER_BYTES..].to_vec();
        payload.push(0);
        framed(Kind::Hello, &[], &payload)
    };
    vec![
        ("another magic", None, hello(|body| body[0] ^= 1), |by| &mut by.hello),
        ("another version", None, hello(|body| body[7] ^= 3), |by| &mut by.hello),
        ("another cluster", None, of(Hello { cluster: 8, ..HELLO }), |by| &mut by.hello),
        ("another group", None, of(Hello { group: 1, ..HELLO }), |by| &mut by.hello),
        ("another replica", None, of(Hello { to: 2, ..HELLO }), |by| &mut by.hello),
        (
            "a replica that is to be dialled",
            None,
            of(Hello { speaker: Speaker::Replica(2), ..HELLO }),
            |by| &mut by.hello,
        ),
        ("itself", None, of(Hello { speaker: Speaker::Replica(1), ..HELLO }), |by| &mut by.hello),
        (
            "a client too many",
            None,
            of(Hello { speaker: Speaker::Client(CLIENTS_MAX), ..HELLO }),
            |by| &mut by.hello,
        ),
        ("no such role", None, hello(|body| body[19] = 2), |by| &mut by.hello),
        ("a replica id of two bytes", None, hello(|body| body[21] = 1), |by| &mut by.hello),
        ("bytes behind the hello", None, larger, |by| &mut by.hello),
        ("an empty hello", None, framed(Kind::Hello, &[], &[]), |by| &mut by.hello),
        ("a second hello", None, twice, |by| &mut by.kind),
        ("length 0", None, length(0), |by| &mut by.frame),
        ("length below a header", None, length(15), |by| &mut by.frame),
        ("length above the limit", None, length(1025), |by| &mut by.frame),
        ("the largest length", None, length(u32::MAX), |by| &mut by.frame),
        ("a flipped bit in the header", None, flipped(12), |by| &mut by.frame),
        ("a flipped bit in the body", None, flipped(40), |by| &mut by.frame),
        ("no such kind", None, changed(hello_frame(HELLO), |bytes| bytes[8] = 0), |by| {
            &mut by.frame
        }),
        ("another such kind", None, changed(hello_frame(HELLO), |bytes| bytes[8] = 10), |by| {
            &mut by.frame
        }),
        (
            "a message longer than its frame",
            None,
            changed(hello_frame(HELLO), |bytes| bytes[9] = 255),
            |by| &mut by.frame,
        ),
        ("requests first", None, framed(Kind::Requests, &[], &command(5)), |by| &mut by.kind),
        ("a sample first", None, framed(Kind::Sampled, &[], &command(5)), |by| &mut by.kind),
        ("a message first", None, framed(Kind::Message, &[1], &[]), |by| &mut by.kind),
        ("a challenge", None, framed(Kind::Challenge, &[], &[0; 64]), |by| &mut by.kind),
        ("a proof", None, framed(Kind::Proof, &[], &[0; 32]), |by| &mut by.kind),
    ]
}

fn rows_of_clients() -> Vec<Row> {
    let requests = |change: fn(&mut Vec<u8>)| {
        let mut body = command(5);
        change(&mut body);
        framed(Kind::Requests, &[], &body)
    };
    let mut long = vec![0; HEADER_BYTES];
    long[..4].copy_from_slice(&(FRAME_BYTES_MAX + 1).to_le_bytes());
    vec![
        ("length above the limit", Some(CLIENT), long, |by| &mut by.frame),
        ("a message", Some(CLIENT), framed(Kind::Message, &[1], &[]), |by| &mut by.kind),
        ("replies", Some(CLIENT), framed(Kind::Replies, &[], &[]), |by| &mut by.kind),
        ("spans", Some(CLIENT), framed(Kind::Spans, &[0; 64], &[]), |by| &mut by.kind),
        ("a cut sample", Some(CLIENT), framed(Kind::Sampled, &[], &command(5)[..8]), |by| {
            &mut by.commands
        }),
        ("a snapshot", Some(CLIENT), framed(Kind::Snapshot, &[0; 8], &[]), |by| &mut by.kind),
        ("a hello", Some(CLIENT), hello_frame(HELLO), |by| &mut by.kind),
        ("a cut command", Some(CLIENT), requests(|body| body.truncate(40)), |by| &mut by.commands),
        ("a byte behind", Some(CLIENT), requests(|body| body.push(0)), |by| &mut by.commands),
        ("no such operation", Some(CLIENT), requests(|body| body[24] = 99), |by| &mut by.commands),
        ("sequence 0", Some(CLIENT), requests(|body| body[8..16].fill(0)), |by| &mut by.commands),
        ("the largest sequence", Some(CLIENT), requests(|body| body[8..16].fill(255)), |by| {
            &mut by.commands
        }),
        ("a value longer than all", Some(CLIENT), requests(|body| body[28..32].fill(255)), |by| {
            &mut by.commands
        }),
        (
            "a session of another client",
            Some(CLIENT),
            framed(Kind::Requests, &[], &command(6)),
            |by| &mut by.session,
        ),
    ]
}

fn rows_of_replicas() -> Vec<Row> {
    let heartbeat = |ballot, chosen| message(&Message::Heartbeat { ballot, chosen, sent: 0 });
    let ballot = Ballot(1 << 8);
    vec![
        ("requests", Some(REPLICA), framed(Kind::Requests, &[], &command(5)), |by| &mut by.kind),
        ("a sample", Some(REPLICA), framed(Kind::Sampled, &[], &command(5)), |by| &mut by.kind),
        ("replies", Some(REPLICA), framed(Kind::Replies, &[], &[]), |by| &mut by.kind),
        ("no such message", Some(REPLICA), framed(Kind::Message, &[99], &[]), |by| &mut by.message),
        ("no message", Some(REPLICA), framed(Kind::Message, &[], &[]), |by| &mut by.message),
        ("a cut message", Some(REPLICA), framed(Kind::Message, &[6; 9], &[]), |by| &mut by.message),
        ("a message too long", Some(REPLICA), framed(Kind::Message, &[6; 30], &[]), |by| {
            &mut by.message
        }),
        ("a snapshot without a slot", Some(REPLICA), framed(Kind::Snapshot, &[0; 7], &[]), |by| {
            &mut by.message
        }),
        ("the last slot", Some(REPLICA), heartbeat(ballot, Slot(u64::MAX)), |by| &mut by.message),
        ("the last ballot", Some(REPLICA), heartbeat(Ballot(u64::MAX), Slot(0)), |by| {
            &mut by.message
        }),
        ("a ballot of nobody", Some(REPLICA), heartbeat(Ballot(1 << 8 | 99), Slot(0)), |by| {
            &mut by.message
        }),
        ("a snapshot of all slots", Some(REPLICA), framed(Kind::Snapshot, &[255; 8], &[]), |by| {
            &mut by.message
        }),
    ]
}

#[test]
fn what_breaks_a_rule_is_closed_and_counted_and_nobody_else_notices() {
    let mut world = World::new();
    let friend = world.greeted(Speaker::Client(1));
    let mut expected = none();
    let rows = [rows_of_strangers(), rows_of_clients(), rows_of_replicas()].concat();
    assert!(rows.len() > 44);
    for (name, speaker, bytes, count) in rows {
        // At once, and byte by byte.
        for piece_bytes in [bytes.len(), 1] {
            let link = match speaker {
                None => world.accept(),
                Some(speaker) => world.greeted(speaker),
            };
            let memory = allocation_counter::measure(|| {
                for piece in bytes.chunks(piece_bytes) {
                    world.give(link, piece);
                }
            });
            assert!(memory.bytes_max < BYTES_MAX, "{name}: {} bytes", memory.bytes_max);
            *count(&mut expected) += 1;
            assert!(world.is_closed(link), "{name} is not closed");
            assert_eq!(world.rejected(), expected, "{name} is counted as something else");
            assert!(world.serves(friend), "after {name} others are not served");
        }
    }
}

#[test]
fn whoever_has_another_key_stays_outside() {
    let mut world = World::new();
    let friend = world.greeted(Speaker::Client(1));
    for (number, key, speaker) in [
        (1, Key::of_seed(2), REPLICA),
        (2, KEY().for_clients(), REPLICA),
        (3, Key::of_seed(2).for_clients(), CLIENT),
        (4, KEY(), CLIENT),
    ] {
        let link = world.accept();
        assert!(!world.greet(link, speaker, key), "the challenge proves another key");
        world.give(link, &framed(Kind::Proof, &[], &[number; 32]));
        assert!(world.is_closed(link));
        assert_eq!(world.rejected().proof, u64::from(number));
        assert!(world.serves(friend));
    }
}

#[test]
fn what_was_recorded_of_a_greeting_opens_nothing() {
    let mut world = World::new();
    let friend = world.greeted(Speaker::Client(1));
    let first = world.accept();
    let recorded = world.record_greeting(first, CLIENT);
    assert!(world.serves_as(first, 5));
    let second = world.accept();
    for frame in &recorded {
        world.give(second, frame);
    }
    assert!(world.is_closed(second));
    assert_eq!(world.rejected().proof, 1);
    assert!(!world.is_closed(first), "the speaker that was imitated is still there");
    assert!(world.serves_as(first, 5) && world.serves(friend));
}

#[test]
fn silence_and_dripping_end_after_two_seconds_and_friends_stay() {
    let mut world = World::new();
    let friend = world.greeted(Speaker::Client(1));
    let (silent, dripping) = (world.accept(), world.accept());
    world.turn();
    assert!(world.node_deadline() <= world.now() + 2 * SECOND_NS, "the node wakes up for them");
    let bytes = hello_frame(HELLO);
    for (number, piece) in bytes.chunks(1).take(30).enumerate() {
        assert_eq!(world.is_closed(dripping), number as u64 * 100 >= 2_000, "byte {number}");
        world.give(dripping, piece);
        world.pass(SECOND_NS / 10);
    }
    assert!(world.is_closed(silent) && world.is_closed(dripping));
    assert_eq!(world.rejected().silence, 2);
    world.pass(60 * SECOND_NS);
    assert!(world.serves(friend));
    // A long pause before somebody connects is nobody's silence.
    let late = world.greeted(CLIENT);
    assert!(world.serves_as(late, 5));
}

#[test]
fn of_too_many_strangers_the_oldest_goes() {
    let mut world = World::new();
    let friend = world.greeted(Speaker::Client(1));
    let strangers: Vec<_> = (0..100).map(|_| world.accept()).collect();
    world.turn();
    let closed = strangers.iter().filter(|&&link| world.is_closed(link)).count();
    assert_eq!(closed, 36, "64 may wait");
    assert!(strangers[..36].iter().all(|&link| world.is_closed(link)));
    assert_eq!(world.rejected().crowd, 36);
    assert!(world.serves(friend));
}

#[test]
fn greetings_and_requests_survive_every_cut_and_being_glued() {
    let mut world = World::new();
    let link = world.accept();
    let greeting = world.record_greeting(link, CLIENT);
    let hello_bytes = greeting[0].len();
    for cut in 1..hello_bytes {
        let link = world.accept();
        world.give(link, &greeting[0][..cut]);
        assert!(world.sent(link).is_empty(), "half a hello has no answer");
        world.give(link, &greeting[0][cut..]);
        assert!(!world.sent(link).is_empty(), "cut at {cut}");
    }
    let requests = framed(Kind::Requests, &[], &command(5));
    for cut in 0..32 + HEADER_BYTES + requests.len() {
        let link = world.accept();
        // The proof and the first requests come in one piece, or cut anywhere.
        let proof = world.proof(link, CLIENT);
        let glued = [proof, requests.clone()].concat();
        world.give(link, &glued[..cut]);
        world.give(link, &glued[cut..]);
        assert!(!world.is_closed(link) && !world.sent(link).is_empty(), "cut at {cut}");
    }
    assert_eq!(world.rejected().total(), world.rejected().silence + world.rejected().crowd);
}

#[test]
fn a_connection_that_ends_in_a_frame_leaves_nothing() {
    let mut world = World::new();
    let friend = world.greeted(Speaker::Client(1));
    for bytes in [0, 3, 20, 70] {
        let link = world.accept();
        world.give(link, &hello_frame(HELLO)[..bytes]);
        world.end(link);
        let link = world.greeted(CLIENT);
        world.give(link, &framed(Kind::Requests, &[], &command(5))[..bytes.min(40)]);
        world.end(link);
        assert!(world.serves(friend));
    }
    assert_eq!(world.rejected(), none());
    world.pass(10 * SECOND_NS);
    assert_eq!(world.rejected(), none(), "who is gone is not silent");
}
