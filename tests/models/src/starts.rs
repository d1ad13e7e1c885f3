//! The numbers of incarnations (rules R1, R23, trap T57): two brokers that start, a counter in etcd, claims in the store, an etcd that is set back.
//!
//! World: each broker reads the counter, creates the claim of the next number, goes on to the one behind where it is taken, and then raises the counter and registers. It may
//! die anywhere and start again. At any time a snapshot of etcd is taken, and at any later time etcd is set back to it, once. Every interleaving is visited.
//!
//! Where the text of the rules was open, this is modelled: a counter that is behind the claims proves nothing, since a broker may die between claim and counter (mutant
//! `BehindMeansSetBack`); the mark in the store tells (`setback`).
//!
//! Checked in every state: no number is used by two lives; who starts can go on; nobody takes etcd for set back when it was not.
//!
//! Bounds: see [`Bounds`]. Left out: what an incarnation does with its number.
use crate::engine::Model;

/// A rule that is broken on purpose; the search must find each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// The counter gives the number, in one transaction, and the claim is written over what is there.
    CounterIsTruth,
    /// Claims are written without "only if absent".
    PlainPut,
    /// A claim that is there is taken for the own one.
    TakenCountsAsOwn,
    /// A counter behind the claims is taken for an etcd that was set back.
    BehindMeansSetBack,
}

/// Every mutant, in the order of the enum.
pub const MUTANTS: [Mutant; 4] = [Mutant::CounterIsTruth, Mutant::PlainPut, Mutant::TakenCountsAsOwn, Mutant::BehindMeansSetBack];

/// How much of the world is searched.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Lives of both brokers together, at most 5.
    pub lives: u8,
}

impl Bounds {
    /// Less than a second.
    pub const QUICK: [Self; 1] = [Self { lives: 3 }];
    /// Seconds.
    pub const FULL: [Self; 1] = [Self { lives: 4 }];
}

/// The model.
#[derive(Debug)]
pub struct Starts {
    /// How far it is searched.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

const BROKERS: usize = 2;
const NUMBERS: usize = 8;

/// How far a life of a broker has come; lives are counted over both.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Life {
    Down,
    Up {
        life: u8,
    },
    /// Is going to create the claim of that number.
    Read {
        life: u8,
        number: u8,
    },
    Claimed {
        life: u8,
        number: u8,
    },
    Registered {
        life: u8,
        number: u8,
    },
    Frozen,
}

/// The whole world.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct State {
    counter: u8,
    snapshot: Option<u8>,
    was_set_back: bool,
    /// The life that wrote each number's claim; 0: absent.
    claims: [u8; NUMBERS],
    lives: u8,
    brokers: [Life; BROKERS],
}

/// One indivisible step; brokers by number.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Start { broker: usize },
    Read { broker: usize },
    Claim { broker: usize },
    Register { broker: usize },
    Die { broker: usize },
    Snapshot,
    SetBack,
}

/// Collects the steps possible in one state.
struct Steps<'a> {
    model: &'a Starts,
    state: &'a State,
    out: &'a mut Vec<(Step, State)>,
}

impl Steps<'_> {
    fn go(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut after = *self.state;
        change(&mut after);
        if after != *self.state {
            self.out.push((step, after));
        }
    }

    fn broker(&mut self, broker: usize) {
        let (model, s) = (self.model, self.state);
        let is = |mutant| model.mutant == Some(mutant);
        match s.brokers[broker] {
            Life::Down if s.lives < model.bounds.lives => self.go(Step::Start { broker }, |n| {
                n.lives += 1;
                n.brokers[broker] = Life::Up { life: n.lives };
            }),
            Life::Up { life } => self.go(Step::Read { broker }, |n| {
                let is_behind = (n.counter + 1..NUMBERS as u8).any(|number| n.claims[number as usize] != 0);
                n.brokers[broker] = Life::Read { life, number: n.counter + 1 };
                if is(Mutant::CounterIsTruth) {
                    n.counter += 1;
                }
                if is(Mutant::BehindMeansSetBack) && is_behind {
                    n.brokers[broker] = Life::Frozen;
                }
            }),
            Life::Read { life, number } => self.go(Step::Claim { broker }, |n| {
                let claim = &mut n.claims[number as usize];
                let is_taken = *claim != 0;
                n.brokers[broker] = Life::Claimed { life, number };
                if !is_taken || is(Mutant::PlainPut) || is(Mutant::CounterIsTruth) {
                    *claim = life;
                } else if !is(Mutant::TakenCountsAsOwn) {
                    n.brokers[broker] = Life::Read { life, number: number + 1 };
                }
            }),
            Life::Claimed { life, number } => self.go(Step::Register { broker }, |n| {
                n.counter = n.counter.max(number);
                n.brokers[broker] = Life::Registered { life, number };
            }),
            Life::Down | Life::Registered { .. } | Life::Frozen => {}
        }
        self.go(Step::Die { broker }, |n| n.brokers[broker] = Life::Down);
    }
}

impl Life {
    fn number(self) -> Option<u8> {
        match self {
            Self::Claimed { number, .. } | Self::Registered { number, .. } => Some(number),
            _ => None,
        }
    }

    fn life(self) -> Option<u8> {
        match self {
            Self::Claimed { life, .. } | Self::Registered { life, .. } => Some(life),
            _ => None,
        }
    }
}

impl Model for Starts {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        State { counter: 0, snapshot: None, was_set_back: false, claims: [0; NUMBERS], lives: 0, brokers: [Life::Down; BROKERS] }
    }

    fn steps(&self, state: &State, out: &mut Vec<(Step, State)>) {
        let mut steps = Steps { model: self, state, out };
        for broker in 0..BROKERS {
            steps.broker(broker);
        }
        if state.snapshot.is_none() && !state.was_set_back {
            steps.go(Step::Snapshot, |n| n.snapshot = Some(n.counter));
        }
        if let Some(counter) = state.snapshot {
            steps.go(Step::SetBack, |n| (n.counter, n.snapshot, n.was_set_back) = (counter, None, true));
        }
    }

    fn violation(&self, s: &State, _: &[(Step, State)]) -> Option<String> {
        let doubled = |broker: &Life| broker.number().is_some_and(|number| s.claims[number as usize] != broker.life().unwrap_or(0));
        if let Some(broker) = s.brokers.iter().find(|broker| doubled(broker)) {
            return Some(format!("number {} is used by two lives", broker.number().unwrap_or(0)));
        }
        (s.brokers.contains(&Life::Frozen) && !s.was_set_back).then(|| "a broker takes etcd for set back, and it never was".into())
    }

    fn describe(&self, s: &State, step: Step) -> String {
        match step {
            Step::Start { broker } => format!("broker {broker} starts"),
            Step::Read { broker } => format!("broker {broker} reads the counter, {}", s.counter),
            Step::Claim { broker } => format!("broker {broker} creates its claim ({:?})", s.brokers[broker]),
            Step::Register { broker } => format!("broker {broker} raises the counter and registers"),
            Step::Die { broker } => format!("broker {broker} dies"),
            Step::Snapshot => "a snapshot of etcd is taken".into(),
            Step::SetBack => "etcd is set back to the snapshot".into(),
        }
    }

    fn landmarks(&self) -> &'static [&'static str] {
        &[
            "two brokers are registered",
            "a counter is behind the claims and was never set back",
            "a broker registered after etcd was set back",
        ]
    }

    fn landmarks_in(&self, s: &State) -> u64 {
        let registered = s.brokers.iter().filter(|broker| matches!(broker, Life::Registered { .. })).count();
        let is_behind = (s.counter + 1..NUMBERS as u8).any(|number| s.claims[number as usize] != 0);
        let shown = [registered == 2, is_behind && !s.was_set_back, registered > 0 && s.was_set_back];
        shown.iter().enumerate().fold(0, |bits, (bit, shown)| bits | u64::from(*shown) << bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: Bounds = Bounds::QUICK[0];

    crate::rules_hold_and_mutants_are_found! { Starts
        t57_a_number_from_the_counter_alone_is_found: CounterIsTruth in WORLD,
        a_claim_that_is_overwritten_is_found: PlainPut in WORLD,
        a_taken_claim_that_counts_as_the_own_is_found: TakenCountsAsOwn in WORLD,
        a_counter_behind_the_claims_that_freezes_is_found: BehindMeansSetBack in WORLD,
    }
}
