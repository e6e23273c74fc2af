//! What one link does to frames.

use serde::{Deserialize, Serialize};

use crate::latency::Latency;

/// What the link to one replica does to each frame.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// How long a frame is under way, beside what the real link takes.
    pub latency: Latency,
    /// Frames of a million that are lost.
    pub loss_ppm: u32,
    /// Frames of a million that arrive twice.
    pub duplication_ppm: u32,
    /// How fast the link takes bytes; 0 for as fast as they come.
    pub bytes_per_second: u64,
    /// Whether frames may overtake each other.
    pub reorder: bool,
    /// Whether anything arrives.
    pub cut: Cut,
}

/// Whether a link is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// It is not.
    Open,
    /// It is, and what is sent is lost.
    Loses,
    /// It is, and what is sent arrives when it is not any more.
    Holds,
}

impl Rule {
    /// A link without faults.
    pub const CLEAR: Self = Self {
        latency: Latency::Constant(0),
        loss_ppm: 0,
        duplication_ppm: 0,
        bytes_per_second: 0,
        reorder: false,
        cut: Cut::Open,
    };

    /// Whether it does nothing.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        *self == Self::CLEAR
    }
}
