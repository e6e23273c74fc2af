//! Who runs on which processor, and what threads do there with nothing to do.

use synod_workloads::{Cluster as Spec, Durability, Wait, Workload};

/// Which processors the replicas and the load threads run on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Placed {
    /// For each replica, each group.
    pub replicas: Vec<Vec<usize>>,
    /// For each load thread.
    pub load: Vec<usize>,
}

/// The processors that this process may use.
#[must_use]
pub fn processors() -> Vec<usize> {
    core_affinity::get_core_ids()
        .map(|ids| ids.into_iter().map(|core| core.id).collect())
        .filter(|ids: &Vec<usize>| !ids.is_empty())
        .unwrap_or_else(|| vec![0])
}

/// Decides who runs where, as the workload says or by [`deal`].
#[must_use]
pub fn place(workload: &Workload, replicas: usize, processors: &[usize]) -> Placed {
    let groups = usize::from(workload.cluster.cores);
    let Some(placement) = &workload.cluster.placement else {
        return deal(replicas, groups, usize::from(workload.load.threads), processors);
    };
    let firsts = placement.replicas[..replicas].iter().map(|&first| usize::from(first));
    Placed {
        replicas: firsts.map(|first| (first..first + groups).collect()).collect(),
        load: placement.load.iter().map(|&processor| usize::from(processor)).collect(),
    }
}

/// Deals threads to processors in turn, so that all have about as much to do and no group has all its
/// replicas on one. The load generator starts from the last, where the first leaders are last.
fn deal(replicas: usize, groups: usize, load_threads: usize, processors: &[usize]) -> Placed {
    let count = processors.len();
    // Where the threads of a replica come out even, the next one begins a processor further on.
    let step = groups + usize::from(groups.is_multiple_of(count));
    let nth = |n: usize| processors[n % count];
    Placed {
        replicas: (0..replicas)
            .map(|replica| (0..groups).map(|group| nth(replica * step + group)).collect())
            .collect(),
        load: (0..load_threads).map(|thread| processors[count - 1 - thread % count]).collect(),
    }
}

/// What `wait: auto` means: spin where every thread has a processor of its own, else give way. Who has a
/// log gives way there, too: what writes it in the kernel has to run on the processor of its thread.
#[must_use]
pub fn wait_name(spec: &Spec, threads: usize, processors: usize) -> &'static str {
    match spec.wait {
        Wait::Busy => "busy",
        Wait::Yield => "yield",
        Wait::Block => "block",
        Wait::Auto if threads <= processors && spec.durability == Durability::None => "busy",
        Wait::Auto => "yield",
    }
}

#[cfg(test)]
mod tests {
    use super::{Placed, deal};

    #[test]
    fn two_processors_have_two_threads_each_of_three_replicas_and_a_load_generator() {
        let placed = Placed { replicas: vec![vec![4], vec![6], vec![4]], load: vec![6] };
        assert_eq!(deal(3, 1, 1, &[4, 6]), placed);
    }

    #[test]
    fn no_group_has_all_its_replicas_on_one_processor() {
        for (groups, count) in [(1, 2), (2, 2), (4, 2), (3, 2), (3, 8), (2, 4), (4, 4), (6, 3)] {
            let processors: Vec<usize> = (0..count).collect();
            let placed = deal(3, groups, 1, &processors);
            for group in 0..groups {
                let mut used = placed.replicas.iter().map(|own| own[group]);
                let first = used.next().unwrap();
                assert!(used.any(|other| other != first), "{groups} groups, {count} processors");
            }
        }
    }

    #[test]
    fn where_there_are_processors_enough_everybody_has_one() {
        let placed = deal(3, 2, 2, &[0, 1, 2, 3, 4, 5, 6, 7]);
        let mut all: Vec<usize> = placed.replicas.concat();
        all.extend(placed.load);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
