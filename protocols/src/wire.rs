//! Fixed little-endian encoding of messages and records.
//!
//! A message or record is an enum of plain integers. [`wire_enum!`](crate::wire_enum) writes the
//! enum, its encoder and its decoder from one declaration, so that the three cannot differ.

use crate::types::{Ballot, REPLICAS_MAX, Reign, ReplicaId, Replicas, Slot, Tag};

/// Bytes that an encoded message or record has at most.
pub const WIRE_BYTES_MAX: usize = 64;

/// Something with a fixed little-endian form.
pub trait Wire: Sized {
    /// Writes this value at the front of `out` and returns the rest.
    fn put<'a>(&self, out: &'a mut [u8]) -> &'a mut [u8];

    /// Reads a value from the front of `bytes` and moves `bytes` behind it. `None` when the bytes
    /// are too few or mean nothing.
    fn get(bytes: &mut &[u8]) -> Option<Self>;

    /// Encodes into a fixed buffer; returns how many of its bytes are used.
    fn encode(&self, buffer: &mut [u8; WIRE_BYTES_MAX]) -> usize {
        let rest = self.put(buffer).len();
        WIRE_BYTES_MAX - rest
    }

    /// Decodes exactly `bytes`. `None` when there are too few or too many, or they mean nothing.
    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let value = Self::get(&mut bytes)?;
        bytes.is_empty().then_some(value)
    }
}

macro_rules! wire_integer {
    ($($integer:ty),*) => {$(
        impl Wire for $integer {
            fn put<'a>(&self, out: &'a mut [u8]) -> &'a mut [u8] {
                let (head, rest) = out.split_at_mut(size_of::<$integer>());
                head.copy_from_slice(&self.to_le_bytes());
                rest
            }

            fn get(bytes: &mut &[u8]) -> Option<Self> {
                let (head, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(Self::from_le_bytes(*head))
            }
        }
    )*};
}
wire_integer!(u8, u16, u32, u64);

// What cannot be is refused here, where it comes in: no count of a protocol then ever comes near the
// end of its integer.
macro_rules! wire_newtype {
    ($($newtype:ident($integer:ty)),*) => {$(
        impl Wire for $newtype {
            fn put<'a>(&self, out: &'a mut [u8]) -> &'a mut [u8] {
                self.0.put(out)
            }

            fn get(bytes: &mut &[u8]) -> Option<Self> {
                <$integer>::get(bytes).map(Self).filter(|value| value.is_possible())
            }
        }
    )*};
}
wire_newtype!(ReplicaId(u8), Reign(u64), Slot(u64), Ballot(u64), Tag(u64));

impl Wire for bool {
    fn put<'a>(&self, out: &'a mut [u8]) -> &'a mut [u8] {
        u8::from(*self).put(out)
    }

    fn get(bytes: &mut &[u8]) -> Option<Self> {
        match u8::get(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Wire for Replicas {
    fn put<'a>(&self, out: &'a mut [u8]) -> &'a mut [u8] {
        self.bits().put(out)
    }

    fn get(bytes: &mut &[u8]) -> Option<Self> {
        let bits = u16::get(bytes).filter(|bits| *bits < 1 << REPLICAS_MAX)?;
        let mut replicas = Self::NONE;
        (0..16).filter(|bit| bits & (1 << bit) != 0).for_each(|bit| {
            replicas.insert(ReplicaId(bit));
        });
        Some(replicas)
    }
}

/// Declares an enum of messages or records together with its wire form: one byte for the variant,
/// then the fields in order.
#[macro_export]
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $code:literal {
                $($(#[$field_meta:meta])* $field:ident: $kind:ty),* $(,)?
            }),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $($(#[$variant_meta])* $variant { $($(#[$field_meta])* $field: $kind),* }),*
        }

        impl $crate::wire::Wire for $name {
            fn put<'a>(&self, out: &'a mut [u8]) -> &'a mut [u8] {
                match self {
                    $(Self::$variant { $($field),* } => {
                        let out = $crate::wire::Wire::put(&($code as u8), out);
                        $(let out = $crate::wire::Wire::put($field, out);)*
                        out
                    })*
                }
            }

            fn get(bytes: &mut &[u8]) -> Option<Self> {
                match <u8 as $crate::wire::Wire>::get(bytes)? {
                    $($code => Some(Self::$variant {
                        $($field: <$kind as $crate::wire::Wire>::get(bytes)?),*
                    }),)*
                    _ => None,
                }
            }
        }
    };
}
