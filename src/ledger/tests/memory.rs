//! What a balance comes to, told as lines of a ledger.

use std::collections::HashMap;

use futures_util::FutureExt as _;

use super::*;

/// A ledger of one account whose time is moved by hand.
struct Story {
    ledger: Arc<Ledger>,
    time: Arc<AtomicI64>,
    open: HashMap<String, Hold>,
    strict: bool,
}

impl Story {
    fn of(account: StoredAccount) -> Self {
        let (clock, time) = clock_at(NOW);
        Self {
            ledger: Ledger::in_memory(vec![account], clock),
            time,
            open: HashMap::new(),
            strict: true,
        }
    }

    fn at(&self, millis: i64) {
        self.time.store(millis, Ordering::Relaxed);
    }

    /// Plays lines such as `hold 30 as L1 -> 70 left`. What stands behind the arrow is what comes of it: what is left
    /// to hold, or `refused`.
    fn play(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (told, expected) = line.split_once("->").expect("an arrow");
            let words: Vec<_> = told.split_whitespace().collect();
            let refused = match words[..] {
                ["hold", amount, "as", name] => self.hold(amount, name).err(),
                ["settle", name, amount] => {
                    self.open.remove(name).unwrap().settle(cost(amount));
                    None
                }
                ["void", name] => {
                    self.open.remove(name).unwrap().void(cost("99"));
                    None
                }
                ["exchange", name, "for", amount] => self.exchange(name, amount).err(),
                ["drop", name] => {
                    self.open.remove(name);
                    None
                }
                ["at", seconds] => {
                    self.at(NOW + seconds.parse::<i64>().unwrap() * 1_000);
                    None
                }
                _ => panic!("{line}"),
            };
            let found = match refused {
                Some(_) => "refused".to_owned(),
                None => format!("{} left, {} held", self.left(), self.standing().held),
            };
            assert_eq!(found, expected.trim(), "{line}");
        }
    }

    fn hold(&mut self, amount: &str, name: &str) -> Result<(), Refused> {
        let opening = Opening {
            strict: self.strict,
            ..opening(amount)
        };
        let hold = self.ledger.hold(opening, &Caps::default())?;
        self.open.insert(name.to_owned(), hold);
        Ok(())
    }

    fn exchange(&mut self, name: &str, amount: &str) -> Result<(), Refused> {
        let hold = self.open.get_mut(name).unwrap();
        let none = Caps::default();
        let exchanged = hold.exchange(opening(amount), &none, cost("99"));
        // In memory there is nothing to wait for.
        exchanged.now_or_never().unwrap()
    }

    fn standing(&self) -> Standing {
        self.ledger.standing(ACME).unwrap()
    }

    fn left(&self) -> String {
        self.standing()
            .available
            .map_or("all".to_owned(), |left| left.to_string())
    }
}

#[test]
fn what_is_held_is_not_there_for_others_and_what_is_not_charged_comes_back() {
    let mut story = Story::of(account(Billing::Prepaid, &[(1, "100", None)]));
    story.play(
        "hold 30 as L1   -> 70 left, 30 held
         hold 71 as L2   -> refused
         hold 70 as L2   -> 0 left, 100 held
         hold 0 as L3    -> 0 left, 100 held
         settle L1 12    -> 18 left, 70 held
         void L2         -> 88 left, 0 held
         settle L3 0     -> 88 left, 0 held
         hold 10 as L4   -> 78 left, 10 held
         drop L4         -> 78 left, 0 held",
    );
}

#[test]
fn a_refusal_says_what_is_needed_and_what_is_there() {
    let story = Story::of(account(Billing::Prepaid, &[(1, "1", None)]));
    let refused = story.ledger.hold(opening("1.5"), &Caps::default()).err();
    assert_eq!(
        refused,
        Some(Refused::Insufficient {
            needed: dollars("1.5"),
            available: dollars("1"),
        })
    );
}

#[test]
fn a_charge_above_what_was_held_is_the_operators() {
    let mut story = Story::of(account(Billing::Prepaid, &[(1, "10", None)]));
    story.play(
        "hold 4 as L1  -> 6 left, 4 held
         settle L1 9   -> 6 left, 0 held",
    );
    let mut story = Story::of(account(Billing::Prepaid, &[(1, "10", None)]));
    story.strict = false;
    story.play(
        "hold 4 as L1  -> 6 left, 4 held
         hold 4 as L2  -> 2 left, 8 held
         settle L1 9   -> -3 left, 4 held
         settle L2 4   -> -3 left, 0 held
         hold 1 as L3  -> refused",
    );
}

#[test]
fn a_postpaid_account_goes_down_to_its_limit_or_without_end() {
    let limit = |limit: Option<&str>| Billing::Postpaid {
        limit: limit.map(dollars),
    };
    let mut story = Story::of(account(limit(Some("5")), &[(1, "1", None)]));
    story.play(
        "hold 6 as L1  -> 0 left, 6 held
         hold 1 as L2  -> refused
         settle L1 6   -> 0 left, 0 held",
    );
    assert_eq!(story.standing().balance, dollars("-5"));
    let mut story = Story::of(account(limit(None), &[]));
    story.play(
        "hold 1000000 as L1    -> all left, 1000000 held
         settle L1 1000000     -> all left, 0 held",
    );
    assert_eq!(story.standing().balance, dollars("-1000000"));
}

#[test]
fn credit_expires_but_for_what_was_held_before() {
    let grants = [(1, "10", Some(NOW / 1_000 + 60)), (2, "20", None)];
    let mut story = Story::of(account(Billing::Prepaid, &grants));
    story.play(
        "hold 4 as L1   -> 26 left, 4 held
         at 59          -> 26 left, 4 held
         at 60          -> 20 left, 4 held
         hold 3 as L2   -> 17 left, 7 held
         settle L1 1    -> 17 left, 3 held
         void L2        -> 20 left, 0 held",
    );
}

#[test]
fn one_hold_in_the_place_of_another_needs_no_more_than_the_difference() {
    let mut story = Story::of(account(Billing::Prepaid, &[(1, "100", None)]));
    story.play(
        "hold 60 as L1          -> 40 left, 60 held
         exchange L1 for 100    -> 0 left, 100 held
         exchange L1 for 101    -> refused
         exchange L1 for 30     -> 70 left, 30 held
         hold 70 as L2          -> 0 left, 100 held
         exchange L1 for 31     -> refused
         exchange L1 for 0      -> 30 left, 70 held
         exchange L2 for 99     -> 1 left, 99 held
         settle L2 100          -> 1 left, 0 held
         void L1                -> 1 left, 0 held",
    );
    let rows = story.ledger.counts().charged();
    assert_eq!(rows, dollars("99").nanos().cast_unsigned());
    assert_eq!(story.ledger.holds_open(), 0);
}

#[test]
fn what_is_kept_from_expiring_for_a_hold_is_not_there_for_the_next_one() {
    let grants = [(1, "10", Some(NOW / 1_000 + 60)), (2, "20", None)];
    let mut story = Story::of(account(Billing::Prepaid, &grants));
    story.play(
        "hold 8 as L1          -> 22 left, 8 held
         hold 18 as L2         -> 4 left, 26 held
         void L2               -> 22 left, 8 held
         at 60                 -> 20 left, 8 held
         exchange L1 for 21    -> refused
         exchange L1 for 20    -> 0 left, 20 held
         settle L1 20          -> 0 left, 0 held",
    );
}

#[test]
fn a_cap_counts_one_hold_in_the_place_of_another_once() {
    let story = Story::of(account(Billing::Prepaid, &[(1, "100", None)]));
    let caps = caps(Some("10"), None);
    let mut hold = story.ledger.hold(opening("7"), &caps).unwrap();
    let mut exchange = |amount: &str| {
        let exchanged = hold.exchange(opening(amount), &caps, cost("1"));
        exchanged.now_or_never().unwrap()
    };
    assert_eq!(exchange("10"), Ok(()));
    assert!(matches!(exchange("11"), Err(Refused::CapReached { .. })));
    let (key, used) = (opening("0").key, |spent: Spent| spent.day.0);
    assert_eq!(used(story.ledger.spent(key)), dollars("10"));
    assert_eq!(exchange("2"), Ok(()));
    assert_eq!(used(story.ledger.spent(key)), dollars("2"));
    hold.settle(cost("1"));
    assert_eq!(used(story.ledger.spent(key)), dollars("1"));
}

#[test]
fn what_expires_first_is_spent_first() {
    let soon = NOW / 1_000 + 60;
    let grants = [
        (1, "10", None),
        (2, "10", Some(soon + 1)),
        (3, "10", Some(soon)),
    ];
    let mut story = Story::of(account(Billing::Prepaid, &grants));
    story.play(
        "hold 12 as L1  -> 18 left, 12 held
         settle L1 12   -> 18 left, 0 held
         at 60          -> 18 left, 0 held
         at 61          -> 10 left, 0 held",
    );
}

#[test]
fn a_closed_account_and_an_unknown_one_hold_nothing() {
    let closed = StoredAccount {
        closed: true,
        ..account(Billing::Postpaid { limit: None }, &[])
    };
    let story = Story::of(closed);
    let ask = |account| {
        let opening = Opening {
            account,
            ..opening("0")
        };
        story.ledger.hold(opening, &Caps::default()).err()
    };
    assert_eq!(ask(ACME), Some(Refused::Closed));
    assert_eq!(ask(AccountId(2)), Some(Refused::StoreDown));
    assert_eq!(story.ledger.standing(AccountId(2)), None);
}

#[test]
fn a_fee_without_a_hold_is_charged_whatever_there_is() {
    let story = Story::of(account(Billing::Prepaid, &[(1, "1", None)]));
    let closing = Closing {
        fee: dollars("1.5"),
        ..Closing::default()
    };
    story.ledger.record(opening("7"), NOW, closing);
    let standing = story.standing();
    assert_eq!(
        (standing.balance, standing.held),
        (dollars("-0.5"), Credits::ZERO)
    );
}

#[test]
fn who_can_pay_is_told_without_a_hold() {
    let mut story = Story::of(account(Billing::Prepaid, &[(1, "1", None)]));
    let asks = |ledger: &Ledger, amount, caps| {
        ledger.affords(ACME, opening("0").key, dollars(amount), &caps)
    };
    let lack = |needed, available| {
        Err(Refused::Insufficient {
            needed: dollars(needed),
            available: dollars(available),
        })
    };
    let none = Caps::default();
    assert_eq!(asks(&story.ledger, "1", none), Ok(()));
    assert_eq!(asks(&story.ledger, "1", none), Ok(()), "nothing was held");
    assert_eq!(asks(&story.ledger, "1.5", none), lack("1.5", "1"));
    story.play("hold 0.75 as L1 -> 0.25 left, 0.75 held");
    assert_eq!(asks(&story.ledger, "0.5", none), lack("0.5", "0.25"));
    let capped = asks(&story.ledger, "0.25", caps(Some("0.9"), None));
    assert!(
        matches!(capped, Err(Refused::CapReached { .. })),
        "{capped:?}"
    );
    // Of an account that is not known yet nothing is denied.
    let other = story
        .ledger
        .affords(AccountId(2), opening("0").key, dollars("1"), &none);
    assert_eq!(other, Ok(()));
}

#[test]
fn what_the_operator_bears_costs_the_account_nothing() {
    let mut story = Story::of(account(Billing::Prepaid, &[(1, "10", None)]));
    story.hold("4", "L1").unwrap();
    let closing = Closing {
        fee: dollars("1"),
        charge_to: ChargeTo::Operator,
        ..cost("3")
    };
    story.open.remove("L1").unwrap().settle(closing);
    assert_eq!(story.standing().balance, dollars("10"));
}

fn caps(day: Option<&str>, month: Option<&str>) -> Caps {
    Caps {
        day: day.map(dollars),
        month: month.map(dollars),
    }
}

#[test]
fn a_cap_counts_what_is_held_and_what_was_charged() {
    let story = Story::of(account(Billing::Postpaid { limit: None }, &[]));
    let ask = |amount, caps| story.ledger.hold(opening(amount), &caps);
    let day = caps(Some("10"), None);
    let first = ask("6", day).unwrap();
    let resets = (NOW - NOW % DAY + DAY) / 1_000;
    let reached = Some(Refused::CapReached {
        window: Window::Day,
        cap: dollars("10"),
        resets,
    });
    assert_eq!(ask("5", day).err(), reached);
    first.settle(cost("2"));
    ask("8", day).unwrap().settle(cost("8"));
    assert_eq!(ask("0.000000001", day).err(), reached);
    ask("0", day).unwrap().void(cost("0"));

    story.at(resets * 1_000);
    ask("10", day).unwrap().settle(cost("10"));
    let month = caps(None, Some("20"));
    let february = 1_801_440_000;
    assert_eq!(
        ask("1", month).err(),
        Some(Refused::CapReached {
            window: Window::Month,
            cap: dollars("20"),
            resets: february,
        })
    );
    story.at(february * 1_000);
    ask("20", month).unwrap().settle(cost("20"));
}

#[test]
fn a_request_over_midnight_counts_for_the_day_it_began_on() {
    let story = Story::of(account(Billing::Postpaid { limit: None }, &[]));
    let day = caps(Some("10"), Some("100"));
    let over = story.ledger.hold(opening("10"), &day).unwrap();
    story.at(NOW + DAY);
    let next = story.ledger.hold(opening("10"), &day).unwrap();
    over.settle(cost("10"));
    assert!(story.ledger.hold(opening("1"), &day).is_err());
    next.settle(cost("4"));
    let hold = story.ledger.hold(opening("6"), &day).unwrap();
    drop(hold);
    assert!(story.ledger.hold(opening("1"), &day).is_err());
}

#[test]
fn a_fee_counts_on_a_day_on_which_nothing_was_held_yet() {
    let story = Story::of(account(Billing::Postpaid { limit: None }, &[]));
    let caps = caps(Some("10"), Some("30"));
    let hold = story.ledger.hold(opening("10"), &caps).unwrap();
    hold.settle(cost("10"));
    // In the month after: neither the day nor the month has begun for the key.
    for days in [30, 31] {
        let day = NOW + days * DAY;
        story.at(day);
        let fee = Closing {
            fee: dollars("7"),
            ..Closing::default()
        };
        story.ledger.record(opening("0"), day, fee);
        assert!(story.ledger.hold(opening("4"), &caps).is_err());
        story
            .ledger
            .hold(opening("3"), &caps)
            .unwrap()
            .settle(cost("3"));
    }
    story.at(NOW + 32 * DAY);
    let refused = story.ledger.hold(opening("10.1"), &caps).err();
    assert!(matches!(
        refused,
        Some(Refused::CapReached {
            window: Window::Day,
            ..
        })
    ));
    story
        .ledger
        .hold(opening("10"), &caps)
        .unwrap()
        .settle(cost("10"));
    story.at(NOW + 33 * DAY);
    let refused = story.ledger.hold(opening("1"), &caps).err();
    assert!(matches!(
        refused,
        Some(Refused::CapReached {
            window: Window::Month,
            ..
        })
    ));
}

#[test]
fn a_store_that_takes_too_long_is_down_for_new_holds() {
    let story = Story::of(account(Billing::Prepaid, &[(1, "10", None)]));
    let ledger = &story.ledger;
    ledger.books().replace_state(State::Up);
    let since = |seconds| std::time::Instant::now().checked_sub(Duration::from_secs(seconds));
    ledger.books().set_writing(since(1));
    drop(ledger.hold(opening("1"), &Caps::default()).unwrap());
    ledger.books().set_writing(since(3));
    assert_eq!(ledger.state(), State::Down);
    let refused = ledger.hold(opening("1"), &Caps::default()).err();
    assert_eq!(refused, Some(Refused::StoreDown));
    ledger.books().set_writing(None);
    assert_eq!(ledger.state(), State::Up);
}

#[test]
fn a_clock_that_is_set_back_opens_no_window_again() {
    let story = Story::of(account(Billing::Postpaid { limit: None }, &[]));
    let day = caps(Some("10"), None);
    story
        .ledger
        .hold(opening("10"), &day)
        .unwrap()
        .settle(cost("10"));
    story.at(NOW - DAY);
    assert!(story.ledger.hold(opening("1"), &day).is_err());
    assert_eq!(story.ledger.now(), NOW);
}

#[test]
fn of_a_thousand_at_once_those_are_served_for_whom_there_is_credit() {
    for _ in 0..20 {
        let story = Story::of(account(Billing::Prepaid, &[(1, "10", None)]));
        let ledger = &story.ledger;
        let served: usize = std::thread::scope(|scope| {
            let ask = || {
                (0..125).filter(|_| {
                    let hold = ledger.hold(opening("1"), &Caps::default());
                    hold.map(|hold| hold.settle(cost("1"))).is_ok()
                })
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(move || ask().count())).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(served, 10);
        assert_eq!(story.standing().balance, Credits::ZERO);
    }
}

#[test]
fn the_oldest_hold_has_an_age_and_endings_are_counted_by_flag() {
    let mut story = Story::of(account(Billing::Prepaid, &[(1, "10", None)]));
    assert_eq!(story.ledger.oldest_hold(), None);
    story.play(
        "hold 1 as L1 -> 9 left, 1 held
        at 60 -> 9 left, 1 held
        hold 1 as L2 -> 8 left, 2 held
        at 90 -> 8 left, 2 held",
    );
    let age = |story: &Story| story.ledger.oldest_hold().map(|age| age.as_secs());
    assert_eq!(age(&story), Some(90));
    story.play("settle L1 3 -> 8 left, 1 held");
    assert_eq!(age(&story), Some(30));
    story.play("void L2 -> 9 left, 0 held");
    assert_eq!(age(&story), None);
    let counts = story.ledger.counts();
    // The first cost more than was held.
    let flagged: Vec<_> = counts.flagged().filter(|(_, count)| *count > 0).collect();
    assert_eq!((counts.rows(), flagged), (2, vec![("bounded", 1)]));
}
