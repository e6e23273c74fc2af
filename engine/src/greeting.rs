//! How the two ends of a connection greet each other: three frames, and each end knows that the
//! other has the key of the run.
//!
//! ```text
//! dials    Hello      who speaks, to whom, in which cluster and group; a nonce
//! accepts  Challenge  a nonce; a proof over both nonces and all of the hello
//! dials    Proof      a proof over the same, for the other direction
//! ```
//!
//! A proof is an HMAC-SHA-256. It binds both nonces, which are never used again, so nothing of an
//! older connection is of use on a new one; and it names its direction, so that none can be sent
//! back. Clients have a key of their own, which follows from that of the replicas: a client cannot
//! pass for a replica. What follows the greeting has a checksum, but no proof, and nothing is
//! encrypted.

use std::fmt;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::frame::{self, Kind};

/// What the first frame of each connection starts with: the name and the version of this format.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SYNOD\0\0\x02");

/// The longest frame before both ends know each other.
pub const FRAME_BYTES_MAX: u32 = 1024;

/// Bytes of keys, nonces and proofs.
const SECRET_BYTES: usize = 32;

const HELLO_BYTES: usize = 28 + SECRET_BYTES;

/// What the replicas of a run have, or its clients; nobody else has it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key([u8; SECRET_BYTES]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// One that nobody can guess.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn random() -> Result<Self, String> {
        let mut key = [0; SECRET_BYTES];
        getrandom::fill(&mut key).map_err(|error| format!("no key can be drawn: {error}"))?;
        Ok(Self(key))
    }

    /// One that follows from a number: for worlds without an attacker.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut key = [0; SECRET_BYTES];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self(key)
    }

    /// The key of the clients, if this is that of the replicas.
    #[must_use]
    pub fn for_clients(&self) -> Self {
        Self(self.mac(b"clients", &[]).finalize().into_bytes().into())
    }

    fn mac(&self, purpose: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length is a key");
        mac.update(purpose);
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

/// A number that is used once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nonce([u8; SECRET_BYTES]);

/// Draws nonces.
#[derive(Clone, Debug)]
pub struct Nonces {
    key: Key,
    drawn: u64,
}

impl Nonces {
    /// They follow from `key`, which has to be another one in each life, and known to nobody.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { key, drawn: 0 }
    }

    fn next(&mut self) -> Nonce {
        self.drawn += 1;
        let mac = self.key.mac(b"nonce", &[&self.drawn.to_le_bytes()]);
        Nonce(mac.finalize().into_bytes().into())
    }
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speaker {
    /// A replica of the group.
    Replica(u8),
    /// A client connection; its sessions carry this number in their high half.
    Client(u32),
}

/// What the end that dials says of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The run's cluster: connections never cross clusters.
    pub cluster: u64,
    /// The group of the cluster.
    pub group: u16,
    /// The replica that is spoken to.
    pub to: u8,
    /// Who speaks.
    pub speaker: Speaker,
}

impl Hello {
    fn encode(self, nonce: Nonce) -> [u8; HELLO_BYTES] {
        let (role, id) = match self.speaker {
            Speaker::Replica(id) => (0, u32::from(id)),
            Speaker::Client(id) => (1, id),
        };
        let mut body = [0; HELLO_BYTES];
        body[..8].copy_from_slice(&MAGIC.to_le_bytes());
        body[8..16].copy_from_slice(&self.cluster.to_le_bytes());
        body[16..18].copy_from_slice(&self.group.to_le_bytes());
        body[18..20].copy_from_slice(&[self.to, role]);
        body[20..24].copy_from_slice(&id.to_le_bytes());
        body[28..].copy_from_slice(&nonce.0);
        body
    }

    /// What a hello claims, proven or not; `None` when the bytes are none of this version.
    #[must_use]
    pub fn claimed(payload: &[u8]) -> Option<Self> {
        Self::decode(payload.try_into().ok()?)
    }

    /// What a hello of this version says; `None` when the bytes are none.
    fn decode(body: &[u8; HELLO_BYTES]) -> Option<Self> {
        let (magic, rest) = body.split_first_chunk()?;
        let (cluster, rest) = rest.split_first_chunk()?;
        let (group, rest) = rest.split_first_chunk()?;
        let ([to, role], rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        let id = u32::from_le_bytes(*id);
        let speaker = match role {
            0 => Speaker::Replica(u8::try_from(id).ok()?),
            1 => Speaker::Client(id),
            _ => return None,
        };
        let known = u64::from_le_bytes(*magic) == MAGIC && rest.starts_with(&[0; 4]);
        known.then_some(Self {
            cluster: u64::from_le_bytes(*cluster),
            group: u16::from_le_bytes(*group),
            to: *to,
            speaker,
        })
    }
}

/// A greeting that this end has begun, until the other end has answered.
#[derive(Clone, Debug)]
pub struct Dialling {
    hello: [u8; HELLO_BYTES],
    key: Key,
}

impl Dialling {
    /// Appends the hello. `key` is that of the speaker.
    pub fn begin(hello: Hello, key: Key, nonces: &mut Nonces, out: &mut Vec<u8>) -> Self {
        let hello = hello.encode(nonces.next());
        frame::push(out, Kind::Hello, &[], &hello, 0);
        Self { hello, key }
    }

    /// Takes in the challenge and appends the proof. False when the other end has not proved itself.
    #[must_use]
    pub fn answer(&self, challenge: &[u8], out: &mut Vec<u8>) -> bool {
        let Some((nonce, proof)) = challenge.split_first_chunk::<SECRET_BYTES>() else {
            return false;
        };
        let theirs = self.key.mac(b"accepts", &[&self.hello, nonce]);
        if theirs.verify_slice(proof).is_err() {
            return false;
        }
        let own = self.key.mac(b"dials", &[&self.hello, nonce]).finalize().into_bytes();
        frame::push(out, Kind::Proof, &[], &own, 0);
        true
    }
}

/// A greeting that the other end has begun, until it has proved itself.
#[derive(Clone, Debug)]
pub struct Accepting {
    hello: [u8; HELLO_BYTES],
    speaker: Speaker,
    nonce: Nonce,
    key: Key,
}

impl Accepting {
    /// Reads the hello and appends the challenge. `key_of` gives the key of who says such a hello,
    /// if that may be.
    pub fn begin(
        hello: &[u8],
        key_of: impl FnOnce(Hello) -> Option<Key>,
        nonces: &mut Nonces,
        out: &mut Vec<u8>,
    ) -> Option<Self> {
        let hello: [u8; HELLO_BYTES] = hello.try_into().ok()?;
        let said = Hello::decode(&hello)?;
        let key = key_of(said)?;
        let nonce = nonces.next();
        let mut challenge = [0; 2 * SECRET_BYTES];
        challenge[..SECRET_BYTES].copy_from_slice(&nonce.0);
        let proof = key.mac(b"accepts", &[&hello, &nonce.0]).finalize().into_bytes();
        challenge[SECRET_BYTES..].copy_from_slice(&proof);
        frame::push(out, Kind::Challenge, &[], &challenge, 0);
        Some(Self { hello, speaker: said.speaker, nonce, key })
    }

    /// Who speaks, if this is the proof.
    #[must_use]
    pub fn verify(&self, proof: &[u8]) -> Option<Speaker> {
        let mac = self.key.mac(b"dials", &[&self.hello, &self.nonce.0]);
        mac.verify_slice(proof).is_ok().then_some(self.speaker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Hello = Hello { cluster: 1 << 40, group: 3, to: 1, speaker: Speaker::Replica(0) };

    fn payload(out: &[u8]) -> Vec<u8> {
        frame::parse(out, FRAME_BYTES_MAX).unwrap().unwrap().0.payload.to_vec()
    }

    /// A whole greeting: the payloads of its three frames, and what was made of them.
    fn greet(dials: Key, accepts: Key, nonces: &mut Nonces) -> ([Vec<u8>; 3], Option<Speaker>) {
        let (mut hello, mut challenge, mut proof) = (Vec::new(), Vec::new(), Vec::new());
        let dialling = Dialling::begin(HELLO, dials, nonces, &mut hello);
        let key_of = |said| {
            assert_eq!(said, HELLO);
            Some(accepts)
        };
        let accepting = Accepting::begin(&payload(&hello), key_of, nonces, &mut challenge).unwrap();
        if !dialling.answer(&payload(&challenge), &mut proof) {
            return (Default::default(), None);
        }
        let speaker = accepting.verify(&payload(&proof));
        ([payload(&hello), payload(&challenge), payload(&proof)], speaker)
    }

    #[test]
    fn who_has_the_key_is_known_and_nobody_else_is() {
        let (key, other) = (Key::of_seed(1), Key::of_seed(2));
        let mut nonces = Nonces::new(Key::of_seed(3));
        assert_eq!(greet(key, key, &mut nonces).1, Some(HELLO.speaker));
        assert_eq!(greet(key, other, &mut nonces).1, None);
        assert_eq!(greet(key.for_clients(), key, &mut nonces).1, None);
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert_ne!(Key::random().unwrap(), Key::random().unwrap());
    }

    #[test]
    fn nothing_of_an_older_greeting_is_of_use_and_every_bit_counts() {
        let key = Key::of_seed(1);
        let mut nonces = Nonces::new(Key::of_seed(3));
        let ([hello, challenge, proof], _) = greet(key, key, &mut nonces);
        let mut out = Vec::new();
        let again = Accepting::begin(&hello, |_| Some(key), &mut nonces, &mut out).unwrap();
        assert_eq!(again.verify(&proof), None, "the proof is for another nonce");
        assert_eq!(again.verify(&payload(&out)[SECRET_BYTES..]), None, "sent back");
        let dialling = Dialling::begin(HELLO, key, &mut nonces, &mut Vec::new());
        assert!(
            !dialling.answer(&challenge, &mut Vec::new()),
            "the challenge is for another hello"
        );

        let mut out = Vec::new();
        let mut hello = Vec::new();
        let dialling = Dialling::begin(HELLO, key, &mut nonces, &mut hello);
        let accepting =
            Accepting::begin(&payload(&hello), |_| Some(key), &mut nonces, &mut out).unwrap();
        let challenge = payload(&out);
        let mut proof = Vec::new();
        assert!(dialling.answer(&challenge, &mut proof));
        let proof = payload(&proof);
        assert_eq!(accepting.verify(&proof), Some(HELLO.speaker));
        for bit in 0..proof.len() * 8 {
            let mut bad = proof.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(accepting.verify(&bad), None);
        }
        for bit in 0..challenge.len() * 8 {
            let mut bad = challenge.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!dialling.answer(&bad, &mut Vec::new()));
        }
        for length in 0..proof.len() {
            assert_eq!(accepting.verify(&proof[..length]), None);
        }
    }

    #[test]
    fn hellos_of_other_versions_or_shapes_are_none() {
        let hello = HELLO.encode(Nonce([7; SECRET_BYTES]));
        assert_eq!(Hello::decode(&hello), Some(HELLO));
        for at in (0..8).chain([19, 21, 24, 27]) {
            let mut bad = hello;
            bad[at] ^= 2;
            assert_eq!(Hello::decode(&bad), None, "byte {at}");
        }
    }
}
