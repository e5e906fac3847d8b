//! Whatever happens in whatever order: processes succeed one another, hold, settle, ask, and are killed.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sqlx::Row as _;

use super::*;

/// Something that happens. Processes and holds are picked by any number.
#[derive(Clone, Debug)]
enum Step {
    /// A process holds so much, or asks the owner to.
    Hold(usize, i64),
    /// A hold costs so much.
    Settle(usize, i64),
    Void(usize),
    /// A hold is dropped: it costs its estimate.
    Drop(usize),
    /// What a hold is expected to cost is said anew.
    Expect(usize, i64),
    /// A process has a row without a hold.
    Fee(usize, i64),
    /// Everything so far is on the disk.
    Written,
    /// The owner hands over to a new process.
    Succeed,
    /// A process is killed. If it was the owner, there is a new one.
    Kill(usize),
    /// The owner is killed, this happens while there is none, and then there is one again.
    Interregnum(Vec<Step>),
    /// A process that has left ends as it should, unless a hold of it is open.
    Finish(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let settle = (any::<usize>(), 0..50_i64).prop_map(|(place, cost)| Step::Settle(place, cost));
    let fee = (any::<usize>(), 0..5_i64).prop_map(|(place, fee)| Step::Fee(place, fee));
    let void = any::<usize>().prop_map(Step::Void);
    let expect = (any::<usize>(), 0..50_i64).prop_map(|(place, cost)| Step::Expect(place, cost));
    let kill = any::<usize>().prop_map(Step::Kill);
    let without = prop_oneof![
        settle.clone(),
        void.clone(),
        kill.clone(),
        fee.clone(),
        expect.clone()
    ];
    prop_oneof![
        8 => (any::<usize>(), 0..40_i64).prop_map(|(place, held)| Step::Hold(place, held)),
        6 => settle,
        2 => void,
        1 => any::<usize>().prop_map(Step::Drop),
        2 => fee,
        3 => expect,
        2 => Just(Step::Written),
        3 => Just(Step::Succeed),
        1 => kill,
        1 => vec(without, 0..4).prop_map(Step::Interregnum),
        1 => any::<usize>().prop_map(Step::Finish),
    ]
}

/// What is expected of a row.
#[derive(Clone, Debug)]
struct Expected {
    held: i64,
    estimate: i64,
    /// What else it may be by the disk: what it was before, as long as the last is not there for certain.
    earlier: Vec<i64>,
    /// Void or not, and what is charged.
    end: Option<(bool, i64)>,
    /// Whether its beginning, and its end, are on the disk for certain.
    certain: [bool; 2],
    /// Whether its process was killed.
    killed: bool,
}

struct Running {
    process: Process,
    holds: Vec<(String, Hold)>,
    rows: Vec<String>,
}

struct Play {
    line: Line,
    /// The last is the owner.
    running: Vec<Running>,
    rows: BTreeMap<String, Expected>,
    began: usize,
    fees: i64,
}

const GRANTED: i64 = 300;

impl Play {
    async fn new() -> Self {
        let mut play = Self {
            line: Line::with("0.0000003").await,
            running: Vec::new(),
            rows: BTreeMap::new(),
            began: 0,
            fees: 0,
        };
        play.add(play.line.owner());
        play
    }

    fn add(&mut self, process: Process) {
        self.running.push(Running {
            process,
            holds: Vec::new(),
            rows: Vec::new(),
        });
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Hold(place, held) => self.hold(*place, *held).await,
            Step::Succeed => {
                let next = self.line.succeed(&self.running.last().unwrap().process);
                let next = next.await;
                self.add(next);
            }
            Step::Written => self.written().await,
            Step::Finish(place) => self.finish(*place),
            Step::Kill(place) => {
                if self.kill(*place) {
                    self.add(self.line.owner());
                }
            }
            Step::Interregnum(steps) => {
                self.kill(self.running.len() - 1);
                for step in steps {
                    self.take_alone(step);
                }
                self.add(self.line.owner());
            }
            step => self.take_alone(step),
        }
    }

    /// Steps that need no owner.
    fn take_alone(&mut self, step: &Step) {
        match *step {
            Step::Settle(place, cost) => self.end(place, |hold, row| {
                hold.settle(nanos(cost));
                (false, cost.min(row.held))
            }),
            Step::Void(place) => self.end(place, |hold, _| {
                hold.void(nanos(7));
                (true, 0)
            }),
            Step::Drop(place) => self.end(place, |hold, row| {
                drop(hold);
                (false, row.estimate)
            }),
            Step::Fee(place, fee) => self.fee(place, fee),
            Step::Expect(place, cost) => self.expect(place, cost),
            Step::Kill(place) => drop(self.kill(place)),
            _ => unreachable!("{step:?}"),
        }
    }

    async fn hold(&mut self, place: usize, held: i64) {
        let Some(place) = place.checked_rem(self.running.len()) else {
            return;
        };
        let name = self.name();
        let owner = place + 1 == self.running.len();
        let opening = Opening {
            request: name.as_str().into(),
            hold: Credits::from_nanos(held),
            estimate: Credits::from_nanos(held / 2),
            ..self.running[place].process.opening("0")
        };
        let ledger = &self.running[place].process.ledger;
        match ledger.obtain(opening, &Caps::default()).await {
            Ok(hold) => {
                let expected = Expected {
                    held,
                    estimate: held / 2,
                    earlier: Vec::new(),
                    end: None,
                    // What the owner has answered is on the disk.
                    certain: [!owner, false],
                    killed: false,
                };
                self.running[place].holds.push((name.clone(), hold));
                self.begun(place, name, expected);
            }
            Err(Refused::Insufficient { available, .. }) => assert!(available.nanos() < held),
            Err(refused) => panic!("{refused:?}"),
        }
    }

    fn fee(&mut self, place: usize, fee: i64) {
        let Some(place) = place.checked_rem(self.running.len()) else {
            return;
        };
        let name = self.name();
        let process = &self.running[place].process;
        let opening = Opening {
            request: name.as_str().into(),
            ..process.opening("0")
        };
        let closing = Closing {
            fee: Credits::from_nanos(fee),
            ..Closing::default()
        };
        process.ledger.record(opening, NOW, closing);
        self.fees += fee;
        let expected = Expected {
            held: 0,
            estimate: 0,
            earlier: Vec::new(),
            end: Some((false, fee)),
            certain: [false; 2],
            killed: false,
        };
        self.begun(place, name, expected);
    }

    fn begun(&mut self, place: usize, name: String, row: Expected) {
        self.running[place].rows.push(name.clone());
        self.rows.insert(name, row);
    }

    /// Ends a hold of any process.
    fn end(&mut self, place: usize, how: impl FnOnce(Hold, &Expected) -> (bool, i64)) {
        let Some((process, place)) = self.find(place) else {
            return;
        };
        let (row, hold) = self.running[process].holds.swap_remove(place);
        let row = self.rows.get_mut(&row).unwrap();
        row.end = Some(how(hold, row));
    }

    fn expect(&mut self, place: usize, cost: i64) {
        let Some((process, place)) = self.find(place) else {
            return;
        };
        let (row, hold) = &mut self.running[process].holds[place];
        hold.expect(Credits::from_nanos(cost));
        let row = self.rows.get_mut(row).unwrap();
        row.earlier.push(row.estimate);
        row.estimate = cost.min(row.held);
    }

    /// The process and the place in it of a hold of any process.
    fn find(&self, place: usize) -> Option<(usize, usize)> {
        let counts = self.running.iter().map(|it| it.holds.len());
        let mut place = place.checked_rem(counts.clone().sum())?;
        for (process, count) in counts.enumerate() {
            if place < count {
                return Some((process, place));
            }
            place -= count;
        }
        None
    }

    /// True: it was the owner.
    fn kill(&mut self, place: usize) -> bool {
        let Some(place) = place.checked_rem(self.running.len()) else {
            return false;
        };
        let has_ledger = !self.running[place].process.ledger.is_to_leave();
        let Running {
            process,
            holds,
            rows,
        } = self.running.remove(place);
        process.kill();
        for row in rows {
            self.rows.get_mut(&row).unwrap().killed = true;
        }
        // They end in a process that is gone.
        drop(holds);
        has_ledger
    }

    fn finish(&mut self, place: usize) {
        let place = place.checked_rem(self.running.len() - 1);
        let Some(place) = place.filter(|place| self.running[*place].holds.is_empty()) else {
            return;
        };
        let ended = self.running.remove(place);
        ended.process.finish();
        self.certain(&ended.rows);
    }

    async fn written(&mut self) {
        for place in 0..self.running.len() {
            self.running[place].process.written().await;
            let rows = self.running[place].rows.clone();
            self.certain(&rows);
        }
    }

    fn certain(&mut self, rows: &[String]) {
        for row in rows {
            let row = self.rows.get_mut(row).unwrap();
            row.certain = [true, row.end.is_some()];
            row.earlier.clear();
        }
    }

    /// Everybody is killed, one after the other, and all is settled.
    async fn close(mut self, order: usize) {
        while !self.running.is_empty() {
            self.kill(order);
        }
        self.add(self.line.owner());
        self.written().await;
        self.line.check(0).await;
        let rows = "SELECT request, state, charged + fee FROM usage";
        let rows = self.line.store.rows(rows).await;
        let mut found = BTreeMap::new();
        for row in &rows {
            let end = (row.get::<i64, _>(1) == 2, row.get::<i64, _>(2));
            let twice = found.insert(row.get::<String, _>(0), end);
            assert_eq!(twice, None);
        }
        let charged: i64 = found.values().map(|(_, charged)| charged).sum();
        let balance = self.line.balance().await.nanos();
        assert_eq!(balance, GRANTED - charged);
        assert!(balance >= -self.fees, "holds alone never overdraw");
        for (name, expected) in &self.rows {
            expected.compare(name, found.remove(name));
        }
        // What was asked for by somebody who was gone before he had the answer is void.
        assert!(found.values().all(|end| *end == (true, 0)), "{found:?}");
    }

    fn name(&mut self) -> String {
        self.began += 1;
        format!("req_{}", self.began)
    }
}

impl Expected {
    fn compare(&self, name: &str, found: Option<(bool, i64)>) {
        let Some(found) = found else {
            assert!(self.killed && !self.certain[0], "{name} is lost");
            return;
        };
        let (void, charged) = found;
        let expected = charged == self.estimate || self.earlier.contains(&charged);
        let by_rule = self.killed && !self.certain[1] && !void && expected;
        assert!(
            self.end == Some(found) || by_rule,
            "{name}: {found:?}, {self:?}"
        );
    }
}

fn nanos(model: i64) -> Closing {
    Closing {
        model: Credits::from_nanos(model),
        ..Closing::default()
    }
}

/// As many as `TOLLGATE_SUCCESSIONS` says, for a long run.
fn cases() -> u32 {
    let asked = std::env::var("TOLLGATE_SUCCESSIONS");
    asked.map_or(24, |asked| asked.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_nor_charged_twice_however_processes_succeed_one_another(
        steps in vec(step(), 1..40),
        order in any::<usize>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut play = Play::new().await;
            for step in &steps {
                play.take(step).await;
            }
            play.close(order).await;
        });
    }
}
