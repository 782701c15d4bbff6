//! Holds what could be told until it is time to.

use super::{Change, Found, Kind};
use crate::ids::SessionId;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A state is told when it has held for so long.
    pub dwell: SignedDuration,
    /// The same kind of thing about a session is told again after so long.
    pub cooldown: SignedDuration,
}

/// Something to tell, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Whose.
    pub session: SessionId,
    /// The entry of the log that it comes from.
    pub event: u64,
    /// What.
    pub found: Found,
}

impl Draft {
    /// What it is told by once.
    pub fn key(&self) -> String {
        self.found.key.clone().unwrap_or_else(|| format!("{}-{}", self.event, self.found.kind))
    }
}

/// Watches the states of all sessions.
#[derive(Debug, Default)]
pub struct Watcher {
    sessions: BTreeMap<SessionId, Session>,
}

#[derive(Debug, Default)]
struct Session {
    pending: Option<Pending>,
    /// What is so and was told.
    standing: Option<Found>,
    /// When each kind was told last.
    told: BTreeMap<Kind, Timestamp>,
}

#[derive(Debug)]
struct Pending {
    found: Found,
    event: u64,
    since: Timestamp,
}

impl Session {
    fn now(&mut self, found: Found, event: u64, at: Timestamp) {
        if let Some(told) = self.standing.as_mut().filter(|told| is_same(told, &found)) {
            *told = found;
            return;
        }
        self.standing = None;
        match self.pending.as_mut().filter(|pending| is_same(&pending.found, &found)) {
            // Only better known than before.
            Some(pending) => pending.found = found,
            None => self.pending = Some(Pending { found, event, since: at }),
        }
    }
}

/// Whether both are the same thing, told twice by different sources.
fn is_same(a: &Found, b: &Found) -> bool {
    a.kind == b.kind && (a.about == b.about || a.about.is_empty() || b.about.is_empty())
}

impl Pending {
    fn due(&self, told: &BTreeMap<Kind, Timestamp>, timing: Timing) -> Timestamp {
        let later = |at: Timestamp, by: SignedDuration| at.checked_add(by).unwrap_or(Timestamp::MAX);
        let held = later(self.since, timing.dwell);
        told.get(&self.found.kind).map_or(held, |told| held.max(later(*told, timing.cooldown)))
    }
}

impl Watcher {
    /// Takes an entry of the log. Something that happened is to be told at once; a state is told by [`Self::due`].
    pub fn take(&mut self, session: &SessionId, event: u64, at: Timestamp, change: Change) -> Option<Draft> {
        match change {
            Change::Happened(found) => Some(Draft { session: session.clone(), event, found }),
            Change::Now(found) => {
                self.sessions.entry(session.clone()).or_default().now(found, event, at);
                None
            }
            Change::Over | Change::Dropped => {
                if let Some(known) = self.sessions.get_mut(session) {
                    (known.pending, known.standing) = (None, None);
                }
                None
            }
        }
    }

    /// What has held for long enough. Each is given once.
    pub fn due(&mut self, now: Timestamp, timing: Timing) -> Vec<Draft> {
        // What was told too long ago to hold anything back is forgotten, and so are sessions of which nothing is left.
        self.sessions.retain(|_, known| {
            known.told.retain(|_, told| now.duration_since(*told) < timing.cooldown);
            known.pending.is_some() || known.standing.is_some() || !known.told.is_empty()
        });
        let mut drafts = Vec::new();
        for (session, known) in &mut self.sessions {
            if let Some(ready) = known.pending.take_if(|pending| pending.due(&known.told, timing) <= now) {
                known.told.insert(ready.found.kind, now);
                known.standing = Some(ready.found.clone());
                drafts.push(Draft { session: session.clone(), event: ready.event, found: ready.found });
            }
        }
        drafts
    }

    /// When there may be something to tell.
    pub fn next_due(&self, timing: Timing) -> Option<Timestamp> {
        let pending = |known: &Session| Some(known.pending.as_ref()?.due(&known.told, timing));
        self.sessions.values().filter_map(pending).min()
    }

    /// The oldest entry of the log that has not come out yet: after a restart it has to be read again.
    pub fn oldest_pending(&self) -> Option<u64> {
        self.sessions.values().filter_map(|known| Some(known.pending.as_ref()?.event)).min()
    }

    /// What was told before this watcher began.
    pub fn was_told(&mut self, session: &SessionId, kind: Kind, at: Timestamp) {
        let told = self.sessions.entry(session.clone()).or_default().told.entry(kind).or_insert(at);
        *told = at.max(*told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing =
        Timing { dwell: SignedDuration::from_secs(3), cooldown: SignedDuration::from_secs(30) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn now(kind: Kind) -> Change {
        asked(kind, "")
    }

    fn asked(kind: Kind, about: &str) -> Change {
        Change::Now(Found { kind, body: String::new(), about: about.into(), key: None })
    }

    /// Plays entries at their seconds, asks at every second, and gives the seconds at which something was told.
    fn play(entries: &[(i64, Change)], until: i64) -> Vec<(i64, Kind)> {
        let (mut watcher, session) = (Watcher::default(), SessionId::from_bits(1));
        let mut told = Vec::new();
        for second in 0..=until {
            for (n, (_, change)) in entries.iter().enumerate().filter(|(_, (when, _))| *when == second) {
                let happened = watcher.take(&session, n as u64, at(second), change.clone());
                told.extend(happened.map(|draft| (second, draft.found.kind)));
            }
            let next = watcher.next_due(TIMING);
            let due = watcher.due(at(second), TIMING);
            assert_eq!(next.is_some_and(|next| next <= at(second)), !due.is_empty(), "at {second}");
            told.extend(due.into_iter().map(|draft| (second, draft.found.kind)));
        }
        told
    }

    #[test]
    fn a_state_is_told_when_it_has_held_and_only_once() {
        use Kind::{Crashed, PermissionRequired, TurnCompleted};
        assert_eq!(play(&[(0, now(TurnCompleted))], 100), [(3, TurnCompleted)]);
        assert_eq!(play(&[(0, now(TurnCompleted)), (2, Change::Over)], 100), []);
        assert_eq!(play(&[(0, now(TurnCompleted)), (2, Change::Dropped)], 100), []);
        assert_eq!(play(&[(0, now(TurnCompleted)), (2, now(Crashed))], 100), [(5, Crashed)]);
        let both = [(0, now(PermissionRequired)), (10, now(TurnCompleted))];
        assert_eq!(play(&both, 100), [(3, PermissionRequired), (13, TurnCompleted)]);
    }

    #[test]
    fn one_that_flaps_is_told_once_in_a_cooldown_and_what_still_holds_then_is_not_lost() {
        use Kind::PermissionRequired as Ask;
        let flaps: Vec<(i64, Change)> =
            (0..100).map(|second| (second, if second % 2 == 0 { now(Ask) } else { Change::Over })).collect();
        assert_eq!(play(&flaps, 110), [], "it never holds for three seconds");
        let slow: Vec<(i64, Change)> =
            (0..20).map(|n| (n * 5, if n % 2 == 0 { now(Ask) } else { Change::Over })).collect();
        assert_eq!(play(&slow, 110), [(3, Ask), (33, Ask), (63, Ask), (93, Ask)]);
        assert_eq!(play(&[(0, now(Ask)), (5, Change::Over), (10, now(Ask))], 110), [(3, Ask), (33, Ask)]);
    }

    #[test]
    fn a_question_that_becomes_known_bit_by_bit_is_one_and_the_next_is_another() {
        use Kind::PermissionRequired as Ask;
        let seen_first =
            [(0, asked(Ask, "")), (2, asked(Ask, "a")), (5, asked(Ask, "a")), (9, asked(Ask, ""))];
        assert_eq!(play(&seen_first, 100), [(3, Ask)]);
        let known_late = [(0, asked(Ask, "")), (5, asked(Ask, "a"))];
        assert_eq!(play(&known_late, 100), [(3, Ask)]);
        let one_after_the_other = [(0, asked(Ask, "a")), (5, asked(Ask, "b"))];
        assert_eq!(play(&one_after_the_other, 100), [(3, Ask), (33, Ask)]);
        let again = [(0, asked(Ask, "a")), (5, Change::Over), (50, asked(Ask, "a"))];
        assert_eq!(play(&again, 100), [(3, Ask), (53, Ask)]);
    }

    #[test]
    fn what_happened_is_told_at_once() {
        let budget = Change::Happened(Found {
            kind: Kind::BudgetReached,
            body: String::new(),
            about: String::new(),
            key: None,
        });
        let entries = [(5, budget.clone()), (5, now(Kind::TurnCompleted)), (6, budget)];
        let told = [(5, Kind::BudgetReached), (6, Kind::BudgetReached), (8, Kind::TurnCompleted)];
        assert_eq!(play(&entries, 50), told);
    }

    #[test]
    fn a_restart_reads_on_from_what_had_not_come_out() {
        let (mut watcher, session) = (Watcher::default(), SessionId::from_bits(1));
        assert_eq!(watcher.oldest_pending(), None);
        watcher.take(&session, 7, at(0), now(Kind::Crashed));
        watcher.take(&SessionId::from_bits(2), 9, at(0), now(Kind::Crashed));
        assert_eq!(watcher.oldest_pending(), Some(7));
        watcher.was_told(&session, Kind::Crashed, at(1));
        let told = watcher.due(at(10), TIMING);
        assert_eq!(told.iter().map(|draft| draft.event).collect::<Vec<_>>(), [9], "the other cools down");
        assert_eq!(watcher.oldest_pending(), Some(7));
        assert_eq!(watcher.due(at(31), TIMING)[0].key(), "7-session.crashed");
        assert_eq!(watcher.next_due(TIMING), None);
    }

    #[test]
    fn nothing_is_kept_of_sessions_that_are_quiet() {
        let mut watcher = Watcher::default();
        for n in 0..1_000 {
            watcher.take(&SessionId::from_bits(n), u64::from(n), at(0), now(Kind::Crashed));
        }
        assert_eq!(watcher.due(at(5), TIMING).len(), 1_000);
        for n in 0..1_000 {
            watcher.take(&SessionId::from_bits(n), 1_000 + u64::from(n), at(6), Change::Over);
        }
        assert!(watcher.due(at(100), TIMING).is_empty());
        assert!(watcher.sessions.is_empty());
    }
}
