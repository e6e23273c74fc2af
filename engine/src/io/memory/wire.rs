//! A connection between two threads: for each direction one queue of full buffers, and one of empty
//! buffers on their way back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::queue::ArrayQueue;
use crossbeam::sync::Unparker;

/// Buffers that may wait to be read in one direction. What does not fit gathers at the sender and
/// then travels in one buffer, as it does before a socket that is full.
pub(super) const QUEUE_BUFFERS: usize = 16;

/// A buffer that has grown larger is not kept, or one burst would hold its memory for ever.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// One direction, with one thread that writes and one that reads.
#[derive(Debug)]
struct Pipe {
    full: ArrayQueue<Vec<u8>>,
    empty: ArrayQueue<Vec<u8>>,
    /// Set by the writer when it found no room: the reader wakes it when there is some.
    writer_waits: AtomicBool,
}

impl Pipe {
    fn new() -> Self {
        Self {
            full: ArrayQueue::new(QUEUE_BUFFERS),
            // Beside those that wait there is one with the reader and one with the writer.
            empty: ArrayQueue::new(QUEUE_BUFFERS + 2),
            writer_waits: AtomicBool::new(false),
        }
    }
}

#[derive(Debug)]
struct Wire {
    /// Each end writes into the pipe with its own number.
    pipes: [Pipe; 2],
    closed: AtomicBool,
}

/// One end of a connection. Whoever drops it closes the connection.
#[derive(Debug)]
pub(super) struct End {
    wire: Arc<Wire>,
    side: usize,
    peer: Unparker,
}

/// The two ends of a new connection; each wakes the thread that has the other.
pub(super) fn pair(one: Unparker, other: Unparker) -> (End, End) {
    let pipes = [Pipe::new(), Pipe::new()];
    let wire = Arc::new(Wire { pipes, closed: AtomicBool::new(false) });
    (End { wire: Arc::clone(&wire), side: 0, peer: other }, End { wire, side: 1, peer: one })
}

impl End {
    /// Takes `bytes` and leaves an empty buffer in their place, unless the queue is full. When it
    /// is, this thread is woken as soon as there is room.
    pub(super) fn send(&self, bytes: &mut Vec<u8>) -> bool {
        assert!(!bytes.is_empty(), "an empty buffer means nothing");
        let pipe = &self.wire.pipes[self.side];
        if pipe.full.is_full() {
            // First the flag, then a second look, while the reader first makes room and then looks
            // at the flag: in one order of both, one of the two sees the other.
            pipe.writer_waits.store(true, Ordering::SeqCst);
            if pipe.full.is_full() {
                return false;
            }
        }
        let mut buffer = pipe.empty.pop().unwrap_or_default();
        assert!(buffer.is_empty(), "buffers come back empty");
        std::mem::swap(&mut buffer, bytes);
        let pushed = pipe.full.push(buffer);
        assert!(pushed.is_ok(), "there was room, and only this thread writes");
        self.peer.unpark();
        true
    }

    /// The next buffer that the other end has sent.
    pub(super) fn receive(&self) -> Option<Vec<u8>> {
        let pipe = &self.wire.pipes[1 - self.side];
        let buffer = pipe.full.pop()?;
        if pipe.writer_waits.load(Ordering::SeqCst) {
            // Cleared before the wake-up: a writer that finds no room after it says so again.
            pipe.writer_waits.store(false, Ordering::SeqCst);
            self.peer.unpark();
        }
        Some(buffer)
    }

    /// Returns a buffer that was received and read.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BYTES_MAX {
            buffer.clear();
            let _enough_are_there = self.wire.pipes[1 - self.side].empty.push(buffer);
        }
    }

    /// Whether one of the ends is gone. What was sent before that can still be received.
    pub(super) fn is_closed(&self) -> bool {
        self.wire.closed.load(Ordering::SeqCst)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.wire.closed.store(true, Ordering::SeqCst);
        self.peer.unpark();
    }
}
