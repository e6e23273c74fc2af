//! One replica, as the controller sees it.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use crossbeam::channel::{self, Sender};

use super::body::Body;
use super::orders::{Enlist, Order, Report, Status, WireAddress};
use crate::emulate::Evidence;
use crate::io::memory::Hub;
use crate::replica;

/// Lines of a replica's standard error that are kept.
const LAST_WORDS_MAX: usize = 12;

/// Where replicas live.
#[derive(Clone, Debug)]
pub(super) enum Home {
    /// Each in a process that runs this program.
    Program(PathBuf),
    /// All in this process, connected by this hub.
    Here(Arc<Hub>),
}

/// Something that a replica said.
#[derive(Debug)]
pub struct Heard {
    /// Which replica.
    pub member: usize,
    /// Which of its lives: what an ended process said late is not taken for the new one's.
    life: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    Report(Report),
    Words(String),
}

/// One replica.
#[derive(Debug)]
pub struct Member {
    id: usize,
    orders: Enlist,
    home: Home,
    body: Option<Body>,
    life: u32,
    listening: Option<Vec<WireAddress>>,
    ready: Option<Vec<u64>>,
    met: bool,
    statuses: Vec<Status>,
    log: Vec<Vec<Status>>,
    /// What emulated faults have done in this life.
    evidence: Evidence,
    last_words: VecDeque<String>,
    /// How the present life ended.
    ended: Option<String>,
}

impl Member {
    pub(super) fn new(id: usize, orders: Enlist, home: Home) -> Self {
        Self {
            id,
            orders,
            home,
            body: None,
            life: 0,
            listening: None,
            ready: None,
            met: false,
            statuses: Vec::new(),
            log: Vec::new(),
            evidence: Evidence::default(),
            last_words: VecDeque::new(),
            ended: None,
        }
    }

    /// Where its logs and snapshots are.
    pub(super) fn data(&self) -> &Path {
        &self.orders.data
    }

    /// Starts the replica and gives it its orders.
    pub(super) fn launch(&mut self, speaker: &Sender<Heard>) -> Result<(), String> {
        assert!(self.body.is_none(), "one life at a time");
        self.life += 1;
        (self.listening, self.ready, self.met, self.ended) = (None, None, false, None);
        self.last_words.clear();
        // What an earlier life said of itself, such as that it leads, is not so any more.
        self.statuses.clear();
        self.evidence = Evidence::default();
        let body = match &self.home {
            Home::Program(program) => self.spawn_process(program, speaker),
            Home::Here(hub) => self.spawn_threads(Arc::clone(hub), speaker.clone()),
        };
        self.body = Some(
            body.map_err(|error| format!("replica {} could not be started: {error}", self.id))?,
        );
        self.orders.founding = self.life == 1;
        let line = serde_json::to_string(&self.orders).expect("orders are plain data");
        self.write_line(&line);
        Ok(())
    }

    fn spawn_process(&self, program: &Path, speaker: &Sender<Heard>) -> io::Result<Body> {
        let mut child = Command::new(program)
            .arg("replica")
            // Tables of hundreds of megabytes are read at random: large pages save a sixth of the
            // cycles of an apply, and most of the page faults at start.
            .env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the controller, which ends its replicas in order.
            .process_group(0)
            .spawn()?;
        let (member, life) = (self.id, self.life);
        let output = child.stdout.take().expect("it is piped");
        let words = child.stderr.take().expect("it is piped");
        let out = speaker.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let what = match serde_json::from_str(&line) {
                    Ok(report) => What::Report(report),
                    Err(_) => What::Words(line),
                };
                let _controller_is_gone = out.send(Heard { member, life, what });
            }
        });
        let out = speaker.clone();
        thread::spawn(move || {
            for line in BufReader::new(words).lines().map_while(Result::ok) {
                let _controller_is_gone = out.send(Heard { member, life, what: What::Words(line) });
            }
        });
        let input = child.stdin.take();
        Ok(Body::Process { child, input })
    }

    /// The same replica in threads of this process.
    fn spawn_threads(&self, hub: Arc<Hub>, speaker: Sender<Heard>) -> io::Result<Body> {
        let (member, life) = (self.id, self.life);
        let (input, orders) = channel::unbounded();
        let (last, ended) = channel::bounded(1);
        thread::Builder::new().name(format!("replica {member}")).spawn(move || {
            let say = |report: Report| {
                let heard = Heard { member, life, what: What::Report(report) };
                speaker.send(heard).map_err(|_| "the controller is gone".to_owned())
            };
            let end = replica::serve_here(orders, &say, &hub);
            let _controller_is_gone = last.send(end);
        })?;
        Ok(Body::Threads { input: Some(input), ended })
    }

    pub(super) fn take(&mut self, heard: Heard) {
        if heard.life != self.life {
            return;
        }
        match heard.what {
            What::Report(Report::Listening(addresses)) => self.listening = Some(addresses),
            What::Report(Report::Ready(records)) => self.ready = Some(records),
            What::Report(Report::Status(statuses)) => {
                self.log.push(statuses.clone());
                self.statuses = statuses;
            }
            What::Report(Report::Evidence(evidence)) => self.evidence = evidence,
            What::Words(line) => {
                self.remember(line);
            }
        }
    }

    /// Keeps the last lines; but when the replica panics, the first of what it says about that: a
    /// long stack trace follows.
    fn remember(&mut self, line: String) {
        let panics = |line: &String| line.contains(" panicked at ");
        if panics(&line) && !self.last_words.front().is_some_and(panics) {
            self.last_words.clear();
        }
        if self.last_words.len() == LAST_WORDS_MAX {
            if self.last_words.front().is_some_and(panics) {
                return;
            }
            self.last_words.pop_front();
        }
        self.last_words.push_back(line);
    }

    pub(super) fn id(&self) -> usize {
        self.id
    }

    /// What is said of it when it starts.
    pub(super) fn name(&self) -> String {
        self.body.as_ref().map_or_else(|| "nothing".to_owned(), Body::name)
    }

    pub(super) fn listening(&self) -> Option<Vec<WireAddress>> {
        self.listening.clone()
    }

    pub(super) fn ready(&self) -> Option<Vec<u64>> {
        self.ready.clone()
    }

    /// Whether it knows whom to meet.
    pub(super) fn met(&self) -> bool {
        self.met
    }

    pub(super) fn statuses(&self) -> &[Status] {
        &self.statuses
    }

    pub(super) fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Whether it has said anything that is kept as its last words.
    pub(super) fn has_spoken(&self) -> bool {
        !self.last_words.is_empty()
    }

    pub(super) fn take_log(&mut self) -> Vec<Vec<Status>> {
        std::mem::take(&mut self.log)
    }

    /// From now on the replica listens where it listens now, also when it is started again.
    pub(super) fn keep_addresses(&mut self) {
        if let Some(addresses) = &self.listening {
            self.orders.listen.clone_from(addresses);
        }
    }

    /// Gives the replica an order. One that does not yet know whom to meet takes no other: it has no
    /// part in what goes on, is told of links when it is back, and is asked again for changes.
    pub(super) fn tell(&mut self, order: &Order) {
        self.met |= matches!(order, Order::Meet(_));
        if !self.met && !matches!(order, Order::Stop) {
            return;
        }
        let line = serde_json::to_string(order).expect("orders are plain data");
        self.write_line(&line);
    }

    fn write_line(&mut self, line: &str) {
        if let Some(body) = &mut self.body {
            body.write_line(line);
        }
    }

    pub(super) fn close_input(&mut self) {
        if let Some(body) = &mut self.body {
            body.close_input();
        }
    }

    /// The process that it is in, while it is.
    pub(super) fn process(&self) -> Option<u32> {
        self.body.as_ref().filter(|_| self.ended.is_none()).map(Body::process)
    }

    /// Whether the replica is there.
    pub(super) fn is_alive(&self) -> bool {
        self.body.is_some() && self.ended.is_none()
    }

    /// Whether the replica is over.
    pub(super) fn has_ended(&mut self) -> bool {
        let Some(body) = &mut self.body else { return true };
        if self.ended.is_none() {
            self.ended = body.end();
        }
        self.ended.is_some()
    }

    /// Ends the replica and waits for its end. Returns the evidence.
    pub(super) fn kill(&mut self) -> String {
        self.body.take().map_or_else(|| "it was not running".to_owned(), Body::kill)
    }

    pub(super) fn signal(&mut self, signal: libc::c_int) -> String {
        match &self.body {
            Some(body) => body.signal(signal),
            None => "it was not running".to_owned(),
        }
    }

    /// If the replica has ended: a sentence with its last words.
    pub(super) fn death(&mut self) -> Option<String> {
        if self.body.is_none() || !self.has_ended() {
            return None;
        }
        let status = self.ended.as_ref()?;
        let words: Vec<&str> = self.last_words.iter().map(String::as_str).collect();
        let words = if words.is_empty() {
            "it said nothing".to_owned()
        } else {
            format!("its last words:\n    {}", words.join("\n    "))
        };
        Some(format!("replica {} died ({status}); {words}", self.id))
    }
}
