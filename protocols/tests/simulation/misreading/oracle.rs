//! Whom the oracle of Zab names. The paper asks nothing of it but that it names the same replica to all
//! at last, and the protocol's own most often names who has the best history, which hides much.

use synod_protocols::protocol::Config;
use synod_protocols::types::{Reign, Slot};
use synod_protocols::wire::Wire;
use synod_protocols::zab::Message;

use super::Mail;

/// Names another replica in each round, whatever it has: its vote looks the best.
pub(super) fn misled(mail: Mail, config: &Config) -> Mail {
    let message = Message::decode(&mail.message).expect("what was encoded");
    let Message::Notification { round, leader, looking, .. } = message else { return mail };
    let rank = (round + u64::from(leader.0)) % config.voters() as u64;
    let (epoch, zxid) = (Reign((1 << 40) + rank), Slot(0));
    mail.saying(&Message::Notification { round, leader, epoch, zxid, looking })
}
