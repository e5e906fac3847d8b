//! Whatever happens, in whatever order, and wherever the process ends by force: what was acknowledged is there, nothing is
//! charged twice, and the books agree with the rows.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sqlx::Row as _;

use super::kept::{Kept, grant};
use super::*;

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    Grant(i64),
    /// What is held, and what it is taken to cost.
    Hold(i64, i64),
    /// The hold of this place, among those that are open, and what it costs: perhaps more.
    Settle(usize, i64),
    Operator(usize, i64),
    Void(usize),
    /// The hold of this place is given back for another, which is taken to cost so much.
    Exchange(usize, i64, i64),
    Expect(usize, i64),
    Drop(usize),
    Fee(i64),
    /// Everything so far is on the disk.
    Written,
    Crash(Recovered),
}

fn step() -> impl Strategy<Value = Step> {
    let rule = prop::sample::select(vec![Recovered::Estimate, Recovered::Hold, Recovered::Void]);
    prop_oneof![
        2 => (1..100_i64).prop_map(Step::Grant),
        8 => (0..40_i64, 0..40_i64).prop_map(|(held, estimate)| Step::Hold(held, estimate)),
        5 => (any::<usize>(), 0..50_i64).prop_map(|(place, cost)| Step::Settle(place, cost)),
        1 => (any::<usize>(), 0..50_i64).prop_map(|(place, cost)| Step::Operator(place, cost)),
        2 => any::<usize>().prop_map(Step::Void),
        4 => (any::<usize>(), 0..80_i64, 0..40_i64)
            .prop_map(|(place, held, estimate)| Step::Exchange(place, held, estimate)),
        2 => (any::<usize>(), 0..40_i64).prop_map(|(place, cost)| Step::Expect(place, cost)),
        1 => any::<usize>().prop_map(Step::Drop),
        1 => (1..20_i64).prop_map(Step::Fee),
        3 => Just(Step::Written),
        2 => rule.prop_map(Step::Crash),
    ]
}

/// How a row ends: void or not, what the account is charged, what the operator bears, and why it is an estimate.
type End = (bool, i64, i64, Option<&'static str>);

/// How the row of a hold ends that was given back for another.
const EXCHANGED: End = (true, 0, 0, None);

/// What is expected of a row.
#[derive(Clone, Debug)]
struct Expected {
    held: i64,
    /// What it may be taken to cost after a crash: what was last said to be on the disk, and what was said since.
    estimates: Vec<i64>,
    end: Option<End>,
    /// Whether the hold, and the end, were said to be on the disk.
    acknowledged: [bool; 2],
}

struct Play {
    kept: Kept,
    granted: i64,
    rows: BTreeMap<String, Expected>,
    open: Vec<(String, Hold)>,
    /// Rows, and those that took their place.
    exchanged: Vec<(String, String)>,
    named: usize,
}

impl Play {
    async fn new() -> Self {
        Self {
            kept: Kept::with("0").await,
            granted: 0,
            rows: BTreeMap::new(),
            open: Vec::new(),
            exchanged: Vec::new(),
            named: 0,
        }
    }

    async fn take(mut self, step: &Step) -> Self {
        match *step {
            Step::Grant(amount) => self.grant(amount).await,
            Step::Hold(held, estimate) => self.hold(held, estimate),
            Step::Settle(place, cost) => self.settle(place, cost, ChargeTo::Account),
            Step::Operator(place, cost) => self.settle(place, cost, ChargeTo::Operator),
            Step::Void(place) => {
                if let Some((row, hold)) = self.pick(place) {
                    hold.void(nanos(7));
                    self.ended(row, (true, 0, 0, None));
                }
            }
            Step::Exchange(place, held, estimate) => self.exchange(place, held, estimate).await,
            Step::Expect(place, cost) => self.expect(place, cost),
            Step::Drop(place) => {
                if let Some((row, hold)) = self.pick(place) {
                    drop(hold);
                    let estimate = self.rows[&row].expected();
                    self.ended(row, (false, estimate, 0, Some("dropped")));
                }
            }
            Step::Fee(fee) => self.fee(fee),
            Step::Written => self.written().await,
            Step::Crash(rule) => return self.crash(rule).await,
        }
        self.compare();
        self
    }

    async fn grant(&mut self, amount: i64) {
        let text = Credits::from_nanos(amount).to_string();
        grant(&self.kept.store, self.kept.account, &text, None).await;
        self.granted += amount;
        let balance = self.balance();
        self.kept.ledger.look();
        super::kept::until(|| self.kept.standing().balance.nanos() == balance).await;
    }

    fn hold(&mut self, held: i64, estimate: i64) {
        let (row, opening) = self.opening(held, estimate);
        let available = self.kept.standing().available.unwrap().nanos();
        let hold = self.kept.ledger.hold(opening, &Caps::default());
        assert_eq!(hold.is_ok(), held <= available);
        if let Ok(hold) = hold {
            self.open.push((row.clone(), hold));
            self.began(row, held, estimate);
        }
    }

    async fn exchange(&mut self, place: usize, held: i64, estimate: i64) {
        let (row, opening) = self.opening(held, estimate);
        let Some((old, mut hold)) = self.pick(place) else {
            return;
        };
        let available = self.kept.standing().available.unwrap().nanos();
        let enough = held <= available + hold.amount().nanos();
        let exchanged = hold.exchange(opening, &Caps::default(), nanos(7)).await;
        assert_eq!(exchanged.is_ok(), enough, "{exchanged:?}");
        if exchanged.is_err() {
            self.open.push((old, hold));
            return;
        }
        self.exchanged.push((old.clone(), row.clone()));
        self.ended(old, EXCHANGED);
        self.open.push((row.clone(), hold));
        self.began(row, held, estimate);
    }

    fn opening(&mut self, held: i64, estimate: i64) -> (String, Opening) {
        let row = self.name();
        let opening = Opening {
            request: row.as_str().into(),
            hold: Credits::from_nanos(held),
            estimate: Credits::from_nanos(estimate),
            ..self.kept.opening("0")
        };
        (row, opening)
    }

    fn began(&mut self, row: String, held: i64, estimate: i64) {
        let expected = Expected {
            held,
            estimates: vec![estimate.min(held)],
            end: None,
            acknowledged: [false; 2],
        };
        self.rows.insert(row, expected);
    }

    fn settle(&mut self, place: usize, cost: i64, charge_to: ChargeTo) {
        let Some((row, hold)) = self.pick(place) else {
            return;
        };
        hold.settle(Closing {
            charge_to,
            ..nanos(cost)
        });
        let charged = match charge_to {
            ChargeTo::Account => cost.min(self.rows[&row].held),
            ChargeTo::Operator => 0,
        };
        self.ended(row, (false, charged, cost - charged, None));
    }

    fn expect(&mut self, place: usize, cost: i64) {
        let Some(place) = place.checked_rem(self.open.len()) else {
            return;
        };
        let (row, hold) = &mut self.open[place];
        hold.expect(Credits::from_nanos(cost));
        let row = self.rows.get_mut(row).unwrap();
        row.estimates.push(cost.min(row.held));
        assert_eq!(hold.expected().nanos(), row.expected());
    }

    fn fee(&mut self, fee: i64) {
        let row = self.name();
        let opening = Opening {
            request: row.as_str().into(),
            ..self.kept.opening("0")
        };
        let closing = Closing {
            fee: Credits::from_nanos(fee),
            ..Closing::default()
        };
        self.kept.ledger.record(opening, NOW, closing);
        let expected = Expected {
            held: 0,
            estimates: vec![0],
            end: Some((false, fee, 0, None)),
            acknowledged: [false; 2],
        };
        self.rows.insert(row, expected);
    }

    async fn written(&mut self) {
        self.kept.written().await;
        for row in self.rows.values_mut() {
            row.acknowledged = [true, row.end.is_some()];
            row.estimates = vec![row.expected()];
        }
        self.kept.check().await;
    }

    async fn crash(mut self, recovered: Recovered) -> Self {
        let before = std::mem::take(&mut self.open);
        self.kept = self
            .kept
            .crash(Settings {
                recovered,
                ..Settings::default()
            })
            .await;
        // They end in a process that is gone.
        drop(before);
        let mut found = self.found().await;
        for (old, new) in &self.exchanged {
            let is_ended = found.get(old) == Some(&EXCHANGED);
            assert_eq!(is_ended, found.contains_key(new), "{old} for {new}");
        }
        self.rows.retain(|name, row| {
            let found = found.remove(name);
            row.compare(name, found, recovered);
            found.is_some()
        });
        assert_eq!(found.len(), 0, "rows that never were");
        assert_eq!(self.kept.standing().held, Credits::ZERO);
        self.compare();
        self.kept.check().await;
        self
    }

    /// What the balance is while everything goes well.
    fn balance(&self) -> i64 {
        let ends = self.rows.values().filter_map(|row| row.end);
        self.granted - ends.map(|end| end.1).sum::<i64>()
    }

    fn compare(&self) {
        let standing = self.kept.standing();
        let held: i64 = self.open.iter().map(|(row, _)| self.rows[row].held).sum();
        assert_eq!(
            (standing.balance.nanos(), standing.held.nanos()),
            (self.balance(), held)
        );
    }

    /// The rows of the store.
    async fn found(&self) -> BTreeMap<String, End> {
        let sql =
            "SELECT request, state, charged + fee, absorbed, COALESCE(estimated, '') FROM usage";
        let rows = self.kept.store.rows(sql).await;
        let row = |row: &sqlx::sqlite::SqliteRow| {
            let reason: String = row.get(4);
            let known = Estimated::ALL.iter().map(|known| known.name());
            let reason = known.into_iter().find(|known| *known == reason);
            let state: i64 = row.get(1);
            assert_ne!(state, 0, "nothing is held after a start");
            (row.get(0), (state == 2, row.get(2), row.get(3), reason))
        };
        rows.iter().map(row).collect()
    }

    fn name(&mut self) -> String {
        self.named += 1;
        format!("req_{}", self.named)
    }

    fn pick(&mut self, place: usize) -> Option<(String, Hold)> {
        let place = place.checked_rem(self.open.len())?;
        Some(self.open.swap_remove(place))
    }

    fn ended(&mut self, row: String, end: End) {
        self.rows.get_mut(&row).unwrap().end = Some(end);
    }
}

impl Expected {
    fn expected(&self) -> i64 {
        *self.estimates.last().unwrap()
    }

    /// Takes what a crash has left of the row, if it may have.
    fn compare(&mut self, name: &str, found: Option<End>, rule: Recovered) {
        let Some(found) = found else {
            assert!(!self.acknowledged[0], "{name} is lost");
            return;
        };
        let recovered = |cost: &i64| (false, *cost, 0, Some("recovered"));
        let recovered = match rule {
            Recovered::Estimate => self.estimates.iter().map(recovered).collect(),
            Recovered::Hold => vec![recovered(&self.held)],
            Recovered::Void => vec![(true, 0, 0, Some("recovered"))],
        };
        let may_be_recovered = !self.acknowledged[1];
        assert!(
            self.end == Some(found) || (may_be_recovered && recovered.contains(&found)),
            "{name}: {found:?} is neither {:?} nor of {recovered:?}",
            self.end
        );
        self.end = Some(found);
        self.acknowledged = [true; 2];
    }
}

fn nanos(model: i64) -> Closing {
    Closing {
        model: Credits::from_nanos(model),
        ..Closing::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_is_charged_twice(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut play = Play::new().await;
            for step in &steps {
                play = play.take(step).await;
            }
            play.crash(Recovered::Estimate).await;
        });
    }
}
