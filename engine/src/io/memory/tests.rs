use super::wire::QUEUE_BUFFERS;
use super::*;

/// What an endpoint was told.
#[derive(Debug, Default)]
struct Told {
    accepted: Vec<LinkId>,
    connected: Vec<LinkId>,
    closed: Vec<LinkId>,
    bytes: Vec<u8>,
}

impl Told {
    /// One turn that does not wait.
    fn turn(&mut self, io: &mut MemoryIo) {
        self.turn_until(io, Time(0));
    }

    fn turn_until(&mut self, io: &mut MemoryIo, until: Time) {
        io.poll(until, |event| match event {
            Event::Woke(_) => {}
            Event::Accepted(link) => self.accepted.push(link),
            Event::Connected(link) => self.connected.push(link),
            Event::Received(_, bytes) => self.bytes.extend_from_slice(bytes),
            Event::Closed(link) => self.closed.push(link),
            Event::Written(..) => panic!("nothing is written"),
        });
    }
}

/// A connected pair: who connected and who accepted.
fn connected(wait: Wait) -> ((MemoryIo, LinkId), (MemoryIo, LinkId)) {
    let hub = Arc::new(Hub::default());
    let mut server = MemoryIo::new(wait, Arc::clone(&hub), Some(hub.listen(7).unwrap()));
    let mut client = MemoryIo::new(wait, hub, None);
    let link = client.connect(&Address::Memory(7));
    let (mut at_client, mut at_server) = (Told::default(), Told::default());
    at_client.turn(&mut client);
    at_server.turn(&mut server);
    assert_eq!(at_client.connected, [link]);
    ((client, link), (server, at_server.accepted[0]))
}

#[test]
fn an_address_is_given_once() {
    let hub = Arc::new(Hub::default());
    let listener = hub.listen(1).unwrap();
    assert_eq!(*listener.address(), Address::Memory(1));
    assert_eq!(hub.listen(1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(listener);
    assert!(hub.listen(1).is_ok(), "nobody listens any more");
}

#[test]
fn bytes_arrive_in_order() {
    let ((mut client, link), (mut server, _)) = connected(Wait::Busy);
    let (mut sent, mut told) = (Vec::new(), Told::default());
    for round in 0..100_u8 {
        let mut bytes = vec![round; 1 + usize::from(round) * 7];
        sent.extend_from_slice(&bytes);
        assert!(client.send(link, &mut bytes));
        assert!(bytes.is_empty(), "an empty buffer is left");
        if round % 8 == 7 {
            told.turn(&mut server);
        }
    }
    told.turn(&mut server);
    assert_eq!(told.bytes, sent);
}

#[test]
fn a_turn_takes_in_a_bounded_number_of_bytes() {
    let ((mut client, link), (mut server, _)) = connected(Wait::Busy);
    let sent: Vec<u8> = (0..=250).cycle().take(5 * TURN_BYTES / 2).collect();
    assert!(client.send(link, &mut sent.clone()));
    let mut told = Told::default();
    for turns in 1..=3 {
        told.turn(&mut server);
        assert_eq!(told.bytes.len(), sent.len().min(turns * TURN_BYTES));
    }
    assert_eq!(told.bytes, sent);
}

#[test]
fn a_full_queue_leaves_the_bytes_and_wakes_when_there_is_room() {
    let ((mut client, link), (mut server, _)) = connected(Wait::Block);
    for _ in 0..QUEUE_BUFFERS {
        assert!(client.send(link, &mut vec![1]));
    }
    let mut left = vec![2; 3];
    assert!(!client.send(link, &mut left));
    assert_eq!(left, [2; 3]);
    let mut told = Told::default();
    told.turn(&mut server);
    assert_eq!(told.bytes, [1; QUEUE_BUFFERS]);
    // The wake-up waits for the one who found no room, so this does not sleep.
    client.parker.park();
    assert!(client.send(link, &mut left));
    told.turn(&mut server);
    assert_eq!(told.bytes[QUEUE_BUFFERS..], [2; 3]);
}

#[test]
fn buffers_come_back() {
    let ((mut client, link), (mut server, _)) = connected(Wait::Busy);
    let mut bytes = Vec::with_capacity(4096);
    let mut told = Told { bytes: Vec::with_capacity(4096), ..Told::default() };
    let mut round = |bytes: &mut Vec<u8>| {
        bytes.extend_from_slice(&[7; 1024]);
        assert!(client.send(link, bytes));
        told.turn(&mut server);
        told.bytes.clear();
    };
    // Two buffers go round: each has to grow once.
    (0..4).for_each(|_| round(&mut bytes));
    let counted = allocation_counter::measure(|| (0..1000).for_each(|_| round(&mut bytes)));
    assert_eq!(counted.count_total, 0);
}

#[test]
fn the_other_side_sees_the_close_after_the_bytes() {
    let ((mut client, link), (mut server, accepted)) = connected(Wait::Busy);
    assert!(client.send(link, &mut vec![5; 10]));
    client.close(link);
    let mut bytes = vec![6];
    assert!(!client.send(link, &mut bytes));
    assert!(bytes.is_empty(), "nobody will read them");
    let mut told = Told::default();
    told.turn(&mut server);
    assert_eq!(
        (told.bytes.as_slice(), told.closed.as_slice()),
        ([5; 10].as_slice(), [accepted].as_slice())
    );
    told.turn(&mut client);
    assert_eq!(told.closed, [accepted], "who closes is not told");
    let again = client.connect(&Address::Memory(7));
    assert_eq!(again.index, link.index, "places are used again");
    assert_ne!(again, link);
}

#[test]
fn an_endpoint_that_is_gone_closes_its_links() {
    let ((mut client, link), server) = connected(Wait::Busy);
    let mut told = Told::default();
    let waiting = client.connect(&Address::Memory(7));
    drop(server);
    told.turn(&mut client);
    told.turn(&mut client);
    let late = client.connect(&Address::Memory(7));
    let nowhere = client.connect(&Address::Memory(8));
    told.turn(&mut client);
    for closed in [link, waiting, late, nowhere] {
        assert!(told.closed.contains(&closed), "{told:?}");
    }
}

#[test]
fn a_sleeping_thread_is_woken() {
    const ROUNDS: usize = 2000;
    let ((mut client, link), (mut server, accepted)) = connected(Wait::Block);
    let echo = thread::spawn(move || {
        let mut told = Told::default();
        while told.closed.is_empty() {
            told.turn_until(&mut server, Time::NEVER);
            if !told.bytes.is_empty() {
                assert!(server.send(accepted, &mut told.bytes));
            }
        }
    });
    let began = clock();
    let mut told = Told::default();
    for round in 1..=ROUNDS {
        assert!(client.send(link, &mut vec![9]));
        while told.bytes.len() < round {
            told.turn_until(&mut client, Time::NEVER);
        }
    }
    drop(client);
    echo.join().unwrap();
    // Each wake-up that is lost costs a whole sleep.
    let lost = clock().since(began) / SLEEP_NS_MAX;
    assert!(lost < ROUNDS as u64 / 10, "{lost} wake-ups were lost");
}
