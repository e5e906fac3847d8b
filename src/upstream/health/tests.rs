//! The state machine by tables: what was reported when, and what follows.

use super::*;

const SETTINGS: Settings = Settings {
    passive: true,
    failures: 3,
    window: Duration::from_secs(10),
    failure_rate: 50,
    samples: 8,
    backoff: Duration::from_secs(2),
    backoff_max: Duration::from_secs(12),
};

/// A health and a clock beside it; chance takes nothing away.
struct Bench {
    health: Health,
    settings: Settings,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            health: Health::new(now),
            settings: SETTINGS,
            now,
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn good(&self) -> Option<Change> {
        self.health.succeeded(&self.settings, self.now, self.now)
    }

    fn bad(&self) -> Option<Change> {
        self.bad_since(self.now)
    }

    fn bad_since(&self, began: Instant) -> Option<Change> {
        self.health.failed(&self.settings, began, self.now, || 0.0)
    }

    fn claim(&self) -> bool {
        self.health.claim(self.now)
    }

    fn is(&self, state: State, rank: Rank) {
        assert_eq!(
            (self.health.state(), self.health.rank(self.now)),
            (state, rank)
        );
    }

    /// Ejects it by failures in a row.
    fn eject(&self) {
        while self.health.state() == State::Ready {
            self.bad();
        }
    }
}

fn ejected(why: Why, seconds: u64) -> Option<Change> {
    let pause = Some(Duration::from_secs(seconds));
    Some(Change::Ejected { why, pause })
}

#[test]
fn failures_in_a_row_eject_and_a_success_between_begins_anew() {
    let mut bench = Bench::new();
    for good in [false, false, true, false, false] {
        assert_eq!(if good { bench.good() } else { bench.bad() }, None);
        bench.is(State::Ready, Rank::Ready);
        // Far enough apart that their share is not looked at.
        bench.wait(5_000);
    }
    assert_eq!(bench.bad(), ejected(Why::InARow(3), 2));
    bench.is(State::Ejected, Rank::Ejected);
    assert!(!bench.claim());
}

#[test]
fn one_that_fails_every_second_request_is_ejected() {
    let bench = Bench::new();
    for _ in 0..3 {
        assert_eq!((bench.good(), bench.bad()), (None, None));
    }
    assert_eq!(bench.good(), None);
    assert_eq!(bench.bad(), ejected(Why::Share(4, 8), 2));
}

#[test]
fn a_small_share_of_failures_is_lived_with() {
    let mut bench = Bench::new();
    for _ in 0..1_000 {
        assert_eq!([bench.good(), bench.good(), bench.bad()], [None; 3]);
        bench.wait(37);
    }
    bench.is(State::Ready, Rank::Ready);
}

#[test]
fn old_failures_are_forgotten() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        assert_eq!((bench.bad(), bench.good()), (None, None));
        bench.wait(3_000);
    }
    bench.is(State::Ready, Rank::Ready);
}

#[test]
fn failures_are_forgotten_with_a_longer_window_after_a_reload_too() {
    let mut bench = Bench::new();
    bench.wait(100_000);
    bench.good();
    bench.settings.window = Duration::from_secs(100);
    for _ in 0..40 {
        assert_eq!((bench.bad(), bench.good()), (None, None));
        bench.wait(40_000);
    }
    bench.is(State::Ready, Rank::Ready);
}

#[test]
fn one_probe_at_a_time_is_let_through_when_the_time_is_over() {
    let mut bench = Bench::new();
    bench.eject();
    bench.wait(1_999);
    bench.is(State::Ejected, Rank::Ejected);
    bench.wait(1);
    bench.is(State::Ejected, Rank::Probe);
    assert!(bench.claim());
    assert!(!bench.claim());
    bench.is(State::Probing, Rank::Ejected);
    assert_eq!(bench.good(), Some(Change::Returned));
    bench.is(State::Ready, Rank::Ready);
    assert!(!bench.claim());
}

#[test]
fn a_probe_that_never_reports_is_made_again_after_the_same_time() {
    let mut bench = Bench::new();
    bench.eject();
    bench.wait(2_000);
    assert!(bench.claim());
    bench.wait(1_999);
    assert!(!bench.claim());
    bench.wait(1);
    bench.is(State::Probing, Rank::Probe);
    assert!(bench.claim());
}

#[test]
fn each_probe_that_fails_doubles_the_time_up_to_its_cap() {
    let mut bench = Bench::new();
    bench.eject();
    for seconds in [2, 4, 8, 12, 12].windows(2) {
        bench.wait(seconds[0] * 1_000 - 1);
        assert!(!bench.claim());
        bench.wait(1);
        assert!(bench.claim());
        let pause = Duration::from_secs(seconds[1]);
        assert_eq!(bench.bad(), Some(Change::StaysEjected { pause }));
        bench.is(State::Ejected, Rank::Ejected);
    }
}

#[test]
fn the_time_grows_for_one_that_comes_and_goes_and_is_short_again_after_a_good_while() {
    let mut bench = Bench::new();
    let mut again = |good: u64| {
        bench.wait(good);
        let first = [bench.bad(), bench.bad(), bench.bad()];
        let pause = bench.health.probe_in(bench.now).expect("ejected");
        bench.wait(u64::try_from(pause.as_millis()).expect("short"));
        assert!(bench.claim());
        assert_eq!(bench.good(), Some(Change::Returned));
        assert_eq!(first[..2], [None, None]);
        pause.as_secs()
    };
    assert_eq!([again(0), again(100), again(9_900)], [2, 4, 8]);
    assert_eq!(again(10_000), 2);
}

#[test]
fn chance_shortens_the_time_by_a_quarter_at_the_most() {
    let pause = |level, chance| SETTINGS.pause(level, chance);
    assert_eq!(pause(1, 0.0), Duration::from_secs(2));
    assert_eq!(pause(1, 1.0), Duration::from_millis(1_500));
    assert_eq!(pause(2, 0.5), Duration::from_millis(3_500));
    assert_eq!(pause(1_000, 0.0), Duration::from_secs(12));
}

#[test]
fn what_began_before_it_was_ejected_says_nothing_of_the_time_after() {
    let mut bench = Bench::new();
    let before = bench.now;
    bench.wait(1);
    bench.eject();
    bench.wait(2_000);
    assert!(bench.claim());
    for _ in 0..9 {
        assert_eq!(bench.bad_since(before), None);
        let late = bench.health.succeeded(&bench.settings, before, bench.now);
        assert_eq!(late, None);
    }
    bench.is(State::Probing, Rank::Ejected);
}

#[test]
fn what_is_sent_as_a_last_resort_brings_it_back_and_does_not_put_the_probe_off() {
    let mut bench = Bench::new();
    bench.eject();
    bench.wait(1_000);
    assert_eq!(bench.bad(), None);
    bench.wait(1_000);
    bench.is(State::Ejected, Rank::Probe);
    assert_eq!(bench.good(), Some(Change::Returned));
}

#[test]
fn a_good_header_brings_it_back_on_trial() {
    let mut bench = Bench::new();
    bench.eject();
    bench.wait(2_000);
    assert!(bench.claim());
    let answered = |bench: &Bench| bench.health.answered(bench.now, bench.now);
    assert_eq!(answered(&bench), Some(Change::Returned));
    bench.is(State::Ready, Rank::Ready);
    // The body is nothing but an error.
    assert_eq!(bench.bad(), ejected(Why::AtOnce, 4));
    bench.wait(4_000);
    assert!(bench.claim());
    assert_eq!(answered(&bench), Some(Change::Returned));
    assert_eq!(answered(&bench), None);
    assert_eq!(bench.good(), None);
    assert_eq!(bench.bad(), None);
    bench.is(State::Ready, Rank::Ready);
}

#[test]
fn a_good_header_alone_does_not_end_a_row_of_failures() {
    let bench = Bench::new();
    for _ in 0..2 {
        assert_eq!(bench.health.answered(bench.now, bench.now), None);
        assert_eq!(bench.bad(), None);
    }
    assert_eq!(bench.bad(), ejected(Why::InARow(3), 2));
}

#[test]
fn checks_and_answers_must_both_be_good() {
    let mut bench = Bench::new();
    let by_checks = Change::Ejected {
        why: Why::Checks,
        pause: None,
    };
    assert_eq!(bench.health.checked(true), None);
    assert_eq!(bench.health.checked(false), Some(by_checks));
    assert_eq!(bench.health.checked(false), None);
    bench.is(State::Ejected, Rank::Ejected);
    // A request that goes there as a last resort and is answered says nothing of the checks.
    assert_eq!(bench.good(), None);
    bench.is(State::Ejected, Rank::Ejected);
    assert_eq!(bench.health.checked(true), Some(Change::Returned));
    bench.is(State::Ready, Rank::Ready);

    // Both: told of once, and no probe before the checks pass.
    bench.eject();
    assert_eq!(bench.health.checked(false), None);
    bench.wait(2_000);
    assert!(!bench.claim());
    assert_eq!(bench.health.checked(true), None);
    bench.is(State::Ejected, Rank::Probe);
    assert!(bench.claim());
    assert_eq!(bench.good(), Some(Change::Returned));
}

#[test]
fn nothing_is_ejected_where_that_is_switched_off() {
    let mut bench = Bench::new();
    bench.settings.passive = false;
    for _ in 0..100 {
        assert_eq!(bench.bad(), None);
    }
    bench.is(State::Ready, Rank::Ready);
}

#[test]
fn of_many_who_claim_at_once_one_has_the_probe() {
    let mut bench = Bench::new();
    bench.eject();
    bench.wait(2_000);
    let claims = std::thread::scope(|scope| {
        let claim = || (0..100).filter(|_| bench.health.claim(bench.now)).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
        let counts = threads.into_iter().map(|it| it.join().expect("no panic"));
        counts.sum::<usize>()
    });
    assert_eq!(claims, 1);
}

#[test]
fn successes_from_many_threads_are_all_in_the_window() {
    let mut bench = Bench::new();
    bench.good();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| assert_eq!(bench.good(), None)));
        }
    });
    bench.wait(1_000);
    bench.good();
    assert_eq!(bench.health.lock().window.sums().all, 1_002);
}
