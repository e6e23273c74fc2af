//! Where each replica holds only some keys, what those that hold one must come to hold.

use synod_protocols::command::Op;
use synod_protocols::protocol::Protocol;
use synod_protocols::quorum::Quorum;
use synod_protocols::quorum::ring::Ring;
use synod_protocols::types::Tag;

use crate::history::Operation;
use crate::plan::Plan;
use crate::store::Store;

/// Who holds which keys.
pub(crate) struct Holders(Ring);

impl Holders {
    /// Those of a group that promises that they converge: one whose reads repair.
    pub(crate) fn of<P: Protocol>(plan: &Plan) -> Option<Self> {
        let value = |name| {
            let place = P::PARAMETERS.iter().position(|parameter| parameter.name == name);
            plan.parameters[place.expect("it has the parameter")]
        };
        let converges = P::NAME == Quorum::NAME && value("read_repair") == 1;
        converges.then(|| Self(Ring::new(plan.replicas, value("copies"))))
    }

    /// Whether all that hold a key hold the same, and nothing older than any write that was answered.
    pub(crate) fn hold_the_newest(&self, stores: &[&Store], history: &[Operation]) -> bool {
        let writes = history.iter().filter(|write| write.op != Op::Get && write.ended.is_some());
        writes.into_iter().all(|write| {
            let holders = self.0.preferred(self.0.list_of(write.key));
            let mut held = holders.iter().map(|holder| stores[holder.index()].register(write.key));
            let first = held.next().expect("somebody holds it");
            first.0 >= Tag(write.version) && held.all(|other| other == first)
        })
    }
}
