//! Every answer and every fault of a request, and what follows from it.

use super::*;

/// A request with a clock that advances as it waits.
struct Rig {
    request: Request,
    vitals: Vitals,
    began: Instant,
    now: Instant,
    /// Sent so far, with the moment of each since the beginning.
    sent: Vec<(Target, Duration)>,
}

const SECOND: Duration = Duration::from_secs(1);

fn rig(patience: Patience) -> Rig {
    let (vitals, now) = (Vitals::default(), Instant::now());
    Rig { request: Request::new(patience, Backoff::default(), vitals.clone()), vitals, began: now, now, sent: vec![] }
}

impl Rig {
    /// Grants, waits and reports until something is to be sent, answers that, and so on to the end.
    fn run(&mut self, mut answer: impl FnMut(&Vitals, Target, Instant) -> Disposition) -> Result<(), Fault> {
        for _ in 0..1000 {
            let event = match self.request.poll() {
                Next::Done(ended) => return ended,
                Next::Do(Step::Acquire(_)) => Event::Permitted,
                Next::Do(Step::Report { .. }) => Event::Reported,
                Next::Do(Step::Wait(wait)) => {
                    self.now += wait;
                    Event::Waited
                }
                Next::Do(Step::Send(target)) => {
                    self.sent.push((target, self.now - self.began));
                    self.now += Duration::from_millis(50);
                    Event::Answered { disposition: answer(&self.vitals, target, self.now), why: "why".to_owned() }
                }
            };
            self.request.handle(event, self.now, 0.5);
        }
        panic!("it does not end: {:?}", self.request);
    }

    /// Every answer the same.
    fn always(&mut self, remedy: Remedy) -> Result<(), Fault> {
        self.run(|_, _, _| Disposition::sent(RequestStatus::Failing, remedy))
    }

    fn num_sent(&self, target: Target) -> usize {
        self.sent.iter().filter(|(of, _)| *of == target).count()
    }
}

fn broken() -> Remedy {
    Remedy::AskSoonOrDivide { retry_after: None }
}

fn failing(remedy: Remedy) -> Disposition {
    Disposition::sent(RequestStatus::Failing, remedy)
}

#[test]
fn a_request_that_is_served_costs_one() {
    let mut rig = rig(Patience::Page);
    assert_eq!(rig.run(|_, _, _| Disposition::SERVED), Ok(()));
    assert_eq!(rig.sent.len(), 1);
}

#[test]
fn every_remedy_ends_as_the_table_says() {
    let why = || "why".to_owned();
    let retry_after = None;
    for (remedy, fault, num_sent) in [
        (Remedy::AskAgain, Fault::Outage(why()), 3),
        (Remedy::AskOnceMore, Fault::Outage(why()), 2),
        (Remedy::AskLater, Fault::Outage(why()), 1),
        (Remedy::AwaitToken { left: 300 * SECOND }, Fault::Outage(why()), 1),
        (Remedy::SignIn, Fault::SignIn(why()), 1),
        (Remedy::Permit, Fault::NotPermitted(why()), 1),
        (Remedy::LeaveOut, Fault::Refused(why()), 1),
        (Remedy::NotShown, Fault::Forbidden(why()), 1),
        (Remedy::NotThere, Fault::Gone(why()), 1),
        (Remedy::Ours, Fault::Internal(why()), 1),
        (Remedy::AskSoon, Fault::Unreachable(why()), 7),
        (Remedy::AskSoonPast { retry_after }, Fault::Outage(why()), 7),
        (Remedy::OursSoon, Fault::Internal(why()), 7),
    ] {
        let mut rig = rig(Patience::Page);
        assert_eq!(rig.always(remedy), Err(fault), "{remedy:?}");
        assert_eq!(rig.sent.len(), num_sent, "{remedy:?}: {:?}", rig.sent);
        assert!(rig.now - rig.began < 40 * SECOND, "{remedy:?}");
    }
}

#[test]
fn a_refusal_that_passes_at_once_costs_one_more_request() {
    for remedy in [Remedy::AskOnceMore, Remedy::AskAgain, broken(), Remedy::AwaitToken { left: SECOND }] {
        let (mut rig, mut num_refused) = (rig(Patience::Page), 0);
        let ended = rig.run(|_, _, _| {
            num_refused += 1;
            if num_refused == 1 { failing(remedy) } else { Disposition::SERVED }
        });
        assert_eq!((ended, rig.sent.len()), (Ok(()), 2), "{remedy:?}");
    }
}

#[test]
fn limits_in_a_row_are_sat_out_at_the_gate_and_end_some_time() {
    let limit = Remedy::Limit { class: LimitClass::Rate, retry_after: Some(SECOND) };
    let mut rig = rig(Patience::Page);
    let ended = rig.run(|_, _, _| Disposition::sent(RequestStatus::Limited, limit));
    assert!(matches!(ended, Err(Fault::Outage(_))), "{ended:?}");
    assert_eq!(rig.sent.len(), 21);
}

/// An outage: nobody is answered, whatever is asked.
#[test]
fn while_nothing_is_answered_nothing_is_the_pages_own_fault_and_the_waits_grow() {
    for patience in [Patience::Page, Patience::Piece] {
        let mut rig = rig(patience);
        assert_eq!(rig.always(broken()), Err(Fault::Unreachable("why".to_owned())), "{patience:?}");
        assert_eq!(rig.num_sent(Target::Probe), 1, "one probe tells");
        let own: Vec<Duration> =
            rig.sent.iter().filter(|(target, _)| *target == Target::Own).map(|(_, at)| *at).collect();
        let waits: Vec<Duration> = own.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
        assert!(own.len() <= 8 && rig.now - rig.began > 10 * SECOND, "{own:?}");
    }
}

#[test]
fn a_page_that_fails_while_others_are_answered_is_at_fault_itself() {
    for (patience, tries) in [(Patience::Page, 5), (Patience::Piece, 2)] {
        let mut rig = rig(patience);
        let ended = rig.run(|vitals, _, now| {
            vitals.note_served(now + Duration::from_millis(1));
            failing(broken())
        });
        assert_eq!(ended, Err(Fault::Unservable("why".to_owned())));
        assert_eq!((rig.num_sent(Target::Own), rig.num_sent(Target::Probe)), (tries, 0), "{patience:?}");
    }
}

#[test]
fn where_nobody_else_asks_a_probe_tells_that_the_page_is_at_fault() {
    let mut rig = rig(Patience::Piece);
    let ended = rig.run(|_, target, _| match target {
        Target::Own => failing(broken()),
        Target::Probe => Disposition::SERVED,
    });
    assert_eq!(ended, Err(Fault::Unservable("why".to_owned())));
    assert_eq!((rig.num_sent(Target::Own), rig.num_sent(Target::Probe)), (2, 1));
}

#[test]
fn what_was_answered_before_its_last_tries_proves_nothing() {
    let mut rig = rig(Patience::Page);
    rig.vitals.note_served(rig.now);
    assert_eq!(rig.always(broken()), Err(Fault::Unreachable("why".to_owned())));

    // Sent together with those that fail, and answered a moment after the first of them.
    let mut rig = super::tests::rig(Patience::Page);
    let mut is_first = true;
    let ended = rig.run(|vitals, _, now| {
        if std::mem::take(&mut is_first) {
            vitals.note_served(now + Duration::from_millis(100));
        }
        failing(broken())
    });
    assert_eq!(ended, Err(Fault::Unreachable("why".to_owned())));
}

#[test]
fn requests_that_fail_together_share_one_probe() {
    let (vitals, now) = (Vitals::default(), Instant::now());
    let at = |seconds| now + seconds * SECOND;
    assert!(vitals.take_probe(at(0), at(0), at(1)));
    assert!(!vitals.take_probe(at(0), at(0), at(2)));
    assert!(vitals.take_probe(at(3), at(3), at(4)), "one that began to fail later");
    assert!(!vitals.take_probe(at(0), at(5), at(6)), "the last one came to nothing");
    vitals.note_served(at(7));
    assert!(vitals.take_probe(at(0), at(5), at(8)));
}

#[test]
fn what_cannot_be_divided_is_not_probed_for() {
    let following = PageRequest::Following { after: None, limit: 50 };
    let vitals = Vitals::default();
    let mut rig = rig(Patience::Page);
    rig.request = Request::of_page(&following, Patience::Page, Backoff::default(), vitals);
    assert_eq!(rig.always(broken()), Err(Fault::Unreachable("why".to_owned())));
    assert_eq!(rig.num_sent(Target::Probe), 0);
}

#[test]
fn a_retry_after_is_honoured_up_to_a_minute() {
    for (told, waited) in [(3, 3), (60, 60), (86_400, 60)] {
        let mut rig = rig(Patience::Page);
        let remedy = Remedy::AskSoonOrDivide { retry_after: Some(told * SECOND) };
        assert_eq!(rig.always(remedy), Err(Fault::Unreachable("why".to_owned())));
        assert_eq!((rig.sent[1].1 - rig.sent[0].1).as_secs(), waited, "{told}");
        assert!(rig.now - rig.began < 150 * SECOND);
    }
}

/// A playlist whose first page said "in a day" took five minutes, and forty of them hours.
#[test]
fn a_page_that_names_a_long_wait_is_divided_soon_and_its_pieces_do_not_wait() {
    for (patience, most) in [(Patience::Page, 150), (Patience::Piece, 10)] {
        let mut rig = rig(patience);
        let remedy = Remedy::AskSoonOrDivide { retry_after: Some(86_400 * SECOND) };
        let ended = rig.run(|vitals, _, now| {
            vitals.note_served(now + Duration::from_millis(1));
            failing(remedy)
        });
        assert_eq!(ended, Err(Fault::Unservable("why".to_owned())), "{patience:?}");
        assert!(rig.now - rig.began <= most * SECOND, "{patience:?}: {:?}", rig.now - rig.began);
    }
}

#[test]
fn a_probe_that_meets_a_limit_is_reported_like_any_other() {
    let mut rig = rig(Patience::Piece);
    let limit = Remedy::Limit { class: LimitClass::Rate, retry_after: Some(SECOND) };
    let mut is_limited = true;
    let ended = rig.run(|_, target, _| match target {
        Target::Own => failing(broken()),
        Target::Probe if std::mem::take(&mut is_limited) => Disposition::sent(RequestStatus::Limited, limit),
        Target::Probe => Disposition::SERVED,
    });
    assert_eq!(ended, Err(Fault::Unservable("why".to_owned())));
    assert_eq!(rig.num_sent(Target::Probe), 2);
}

#[test]
fn a_gate_that_died_is_asked_again_and_one_that_is_parked_is_not() {
    let mut rig = rig(Patience::Page);
    rig.request.handle(Event::GateLost { is_parked: false }, rig.now, 0.5);
    assert_eq!(rig.request.poll(), Next::Do(Step::Wait(GATE_AGAIN_AFTER)));
    rig.request.handle(Event::Waited, rig.now, 0.5);
    assert_eq!(rig.request.poll(), Next::Do(Step::Acquire(Target::Own)));
    rig.request.handle(Event::GateLost { is_parked: true }, rig.now, 0.5);
    assert!(matches!(rig.request.poll(), Next::Done(Err(Fault::Internal(_)))));
}

#[test]
fn a_gate_that_dies_over_a_limit_hears_of_it_in_its_next_life() {
    let mut rig = rig(Patience::Page);
    let limit = Remedy::Limit { class: LimitClass::Quota, retry_after: None };
    let report = Next::Do(Step::Report { class: LimitClass::Quota, retry_after: None });
    let refused = Event::Answered { disposition: Disposition::sent(RequestStatus::Limited, limit), why: String::new() };
    for event in [Event::Permitted, refused] {
        rig.request.handle(event, rig.now, 0.5);
    }
    assert_eq!(rig.request.poll(), report);
    rig.request.handle(Event::GateLost { is_parked: false }, rig.now, 0.5);
    rig.request.handle(Event::Waited, rig.now, 0.5);
    assert_eq!(rig.request.poll(), report);
}

#[test]
fn a_pause_that_is_too_long_ends_the_request_without_one() {
    let mut rig = rig(Patience::Page);
    let until = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let pause = Pause { scope: crate::model::Family::Tracks, class: LimitClass::Quota, until };
    rig.request.handle(Event::Paused(pause), rig.now, 0.5);
    assert_eq!(rig.request.poll(), Next::Done(Err(Fault::Paused(pause))));
}

#[test]
fn a_database_that_does_not_answer_the_gate_ends_the_request() {
    let mut rig = rig(Patience::Page);
    let why = "database or disk is full".to_owned();
    rig.request.handle(Event::DatabaseAway(why.clone()), rig.now, 0.5);
    assert_eq!(rig.request.poll(), Next::Done(Err(Fault::Away(why))));
}

#[test]
fn a_permit_counts_for_what_became_of_its_request() {
    for (disposition, expected) in [
        (Disposition::SERVED, PermitUse::Served),
        (failing(broken()), PermitUse::Unanswered),
        (Disposition::sent(RequestStatus::Unanswered, Remedy::AskSoon), PermitUse::Unanswered),
        (Disposition::sent(RequestStatus::Refused, Remedy::AskLater), PermitUse::Served),
        (Disposition::sent(RequestStatus::Unreadable, broken()), PermitUse::Served),
        (Disposition { was_sent: false, ..failing(Remedy::SignIn) }, PermitUse::Unused),
    ] {
        assert_eq!(outcome(&disposition), expected, "{disposition:?}");
    }
}
