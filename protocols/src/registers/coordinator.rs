//! The lives of a replica, the tags that it makes, and how it gets back what it has lost.
//!
//! A coordinator that restarts must not use a tag twice, so each life of a replica has a number,
//! durable before its first round, that is part of its tags and of its rounds' names. A replica that
//! lost its disk answers nobody until each other one has sent it all registers: whatever it had
//! acknowledged, another one that counted the acknowledgement stores too. As it does not know its
//! lives any more, it draws the number of the next: answers to rounds of an earlier life may still be
//! under way, and would be taken for answers to its own. Its tags are from then on above all that it
//! stores for a key itself.

use super::Record;
use crate::protocol::{Config, Context, Protocol};
use crate::types::{Payload, ReplicaId, Replicas, Tag};

/// Lives are counted below this number, and drawn from here on after a loss.
const FIRST_DRAWN_LIFE: u16 = 1 << 14;

/// How many numbers are drawn from. As many as below the first are left above the last, for the lives
/// that follow.
const DRAWN_LIVES: u64 = 1 << 15;

/// What a replica knows of itself.
#[derive(Debug)]
pub struct Coordinator {
    id: ReplicaId,
    replicas: usize,
    /// The number of this life; durable once `ready`.
    life: u16,
    ready: bool,
    /// The largest timestamp that this replica has put into a tag.
    timestamp: u64,
    /// Who has sent all its registers, while this replica has not got back what it lost.
    lost: Option<Replicas>,
    /// Whether this replica ever got back what it had lost.
    recovered: bool,
}

impl Coordinator {
    /// One that remembers nothing.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            id: config.id,
            replicas: config.replicas,
            life: 0,
            ready: false,
            timestamp: 0,
            lost: config.lost.then_some(Replicas::NONE),
            recovered: false,
        }
    }

    /// An earlier life had this number.
    pub fn lived(&mut self, life: u16) {
        self.life = self.life.max(life);
    }

    /// In an earlier life this replica got back what it had lost.
    pub fn had_recovered(&mut self) {
        self.recovered = true;
    }

    /// Begins a life. Its number is to be told to oneself once it is durable.
    pub fn begin_life<P: Protocol<Record = Record>>(&mut self, cx: &mut impl Context<P>) -> u16 {
        if self.lost.is_some() {
            let drawn = u16::try_from(cx.random() % DRAWN_LIVES).expect("a share of all numbers");
            self.life = FIRST_DRAWN_LIFE + drawn;
        }
        self.life = self.life.checked_add(1).expect("a replica restarts some thousand times");
        cx.append(Record::Life { life: self.life }, Payload::EMPTY);
        self.life
    }

    /// The number of a life is durable.
    pub fn note_durable(&mut self, life: u16) {
        self.ready |= life == self.life;
    }

    /// Whether it may coordinate.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// The number of this life.
    #[must_use]
    pub const fn life(&self) -> u16 {
        self.life
    }

    /// Whether it has not got back what it lost.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// The next replica that has not sent its registers: one at a time, since they are long.
    #[must_use]
    pub fn next_to_ask(&self) -> Option<ReplicaId> {
        let mut others = Replicas::first(self.replicas).without(self.lost?).iter();
        others.find(|&other| other != self.id)
    }

    /// Another replica has sent all its registers. True when this one is whole again by that.
    pub fn take_in<P: Protocol<Record = Record>>(
        &mut self,
        from: ReplicaId,
        cx: &mut impl Context<P>,
    ) -> bool {
        let Some(sent) = &mut self.lost else { return false };
        sent.insert(from);
        if sent.len() + 1 < self.replicas {
            return false;
        }
        self.lost = None;
        self.recovered = true;
        cx.append(Record::Recovered {}, Payload::EMPTY);
        true
    }

    /// A tag above one that a quorum has told.
    pub fn tag_above<P: Protocol>(&mut self, newest: Tag, key: u64, cx: &impl Context<P>) -> Tag {
        let above = newest.timestamp().max(self.floor(key, cx));
        self.timestamp = self.timestamp.max(above) + 1;
        self.tag(self.timestamp)
    }

    /// A timestamp that tags of earlier lives may have had: of those that this replica does not
    /// know any more, none has a larger one.
    pub fn floor<P: Protocol>(&self, key: u64, cx: &impl Context<P>) -> u64 {
        if self.recovered { cx.register(key).tag.timestamp() } else { 0 }
    }

    /// A tag of this life.
    #[inline]
    #[must_use]
    pub fn tag(&self, timestamp: u64) -> Tag {
        Tag::new(timestamp, self.life, self.id)
    }

    /// Appends again what an earlier record says.
    pub fn checkpoint<P: Protocol<Record = Record>>(&self, cx: &mut impl Context<P>) {
        cx.append(Record::Life { life: self.life }, Payload::EMPTY);
        if self.recovered {
            cx.append(Record::Recovered {}, Payload::EMPTY);
        }
    }
}
