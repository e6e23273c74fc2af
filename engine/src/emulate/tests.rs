use super::*;
use crate::greeting::{Dialling, Key, Nonces};
use crate::latency::Latency;

const MS: u64 = 1_000_000;

fn frame_of(number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::push(&mut bytes, Kind::Message, &[], &number.to_le_bytes(), 0);
    bytes
}

/// What arrives, in order: when, and which.
struct Arrived {
    numbers: Vec<u32>,
    times: Vec<u64>,
    counts: LinkCounts,
}

/// Sends 2,000 frames, one each 10 us, over a link in virtual time.
fn send_over(rule: Rule, seed: u64) -> Arrived {
    let control = Control::new(vec![rule]);
    let mut random = Random::new(seed, Concern::Faults);
    let mut line = Line::default();
    let mut arrived =
        Arrived { numbers: Vec::new(), times: Vec::new(), counts: LinkCounts::default() };
    let mut collect = |line: &mut Line, until: u64| {
        while line.due() <= Time(until) {
            let now = line.due();
            line.ripen(now, control.link(0));
            let bytes = std::mem::take(line.ripe());
            let mut rest = bytes.as_slice();
            while let Some((frame, after)) = frame::split(rest) {
                let (frame, _) = frame::parse(frame, u32::MAX).unwrap().unwrap();
                arrived.numbers.push(u32::from_le_bytes(frame.payload.try_into().unwrap()));
                arrived.times.push(now.0);
                rest = after;
            }
            assert!(rest.is_empty(), "only whole frames arrive");
        }
    };
    for number in 0..2_000_u32 {
        let now = u64::from(number) * 10_000;
        collect(&mut line, now);
        line.admit(Time(now), &frame_of(number), &rule, &mut random, control.link(0));
    }
    collect(&mut line, u64::MAX - 1);
    assert_eq!(line.held_bytes(), if rule.cut == Cut::Holds { 2_000 * 20 } else { 0 });
    arrived.counts = control.evidence().links[0];
    arrived
}

#[test]
fn a_delay_keeps_the_order_and_is_measured() {
    let rule = Rule { latency: Latency::Uniform(MS, 3 * MS), ..Rule::CLEAR };
    let arrived = send_over(rule, 1);
    assert!(arrived.numbers.iter().copied().eq(0..2_000));
    assert_eq!(arrived.counts.delayed, 2_000);
    let mean_ns = arrived.counts.delayed_ns / 2_000;
    // In order, each waits for the slowest before it.
    assert!((2 * MS..3 * MS).contains(&mean_ns), "{mean_ns}");
}

#[test]
fn with_reordering_frames_overtake_and_the_mean_is_that_of_the_distribution() {
    let rule = Rule { latency: Latency::Uniform(MS, 3 * MS), reorder: true, ..Rule::CLEAR };
    let mut arrived = send_over(rule, 1);
    assert!(!arrived.numbers.is_sorted());
    arrived.numbers.sort_unstable();
    assert!(arrived.numbers.iter().copied().eq(0..2_000));
    let mean_ns = arrived.counts.delayed_ns / 2_000;
    assert!(mean_ns.abs_diff(2 * MS) < MS / 10, "{mean_ns}");
}

#[test]
fn frames_are_lost_and_doubled_as_often_as_wanted_and_counted() {
    let rule = Rule { loss_ppm: 100_000, duplication_ppm: 50_000, ..Rule::CLEAR };
    let arrived = send_over(rule, 7);
    let LinkCounts { lost, doubled, delayed, .. } = arrived.counts;
    assert_eq!(arrived.numbers.len() as u64, 2_000 - lost + doubled);
    assert!((150..250).contains(&lost) && (50..130).contains(&doubled), "{lost}, {doubled}");
    assert_eq!(delayed, 0);
    assert_eq!(send_over(rule, 7).numbers, arrived.numbers, "the seed decides");
    assert_ne!(send_over(rule, 8).numbers, arrived.numbers);
}

#[test]
fn bandwidth_is_one_frame_after_the_other() {
    // A frame of 20 bytes takes 20 us, and comes every 10 us.
    let rule = Rule { bytes_per_second: 1_000_000, ..Rule::CLEAR };
    let arrived = send_over(rule, 1);
    assert!(arrived.times.windows(2).all(|pair| pair[1] - pair[0] == 20_000));
    assert_eq!(arrived.times.last(), Some(&(2_000 * 20_000)));
}

#[test]
fn a_cut_loses_all_or_holds_all() {
    let arrived = send_over(Rule { cut: Cut::Loses, ..Rule::CLEAR }, 1);
    assert_eq!((arrived.numbers.len(), arrived.counts.lost), (0, 2_000));
    let arrived = send_over(Rule { cut: Cut::Holds, ..Rule::CLEAR }, 1);
    assert_eq!((arrived.numbers.len(), arrived.counts.held), (0, 2_000));
}

#[test]
fn what_a_cut_held_arrives_in_order_and_a_greeting_before_all() {
    let control = Control::new(vec![Rule::CLEAR]);
    let mut random = Random::new(1, Concern::Faults);
    let mut line = Line::default();
    let mut greeting = Vec::new();
    let hello = Hello { cluster: 1, group: 0, to: 1, speaker: Speaker::Replica(0) };
    let key = Key::of_seed(1);
    Dialling::begin(hello, key, &mut Nonces::new(key), &mut greeting);
    let cut = Rule { cut: Cut::Loses, ..Rule::CLEAR };
    line.admit(Time(1), &greeting, &cut, &mut random, control.link(0));
    line.admit(Time(2), &frame_of(1), &cut, &mut random, control.link(0));
    let held = Rule { cut: Cut::Holds, ..Rule::CLEAR };
    line.admit(Time(3), &frame_of(2), &held, &mut random, control.link(0));
    assert_eq!(line.due(), Time::NEVER);
    line.let_go(Time(10));
    line.admit(Time(11), &frame_of(3), &Rule::CLEAR, &mut random, control.link(0));
    line.ripen(Time(11), control.link(0));
    let expected = [greeting, frame_of(2), frame_of(3)].concat();
    assert_eq!(line.ripe(), &expected);
    assert_eq!(control.evidence().links[0].lost, 1);
}
