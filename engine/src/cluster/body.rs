//! Where a replica lives: in a process of its own, or in threads of this one.
//!
//! Either way it reads orders line by line, and ends when no more can come.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TryRecvError};

/// How long threads may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A replica that was started.
#[derive(Debug)]
pub(super) enum Body {
    /// A process, and its standard input while it is open.
    Process { child: Child, input: Option<ChildStdin> },
    /// Threads. `ended` has one message, the last: how it went.
    Threads { input: Option<Sender<String>>, ended: Receiver<Result<(), String>> },
}

impl Body {
    /// What is said of it when it starts.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Process { child, .. } => format!("process {}", child.id()),
            Self::Threads { .. } => "threads".to_owned(),
        }
    }

    /// The process that it is in.
    pub(super) fn process(&self) -> u32 {
        match self {
            Self::Process { child, .. } => child.id(),
            Self::Threads { .. } => std::process::id(),
        }
    }

    pub(super) fn write_line(&mut self, line: &str) {
        let written = match self {
            Self::Process { input: Some(input), .. } => {
                writeln!(input, "{line}").and_then(|()| input.flush()).is_ok()
            }
            Self::Threads { input: Some(input), .. } => input.send(line.to_owned()).is_ok(),
            Self::Process { input: None, .. } | Self::Threads { input: None, .. } => return,
        };
        if !written {
            // It is gone, as its end will tell.
            self.close_input();
        }
    }

    pub(super) fn close_input(&mut self) {
        match self {
            Self::Process { input, .. } => *input = None,
            Self::Threads { input, .. } => *input = None,
        }
    }

    /// How it ended, if it has.
    pub(super) fn end(&mut self) -> Option<String> {
        match self {
            Self::Process { child, .. } => child.try_wait().ok().flatten().map(describe),
            Self::Threads { ended, .. } => match ended.try_recv() {
                Ok(end) => Some(said(&end)),
                Err(TryRecvError::Disconnected) => Some("its threads panicked".to_owned()),
                Err(TryRecvError::Empty) => None,
            },
        }
    }

    /// Ends it and waits for its end: a process at once, threads in good order. Returns the
    /// evidence.
    pub(super) fn kill(self) -> String {
        match self {
            Self::Process { mut child, input } => {
                let pid = child.id();
                // It may have ended by itself, which is as good. Its input is closed afterwards: at
                // the end of its input it would end in good order, which is no crash.
                let _already_ended = child.kill();
                drop(input);
                match child.wait() {
                    Ok(status) => format!("process {pid} ended: {}", describe(status)),
                    Err(error) => format!("process {pid}: {error}"),
                }
            }
            Self::Threads { input, ended } => {
                drop(input);
                // Threads that have said how they ended are gone, and so is the channel.
                match ended.recv_timeout(END_TIMEOUT) {
                    Ok(end) => said(&end),
                    Err(_) => "no word from its threads".to_owned(),
                }
            }
        }
    }

    /// Sends a signal to the process. Returns the evidence; of threads there is none, since no
    /// signal could mean some of them.
    pub(super) fn signal(&self, signal: libc::c_int) -> String {
        let Self::Process { child, .. } = self else { return String::new() };
        let pid = child.id();
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status();
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .and_then(|stat| stat.rsplit(')').next()?.split_whitespace().next().map(str::to_owned))
            .unwrap_or_else(|| "gone".to_owned());
        match sent {
            Ok(status) if status.success() => format!("process {pid} is in state {state}"),
            Ok(_) | Err(_) => "it could not be signalled".to_owned(),
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown end".to_owned(),
    }
}

fn said(end: &Result<(), String>) -> String {
    match end {
        Ok(()) => "its threads ended".to_owned(),
        Err(why) => format!("its threads ended: {why}"),
    }
}
