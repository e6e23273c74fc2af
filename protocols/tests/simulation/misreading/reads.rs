//! What replicas may get wrong about gets that do not go through the log.

use synod_protocols::command::{Commands, Op};
use synod_protocols::protocol::Protocol;
use synod_protocols::raft::Message;
use synod_protocols::reads::Lease;
use synod_protocols::types::{Reign as Term, Replicas, Slot, Tag, Time};
use synod_protocols::wire::Wire;

use super::Mail;
use crate::arena::Bytes;
use crate::misreading_raft::current_term;
use crate::mutation::Mutation;
use crate::replica::{Answer, Output, Packet, Replica, encoded};

/// A get that a broken leader answers when a majority has said that it leads.
#[derive(Debug)]
pub(crate) struct AskedFor {
    get: Vec<u8>,
    /// When the others were asked, on the clock of the leader.
    at: u64,
    heard: Replicas,
}

/// The lease of a broken leader, which nothing ends but time.
#[derive(Debug)]
pub(crate) struct KeptLease {
    term: Term,
    lease: Lease,
}

impl KeptLease {
    /// None yet, of a replica with these parameters of `P`.
    pub(crate) fn new<P: Protocol>(parameters: &[u64]) -> Self {
        let place = |name| P::PARAMETERS.iter().position(|parameter| parameter.name == name);
        let value = |name| place(name).map_or(0, |place| parameters[place]);
        let lease = Lease::new(value("election_timeout"), value("clock_drift"));
        Self { term: Term::ZERO, lease }
    }
}

impl<P: Protocol> Replica<P> {
    /// Whether a broken replica sees to a command by itself, which is a get then. Raft's leaders are broken
    /// in one way each: with a round of heartbeats and no entry of their term, or the other way round.
    pub(crate) fn serves_by_itself(
        &mut self,
        command: &[u8],
        now: u64,
        output: &mut Output,
    ) -> bool {
        let is_get = Commands::new(command).next().is_some_and(|command| command.op == Op::Get);
        let is_observer = self.config.id.index() >= self.config.replicas - self.config.observers;
        let serves = match self.mutation {
            Some(Mutation::ReadsLocally) => true,
            Some(Mutation::ObserversServeAtOnce) => is_observer,
            Some(Mutation::ServesUnheard) => self.leads() && self.has_committed_in_its_term(),
            Some(Mutation::KeepsItsLease) => {
                let now = Time(self.clock(now));
                let has_lease = self.life.as_ref().is_some_and(|life| life.kept.lease.holds(now));
                self.leads() && self.has_committed_in_its_term() && has_lease
            }
            Some(Mutation::ServesBeforeItsTerm) if is_get && self.leads() => {
                let asks = !self.has_committed_in_its_term();
                if asks {
                    self.ask_for(command, now, output);
                }
                return asks;
            }
            Some(_) | None => false,
        };
        if serves && is_get {
            self.serve_at_once(command, output);
        }
        serves && is_get
    }

    fn serve_at_once(&self, get: &[u8], output: &mut Output) {
        let (Some(life), Some(get)) = (&self.life, Commands::new(get).next()) else { return };
        let outcome = life.store.read(get.key, P::SERVICE);
        let (session, sequence) = (get.session, get.sequence);
        output.answers.push(Answer { session, sequence, outcome, tag: Tag::ZERO });
    }

    /// Asks whether this replica leads, by heartbeats that say nothing else.
    fn ask_for(&mut self, get: &[u8], now: u64, output: &mut Output) {
        let sent = self.clock(now);
        let term = current_term(&self.disk);
        let heartbeat =
            encoded(&Message::Heartbeat { term, leader_commit: Slot(0), sent, round: 0 });
        let others = self.everyone().without(Replicas::only(self.config.id));
        for to in others.iter() {
            let (message, payload) = (heartbeat.clone(), Bytes::default());
            output.packets.push((to, Packet::Message { message, payload }));
        }
        let heard = Replicas::only(self.config.id);
        let life = self.life.as_mut().expect("only who lives is asked");
        life.asked_for.push(AskedFor { get: get.to_vec(), at: sent, heard });
    }

    /// Somebody has answered a heartbeat: answers what a majority has confirmed since it was asked for.
    pub(crate) fn serve_confirmed(&mut self, mail: &Mail, output: &mut Output) {
        let Some(sent) = self.heard_at(mail) else { return };
        let majority = self.config.voters() / 2 + 1;
        let life = self.life.as_mut().expect("only who lives leads");
        for asked in life.asked_for.iter_mut().filter(|asked| asked.at <= sent) {
            asked.heard.insert(mail.peer);
        }
        let confirmed: Vec<_> =
            life.asked_for.extract_if(.., |asked| asked.heard.len() >= majority).collect();
        for AskedFor { get, .. } in confirmed {
            self.serve_at_once(&get, output);
        }
    }

    /// When this leader sent the heartbeat that somebody answers in its term, on its own clock.
    fn heard_at(&self, mail: &Mail) -> Option<u64> {
        let message = Message::decode(&mail.message).expect("what was encoded");
        let Message::HeartbeatReply { term, sent, .. } = message else { return None };
        (self.leads() && term == current_term(&self.disk)).then_some(sent)
    }

    /// Somebody has answered a heartbeat, and is loyal until long after.
    pub(crate) fn keep_lease(&mut self, mail: &Mail, now: u64) {
        let Some(sent) = self.heard_at(mail) else { return };
        let (current, id, now) = (current_term(&self.disk), self.config.id, Time(self.clock(now)));
        let voters = Replicas::first(self.config.voters());
        let KeptLease { term, lease } = &mut self.life.as_mut().expect("only who lives leads").kept;
        if *term != current {
            lease.begin();
            *term = current;
        }
        lease.renew(id, mail.peer, Time(sent), (voters, voters.len() / 2 + 1), now);
    }
}
