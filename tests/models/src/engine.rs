//! Exhaustive search through the states of a model, breadth first, so that a counterexample is as short as can be.
//!
//! A model is a start, the steps possible in a state, and what must be true in every state. The search visits every state that any order of steps leads
//! to and stops at the first one that breaks a promise. It owns no knowledge of brokers; bounds belong to the model, which must be finite under them.
//!
//! A visited state is known by a 64-bit fingerprint only (the chance that any two of 30 million states look alike is 1 in 40 000) and by the step that
//! first led to it, about 25 bytes each; whole states are kept for two levels of the search. Hashing is fixed, so the same model gives the same numbers.
use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A finite world: what can happen in it and what must never be seen in it.
pub trait Model {
    /// Everything that a later step may depend on. Two states that behave alike should be equal: that keeps the search small.
    type State: Copy + Hash;
    /// One indivisible step.
    type Step: Copy + Debug;

    /// The state that everything begins with.
    fn start(&self) -> Self::State;
    /// Adds each step possible in `state` with the state that it leads to. The order must be the same every time.
    fn steps(&self, state: &Self::State, out: &mut Vec<(Self::Step, Self::State)>);
    /// What is wrong with `state`, given the steps possible in it.
    fn violation(&self, state: &Self::State, steps: &[(Self::Step, Self::State)]) -> Option<String>;
    /// A step in words, as it is about to be taken in `state`.
    fn describe(&self, state: &Self::State, step: Self::Step) -> String;
    /// Situations that a search must have met to be worth anything: without them the rules might hold because nothing happened.
    fn landmarks(&self) -> &'static [&'static str] {
        &[]
    }
    /// Which landmarks `state` shows, one bit each.
    fn landmarks_in(&self, _state: &Self::State) -> u64 {
        0
    }
}

/// How a search ended.
#[derive(Debug)]
pub struct Report {
    /// Distinct states visited.
    pub states: usize,
    /// Steps from the start to the last level visited.
    pub depth: usize,
    /// Whether every reachable state was visited (false after a counterexample, too).
    pub complete: bool,
    /// The first broken promise, by one of the shortest ways to it.
    pub counterexample: Option<Counterexample>,
    /// Landmarks that no visited state showed.
    pub unseen: Vec<&'static str>,
}

/// A broken promise and the way there.
#[derive(Debug)]
pub struct Counterexample {
    /// Which promise is broken, and how.
    pub what: String,
    /// The steps from the start, in words.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Counterexample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} ({} steps)", self.what, self.trace.len())?;
        for (number, step) in self.trace.iter().enumerate() {
            writeln!(f, "    {:2}. {step}", number + 1)?;
        }
        Ok(())
    }
}

/// Visits the states of `model`, at most `limit` of them: the bound on memory.
pub fn search<M: Model>(model: &M, limit: usize) -> Report {
    let start = model.start();
    let mut seen = Seen::default();
    seen.insert(&start);
    let mut ways = vec![Way { from: 0, choice: 0 }];
    let mut level = vec![(start, 0_u32)];
    let mut steps = Vec::new();
    let (mut landmarks, mut depth) = (0, 0);
    let report = |states, depth, complete, counterexample, landmarks| Report {
        states,
        depth,
        complete,
        counterexample,
        unseen: unseen(model, landmarks),
    };
    loop {
        let mut next = Vec::new();
        for (state, place) in &level {
            steps.clear();
            model.steps(state, &mut steps);
            landmarks |= model.landmarks_in(state);
            if let Some(what) = model.violation(state, &steps) {
                let trace = retrace(model, &ways, *place);
                return report(ways.len(), depth, false, Some(Counterexample { what, trace }), landmarks);
            }
            for (choice, (_, after)) in steps.iter().enumerate() {
                if seen.insert(after) {
                    if ways.len() >= limit {
                        return report(ways.len(), depth, false, None, landmarks);
                    }
                    next.push((*after, u32::try_from(ways.len()).expect("the limit is far below 2^32 states")));
                    ways.push(Way { from: *place, choice: u8::try_from(choice).expect("no model has 256 steps in one state") });
                }
            }
        }
        if next.is_empty() {
            return report(ways.len(), depth, true, None, landmarks);
        }
        level = next;
        depth += 1;
    }
}

/// The step that first led to a state: the state before it, and which of that state's steps.
#[derive(Clone, Copy)]
struct Way {
    from: u32,
    choice: u8,
}

fn retrace<M: Model>(model: &M, ways: &[Way], place: u32) -> Vec<String> {
    let mut choices = Vec::new();
    let mut at = place as usize;
    while at != 0 {
        choices.push(ways[at].choice as usize);
        at = ways[at].from as usize;
    }
    let (mut trace, mut state, mut steps) = (Vec::new(), model.start(), Vec::new());
    for choice in choices.into_iter().rev() {
        steps.clear();
        model.steps(&state, &mut steps);
        let (step, after) = steps[choice];
        trace.push(model.describe(&state, step));
        state = after;
    }
    trace
}

fn unseen<M: Model>(model: &M, landmarks: u64) -> Vec<&'static str> {
    model.landmarks().iter().enumerate().filter(|(bit, _)| landmarks >> bit & 1 == 0).map(|(_, name)| *name).collect()
}

/// Fingerprints of visited states.
#[derive(Default)]
struct Seen(HashSet<u64, BuildHasherDefault<Fingerprint>>);

impl Seen {
    /// Whether `state` is new.
    fn insert<S: Hash>(&mut self, state: &S) -> bool {
        let mut mixer = Mixer::default();
        state.hash(&mut mixer);
        self.0.insert(mixer.finish())
    }
}

/// Gathers small fields into words of 64 bits and mixes word by word: states are many small fields.
#[derive(Default)]
struct Mixer {
    mixed: u64,
    word: u64,
    filled: u32,
}

impl Mixer {
    fn mix(&mut self, word: u64) {
        let product = (self.mixed ^ word.wrapping_add(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.mixed = product ^ product >> 32;
    }
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        let mut last = Self { ..*self };
        last.mix(self.word);
        last.mix(u64::from(self.filled));
        last.mixed
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }
    fn write_u8(&mut self, value: u8) {
        self.word |= u64::from(value) << (8 * self.filled);
        self.filled += 1;
        if self.filled == 8 {
            self.mix(self.word);
            (self.word, self.filled) = (0, 0);
        }
    }
    /// Array lengths and enum variants: always the same number of them in the same place, and below 256.
    fn write_usize(&mut self, value: usize) {
        self.write_u8(value as u8);
    }
    fn write_isize(&mut self, value: isize) {
        self.write_u8(value as u8);
    }
}

/// Takes a fingerprint as its own hash.
#[derive(Default)]
struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only fingerprints, which are u64, are kept")
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two jugs of three and five litres; four litres must never be in the larger one.
    struct Jugs;

    impl Model for Jugs {
        type State = (u8, u8);
        type Step = &'static str;
        fn start(&self) -> (u8, u8) {
            (0, 0)
        }
        fn steps(&self, &(small, large): &(u8, u8), out: &mut Vec<(&'static str, (u8, u8))>) {
            let (to_large, to_small) = (small.min(5 - large), large.min(3 - small));
            out.extend([("fill small", (3, large)), ("fill large", (small, 5)), ("empty small", (0, large)), ("empty large", (small, 0))]);
            out.extend([
                ("small to large", (small - to_large, large + to_large)),
                ("large to small", (small + to_small, large - to_small)),
            ]);
        }
        fn violation(&self, &(_, large): &(u8, u8), _: &[(&'static str, (u8, u8))]) -> Option<String> {
            (large == 4).then(|| "four litres".into())
        }
        fn describe(&self, _: &(u8, u8), step: &'static str) -> String {
            step.into()
        }
        fn landmarks(&self) -> &'static [&'static str] {
            &["small is full", "large holds six litres"]
        }
        fn landmarks_in(&self, &(small, large): &(u8, u8)) -> u64 {
            u64::from(small == 3) | u64::from(large == 6) << 1
        }
    }

    /// Counts to a bound, in two hands.
    struct Count(u8);

    impl Model for Count {
        type State = (u8, u8);
        type Step = ();
        fn start(&self) -> (u8, u8) {
            (0, 0)
        }
        fn steps(&self, &(left, right): &(u8, u8), out: &mut Vec<((), (u8, u8))>) {
            out.extend((left < self.0).then_some(((), (left + 1, right))));
            out.extend((right < self.0).then_some(((), (left, right + 1))));
        }
        fn violation(&self, _: &(u8, u8), _: &[((), (u8, u8))]) -> Option<String> {
            None
        }
        fn describe(&self, _: &(u8, u8), (): ()) -> String {
            String::new()
        }
    }

    #[test]
    fn the_shortest_way_to_a_broken_promise_is_told() {
        let report = search(&Jugs, 1000);
        let found = report.counterexample.expect("four litres can be measured");
        assert_eq!(found.trace, ["fill large", "large to small", "empty small", "large to small", "fill large", "large to small"]);
        assert_eq!(report.unseen, ["large holds six litres"]);
        assert!(!report.complete);
    }

    #[test]
    fn every_state_is_visited_once() {
        let report = search(&Count(20), 1000);
        assert_eq!((report.states, report.depth, report.complete), (21 * 21, 40, true));
    }

    #[test]
    fn the_limit_ends_a_search_and_is_told() {
        let report = search(&Count(20), 100);
        assert_eq!((report.states, report.complete), (100, false));
    }
}
