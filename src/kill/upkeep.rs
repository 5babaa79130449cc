//! What a gateway does besides kills as they come: settling open ones, looking who came back, tidying up.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::Gate;

/// How often open kills are looked for.
const EVERY: Duration = Duration::from_millis(500);
/// How often partitions are made ahead and what ran out is forgotten.
const TIDY: Duration = Duration::from_hours(1);

/// Works until the runtime ends.
pub(super) async fn upkeep(gate: Arc<Gate>) {
    let (mut ticks, mut tidying) = (interval(EVERY), interval(TIDY));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tidying.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reconciler = &gate.reconciler;
    let recurrence = &gate.looks.recurrence;
    let (mut settling, mut watching) = (JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                reconciler.claim_due(&mut settling).await;
                if recurrence.is_on() {
                    recurrence.take_due(&mut watching).await;
                }
            }
            _ = tidying.tick() => {
                gate.callers.forget_idle();
                gate.policy.caps.forget_idle(gate.clock.now());
                reconciler.tidy().await;
                if !recurrence.is_on() {
                    // Watches from when it was on: they end.
                    recurrence.take_due(&mut watching).await;
                }
            }
        }
    }
}
