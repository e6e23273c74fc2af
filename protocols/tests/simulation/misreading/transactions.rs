//! What broken coordinators and resource managers make of their messages.

use synod_protocols::command::Commands;
use synod_protocols::two_phase_commit::Message;
use synod_protocols::wire::Wire;

use super::Mail;
use crate::arena::Bytes;
use crate::mutation::Mutation;

/// Where an answer has its vote, and how many bytes it has before its value.
const VOTE: usize = 4;
const HEADER_BYTES: usize = 16;

pub(super) fn misread(mutation: Mutation, mail: Mail) -> Vec<Mail> {
    let message = Message::decode(&mail.message).expect("what was encoded");
    match (mutation, message) {
        (Mutation::CommitsAlone, Message::Prepare { round }) => {
            let places = (0..Commands::new(&mail.payload.shared).count() as u64)
                .flat_map(u64::to_le_bytes)
                .collect();
            let payload = Bytes { shared: places, commands: 0 };
            let commit = Mail { payload, ..mail.clone() };
            vec![mail, commit.saying(&Message::Commit { round })]
        }
        (Mutation::AbortsAlone, Message::Prepare { round }) => {
            let abort = Mail { payload: Bytes::default(), ..mail.clone() };
            vec![mail, abort.saying(&Message::Abort { round })]
        }
        (Mutation::AbortsSome, Message::Commit { round }) => {
            let places = mail.payload.shared.chunks(8).skip(1).flatten().copied().collect();
            let payload = Bytes { shared: places, commands: 0 };
            vec![Mail { payload, ..mail }.saying(&Message::Commit { round })]
        }
        (Mutation::TakesNoForYes, Message::Prepared { .. }) => {
            let shared = all_yes(mail.payload.shared.to_vec()).into();
            vec![Mail { payload: Bytes { shared, commands: 0 }, ..mail }]
        }
        _ => vec![mail],
    }
}

/// Votes without a no.
fn all_yes(mut votes: Vec<u8>) -> Vec<u8> {
    let word = |bytes: &[u8]| usize::from(bytes[0]) | usize::from(bytes[1]) << 8;
    let mut at = 8 + 8 * word(&votes);
    while at < votes.len() {
        votes[at + VOTE] = 0;
        at += HEADER_BYTES + word(&votes[at..]).next_multiple_of(8);
    }
    votes
}
