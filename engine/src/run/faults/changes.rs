//! What an administrator asks of a group, again and again until the replicas say that it is so.

use synod_protocols::protocol::Change;
use synod_protocols::types::ReplicaId;
use synod_workloads::FaultAction;

use super::super::breakable::Breakable;
use crate::cluster::orders::Status;

/// How long until the administrator asks again: a leader may have been lost, with what it was asked.
const ASK_AGAIN_NS: u64 = 500_000_000;

/// How long the administrator goes on.
const GIVE_UP_NS: u64 = 10_000_000_000;

/// What an action asks for, if it does.
pub(super) fn change_of(action: FaultAction, target: usize) -> Option<Change> {
    let target = ReplicaId(u8::try_from(target).expect("few replicas"));
    match action {
        FaultAction::Transfer => Some(Change::Transfer(target)),
        FaultAction::Add => Some(Change::Add(target)),
        FaultAction::Remove => Some(Change::Remove(target)),
        FaultAction::Kill
        | FaultAction::Wipe
        | FaultAction::Pause
        | FaultAction::Resume
        | FaultAction::Restart
        | FaultAction::Degrade
        | FaultAction::Partition
        | FaultAction::Stall
        | FaultAction::DiskError => None,
    }
}

/// Whether it is so in a group already; `None` when nobody leads who could tell.
fn is_so(change: Change, group: usize, cluster: &impl Breakable) -> Option<bool> {
    let said = |id: usize| Some((id, *cluster.statuses(id).get(group)?));
    let (leader, Status { voters, .. }) = (0..cluster.len())
        .filter_map(said)
        .filter(|(_, status)| status.leads)
        .max_by_key(|(_, status)| status.at_ns)?;
    let votes = |id: ReplicaId| voters.is_some_and(|voters| voters & 1 << id.0 != 0);
    Some(match change {
        Change::Transfer(to) => leader == to.index(),
        Change::Add(id) => votes(id),
        Change::Remove(id) => !votes(id),
    })
}

/// Whether there is something to ask for, as far as the first group shows.
pub(super) fn is_open(change: Change, cluster: &impl Breakable) -> bool {
    let may_lead = match change {
        Change::Transfer(to) => is_so(Change::Add(to), 0, cluster) == Some(true),
        Change::Add(_) | Change::Remove(_) => true,
    };
    may_lead && is_so(change, 0, cluster) == Some(false)
}

/// A change that is not done yet.
#[derive(Debug)]
pub(super) struct Asked {
    /// Which of the faults that were done.
    pub(super) note: usize,
    change: Change,
    began_ns: u64,
    asked_ns: u64,
}

impl Asked {
    pub(super) fn begin(
        note: usize,
        at_ns: u64,
        change: Change,
        cluster: &mut impl Breakable,
    ) -> Self {
        cluster.change(change);
        Self { note, change, began_ns: at_ns, asked_ns: at_ns }
    }

    /// The evidence once it is so in every group. It is empty when the administrator has given up.
    pub(super) fn look(&mut self, now_ns: u64, cluster: &mut impl Breakable) -> Option<String> {
        let after_ns = now_ns.saturating_sub(self.began_ns);
        let groups = (0..cluster.len()).map(|id| cluster.statuses(id).len()).max().unwrap_or(0);
        if (0..groups).all(|group| is_so(self.change, group, cluster) == Some(true)) {
            let what = match self.change {
                Change::Transfer(_) => "leads",
                Change::Add(_) => "votes",
                Change::Remove(_) => "votes no more",
            };
            return Some(format!("{what} after {:.2} s", after_ns as f64 / 1e9));
        }
        if after_ns >= GIVE_UP_NS {
            return Some(String::new());
        }
        if now_ns >= self.asked_ns + ASK_AGAIN_NS {
            self.asked_ns = now_ns;
            cluster.change(self.change);
        }
        None
    }
}
