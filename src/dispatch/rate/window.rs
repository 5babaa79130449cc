//! The sliding window that permits are taken from: a pure function of what was taken before.
//!
//! The migration's `take_turns` does the same in Postgres, under the lock of the budget's row.

use crate::audit::{Ask, Rate, Slot};

impl Ask {
    fn rates(&self) -> impl Iterator<Item = Rate> + Clone {
        [Rate { most: self.most, span: self.span }].into_iter().chain(self.longer)
    }
}

/// Permits that were taken for one moment by one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    at: i64,
    class: u8,
    count: u32,
}

/// The permits of one budget, in order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window(Vec<Taken>);

/// Where there are more permits in a span than this, moments are kept as the beginning of their grain, of which a span has
/// as many: however many permits there are, only so many moments have to be looked at. What is then kept to is a span less
/// one grain.
const GRAINS: u32 = 200;

impl Window {
    /// Takes the next permits from `now` on, in microseconds of any clock that never goes back.
    ///
    /// Their moment is the earliest that fits: no span, wherever it begins, then holds more permits of the asking class
    /// and those after it than there may be, nor of any class before it and those after that. Permits that lie ahead
    /// count where they stand, so what waits for a later permit takes nothing from who can have an earlier one. Several
    /// are only given at once where nobody has to wait for them: ahead of time each gateway has its one.
    pub fn take(&mut self, now: i64, ask: Ask) -> Slot {
        self.take_from(now, now, ask)
    }

    /// The same for permits that shall not come before a moment.
    pub fn take_from(&mut self, now: i64, from: i64, ask: Ask) -> Slot {
        let longest = ask.rates().map(|rate| rate.span).max().unwrap_or(ask.span);
        self.0.retain(|permit| permit.at > now - longest);
        // Room comes back where a span that began with a permit ends.
        let ends = self.0.iter().flat_map(|permit| ask.rates().map(move |rate| permit.at + rate.span));
        let mut later: Vec<i64> = ends.filter(|at| *at > from).collect();
        later.sort_unstable();
        let mut moments = [from].into_iter().chain(later);
        let (at, room) =
            moments.find_map(|at| Some((at, self.room(at, ask))).filter(|(_, room)| *room > 0)).unwrap_or((from, 0));
        let many = if at > from { 1 } else { ask.many.max(1) };
        let taken = if at - now <= ask.patience { many.min(room) } else { 0 };
        if taken > 0 {
            let grain = if ask.most[0] > GRAINS { (ask.span / i64::from(GRAINS)).max(1) } else { 1 };
            self.insert(at - at.rem_euclid(grain), ask.class, taken);
        }
        let held = self.0.iter().filter(|permit| permit.at > now - ask.span).map(|permit| permit.count).sum();
        Slot { taken, wait: at - now, left: ask.most[0].saturating_sub(held) }
    }

    /// How many permits fit at that moment under every rate.
    fn room(&self, at: i64, ask: Ask) -> u32 {
        ask.rates().map(|rate| self.room_in(at, ask.class, rate)).min().unwrap_or(0)
    }

    fn room_in(&self, at: i64, class: u8, ask: Rate) -> u32 {
        let room = (0..=class).zip(ask.most).map(|(class, most)| {
            let counted = || self.0.iter().filter(|permit| permit.class >= class);
            // Of the spans that hold the moment, one that begins with a permit, or with the moment itself, is fullest.
            let begins = counted().map(|permit| permit.at).filter(|begin| (at - ask.span + 1..at).contains(begin));
            let held = begins.chain([at]).map(|begin| {
                let within = counted().filter(|permit| (begin..begin + ask.span).contains(&permit.at));
                within.map(|permit| permit.count).sum::<u32>()
            });
            most.max(1).saturating_sub(held.max().unwrap_or(0))
        });
        room.min().unwrap_or(0)
    }

    fn insert(&mut self, at: i64, class: u8, count: u32) {
        let place = self.0.partition_point(|other| (other.at, other.class) < (at, class));
        match self.0.get_mut(place).filter(|other| (other.at, other.class) == (at, class)) {
            Some(same) => same.count += count,
            None => self.0.insert(place, Taken { at, class, count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: i64 = 1_000_000;

    fn ask(class: u8, most: [u32; 3]) -> Ask {
        Ask { class, most, many: 1, patience: i64::MAX, span: SPAN, longer: None }
    }

    #[test]
    fn a_limit_over_a_longer_span_holds_beside_the_shorter_one() {
        let longer = Some(Rate { most: [3, 2, 1], span: 60 * SPAN });
        let ask = |class| Ask { longer, ..ask(class, [2, 2, 2]) };
        let mut window = Window::default();
        assert_eq!(window.take(0, ask(2)).wait, 0);
        assert_eq!(window.take(0, ask(2)).wait, 60 * SPAN, "a minute's share of reads is spent");
        let mut window = Window::default();
        let waits: Vec<_> = (0..4).map(|_| window.take(0, ask(0)).wait).collect();
        assert_eq!(waits, [0, 0, SPAN, 60 * SPAN]);
        assert_eq!(window.take(50 * SPAN, Ask { patience: SPAN, ..ask(0) }).taken, 0);
    }

    #[test]
    fn a_permit_that_shall_not_come_before_a_moment_comes_then_or_where_there_is_room() {
        let mut window = Window::default();
        assert_eq!(window.take_from(0, 70, ask(0, [1; 3])).wait, 70);
        assert_eq!(window.take_from(10, 80, ask(0, [1; 3])).wait, 60 + SPAN);
        assert_eq!(window.take_from(20, 70 - SPAN, ask(0, [1; 3])).wait, -SPAN + 50, "before the first");
    }

    #[test]
    fn an_idle_budget_serves_its_first_calls_at_once() {
        let mut window = Window::default();
        let waits: Vec<_> = (0..21).map(|_| window.take(0, ask(1, [20; 3])).wait).collect();
        assert_eq!((&waits[..20], waits[20]), ([0; 20].as_slice(), SPAN));
        assert_eq!(window.take(SPAN, ask(1, [20; 3])).wait, 0);
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
        assert_eq!(window.take(0, impatient), Slot { taken: 0, wait: SPAN, left: 4 });
        assert!((0..4).all(|_| window.take(0, ask(0, most)).wait == 0));
        assert_eq!(window.take(0, ask(0, most)).wait, SPAN);
    }

    #[test]
    fn what_waits_for_a_later_permit_takes_nothing_from_who_can_have_an_earlier_one() {
        let (mut window, most) = (Window::default(), [5, 4, 1]);
        let waits: Vec<_> = (0..7).map(|_| window.take(0, ask(1, most)).wait).collect();
        assert_eq!(waits, [0, 0, 0, 0, SPAN, SPAN, SPAN]);
        assert_eq!(window.take(SPAN / 2, ask(0, most)).wait, 0);
        assert_eq!(window.take(SPAN / 2, ask(0, most)).wait, SPAN / 2);
        assert_eq!(window.take(SPAN / 2, ask(0, most)).wait, SPAN, "after the one half a span ahead");
    }

    #[test]
    fn several_permits_at_once_are_given_where_nobody_waits_and_no_more_than_fit() {
        let (mut window, most) = (Window::default(), [20, 16, 4]);
        let many = |class, many| Ask { many, ..ask(class, most) };
        assert_eq!(window.take(0, many(1, 10)), Slot { taken: 10, wait: 0, left: 10 });
        assert_eq!(window.take(SPAN / 2, many(1, 10)), Slot { taken: 6, wait: 0, left: 4 });
        assert_eq!(window.take(SPAN / 2, many(1, 10)), Slot { taken: 1, wait: SPAN / 2, left: 3 });
        assert_eq!(window.take(SPAN / 2, many(0, 10)), Slot { taken: 4, wait: 0, left: 0 }, "kept for them");
        assert_eq!(window.take(SPAN, many(1, 100)), Slot { taken: 9, wait: 0, left: 0 }, "one was taken ahead of time");
    }

    #[test]
    fn a_large_budget_keeps_few_moments_and_its_limit_over_a_span_less_one_grain() {
        let (mut window, most) = (Window::default(), [500, 400, 100]);
        let taken: Vec<_> = (0..700).map(|n| n * 1466).map(|now| (now, window.take(now, ask(1, most)))).collect();
        assert!(window.0.len() <= 2 * GRAINS as usize, "{} moments", window.0.len());
        let mut at: Vec<i64> = taken.iter().map(|(now, slot)| now + slot.wait).collect();
        at.sort_unstable();
        assert!(at.windows(401).all(|permits| permits[400] - permits[0] >= SPAN - SPAN / i64::from(GRAINS)));
        assert!(at[400] - at[0] < SPAN + SPAN / i64::from(GRAINS), "and none is wasted");
    }

    proptest! {
        #[test]
        fn no_span_ever_holds_more_than_the_limit(
            steps in prop::collection::vec((0_i64..200_000, 0_u8..3, 0_u32..9), 1..200),
            all in 1_u32..30,
            reserved in 0_u32..10,
            reads in 1_u32..10,
            longer in prop::option::of((1_u32..40, 2_i64..20)),
        ) {
            let most = [all, all.saturating_sub(reserved).max(1), reads];
            let longer = longer.map(|(most, spans)| Rate { most: [most; 3], span: spans * SPAN });
            let (mut window, mut now, mut taken) = (Window::default(), 0, Vec::new());
            for (pause, class, many) in steps {
                now += pause;
                let slot = window.take(now, Ask { many, longer, ..ask(class, most) });
                taken.extend((0..slot.taken).map(|_| (now + slot.wait, class)));
            }
            taken.sort_unstable();
            for (at, _) in &taken {
                let within = taken.iter().filter(|(other, _)| (at..&(at + SPAN)).contains(&other));
                let classes: Vec<u8> = within.map(|(_, class)| *class).collect();
                let from = |first: u8| classes.iter().filter(|class| **class >= first).count();
                prop_assert!(from(0) <= most[0] as usize, "{classes:?}");
                prop_assert!(from(1) <= most[1] as usize && from(2) <= most[2] as usize, "{classes:?}");
                if let Some(Rate { most: [most, ..], span }) = longer {
                    let within = taken.iter().filter(|(other, _)| (at..&(at + span)).contains(&other));
                    prop_assert!(within.count() <= most as usize);
                }
            }
        }
    }
}
