//! The place of a kill as its looks found it: later looks go there, whatever is the primary by then.

use crate::{
    audit::KillEvent,
    dispatch::runner::Runner,
    domain::{Division, Found, Target, split_id},
};

/// What of the place the last look before the kill had found out.
pub(super) fn found(events: &[KillEvent]) -> Found {
    let looks = events.iter().rev().filter_map(|event| event.look.as_ref());
    looks.map(|look| &look.found).find(|found| !found.is_empty()).cloned().unwrap_or_default()
}

/// Makes a target the place that was found: another one, such as the node that is the primary by now, tells nothing of the
/// sessions that were there.
pub(super) fn stand_at(target: &mut Target, runner: &Runner, found: &Found) {
    let is_of_places = target.division().is_some();
    let known = runner.able.coordinates.iter().filter_map(|coordinate| {
        // Of several shards a node is told with its shard.
        let is_one = |value: &str| (coordinate.check)(split_id(value).1);
        let is_each = |value: &String| value.split(',').all(is_one) && Division::named_by(coordinate.name).is_none();
        let is_well = |value: &&String| (coordinate.check)(value) || is_of_places && is_each(value);
        let value = found.get(coordinate.name).filter(is_well)?;
        Some((coordinate.name, value.clone()))
    });
    target.coordinates.extend(known);
}
