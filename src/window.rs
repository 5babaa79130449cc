//! The sliding window that turns are taken from: a pure function of what was taken before.
//!
//! The migration's `take_turn` does the same in Postgres, under the lock of the budget's row.

/// What is asked of a window. Times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// 0 is the first to be served, 2 the last.
    pub class: u8,
    /// Most turns within the span of each class and those after it together, so the first of them is for all.
    /// None counts for less than 1.
    pub most: [u32; 3],
    /// Longest wait; beyond it no turn is taken.
    pub patience: i64,
    pub span: i64,
}

/// What a window gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// False where the turn would come later than asked.
    pub taken: bool,
    /// Microseconds from now to the turn.
    pub wait: i64,
    /// Turns of all classes left within the span.
    pub left: u32,
}

/// The turns of one budget, each with the class that took it, in order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window(Vec<(i64, u8)>);

impl Window {
    /// Takes the next turn from `now` on, in microseconds of any clock that never goes back.
    ///
    /// It is the earliest that fits: no span, wherever it begins, then holds more turns of the asking class and those
    /// after it than there may be, nor of any class before it and those after that. Turns that lie ahead count where
    /// they stand, so what waits for a later turn takes nothing from who can have an earlier one.
    pub fn take(&mut self, now: i64, ask: Ask) -> Slot {
        self.0.retain(|(at, _)| *at > now - ask.span);
        let counted = (0..=ask.class).zip(ask.most).map(|(class, most)| {
            let turns: Vec<i64> = self.0.iter().filter(|(_, other)| *other >= class).map(|(at, _)| *at).collect();
            (turns, usize::try_from(most.max(1)).unwrap_or(usize::MAX))
        });
        let counted: Vec<_> = counted.collect();
        let mut at = now;
        loop {
            let before = at;
            for (turns, most) in &counted {
                // As many within a span as there may be: not one more between them, nor less than a span away.
                let full = turns.windows(*most).map(|turns| (turns[0], turns[most - 1]));
                let full = full.filter(|(first, last)| last - first < ask.span);
                at =
                    full.fold(at, |at, (first, last)| if at > last - ask.span { at.max(first + ask.span) } else { at });
            }
            if at == before {
                break;
            }
        }
        let taken = at - now <= ask.patience;
        if taken {
            let place = self.0.partition_point(|(other, _)| *other <= at);
            self.0.insert(place, (at, ask.class));
        }
        let left = usize::try_from(ask.most[0]).unwrap_or(usize::MAX).saturating_sub(self.0.len());
        Slot { taken, wait: at - now, left: u32::try_from(left).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: i64 = 1_000_000;

    fn ask(class: u8, most: [u32; 3]) -> Ask {
        Ask { class, most, patience: i64::MAX, span: SPAN }
    }

    #[test]
    fn an_idle_budget_serves_its_first_calls_at_once() {
        let mut window = Window::default();
        let waits: Vec<_> = (0..21).map(|_| window.take(5, ask(1, [20; 3])).wait).collect();
        assert_eq!((&waits[..20], waits[20]), ([0; 20].as_slice(), SPAN));
        assert_eq!(window.take(5 + SPAN, ask(1, [20; 3])).wait, 0);
    }

    #[test]
    fn a_share_is_kept_for_urgent_kills_and_too_long_a_wait_spends_nothing() {
        let (mut window, most) = (Window::default(), [20, 16, 4]);
        assert!((0..4).all(|_| window.take(0, ask(2, most)).wait == 0));
        assert_eq!(window.take(0, ask(2, most)).wait, SPAN, "reads have their own share");
        let mut window = Window::default();
        assert!((0..4).all(|_| window.take(0, ask(2, most)).wait == 0));
        assert!((0..12).all(|_| window.take(0, ask(1, most)).wait == 0), "and it is part of what is not urgent");
        let impatient = Ask { patience: 10, ..ask(1, most) };
        assert_eq!(window.take(0, impatient), Slot { taken: false, wait: SPAN, left: 4 });
        assert!((0..4).all(|_| window.take(0, ask(0, most)).wait == 0));
        assert_eq!(window.take(0, ask(0, most)).wait, SPAN);
    }

    #[test]
    fn what_waits_for_a_later_turn_takes_nothing_from_who_can_have_an_earlier_one() {
        let (mut window, most) = (Window::default(), [5, 4, 1]);
        let waits: Vec<_> = (0..7).map(|_| window.take(0, ask(1, most)).wait).collect();
        assert_eq!(waits, [0, 0, 0, 0, SPAN, SPAN, SPAN]);
        assert_eq!(window.take(SPAN / 2, ask(0, most)).wait, 0);
        assert_eq!(window.take(SPAN / 2, ask(0, most)).wait, SPAN / 2);
        assert_eq!(window.take(SPAN / 2, ask(0, most)).wait, SPAN, "after the one half a span ahead");
    }

    proptest! {
        #[test]
        fn no_span_ever_holds_more_than_the_limit(
            steps in prop::collection::vec((0_i64..200_000, 0_u8..3), 1..200),
            all in 1_u32..30,
            reserved in 0_u32..10,
            reads in 1_u32..10,
        ) {
            let most = [all, all.saturating_sub(reserved).max(1), reads];
            let (mut window, mut now, mut taken) = (Window::default(), 0, Vec::new());
            for (pause, class) in steps {
                now += pause;
                taken.push((now + window.take(now, ask(class, most)).wait, class));
            }
            taken.sort_unstable();
            for (at, _) in &taken {
                let within = taken.iter().filter(|(other, _)| (at..&(at + SPAN)).contains(&other));
                let classes: Vec<u8> = within.map(|(_, class)| *class).collect();
                let from = |first: u8| classes.iter().filter(|class| **class >= first).count();
                prop_assert!(from(0) <= most[0] as usize, "{classes:?}");
                prop_assert!(from(1) <= most[1] as usize && from(2) <= most[2] as usize, "{classes:?}");
            }
        }
    }
}
