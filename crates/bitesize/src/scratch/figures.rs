//! What came of each epoch, as a table and for TensorBoard.

use super::checkpoint::EpochOutcome;
use crate::run::events::Events;
use std::fmt::Write as _;

/// The text of `losses.csv`.
pub(super) fn table(epochs: &[EpochOutcome]) -> String {
    let mut text = "epoch,loss,held_out_loss,held_out_top1,rate\n".to_owned();
    for (number, epoch) in (1..).zip(epochs) {
        let EpochOutcome { loss, held_out_loss, held_out_top1, rate, .. } = epoch;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{number},{loss},{held_out_loss},{held_out_top1},{rate}");
    }
    text
}

/// The same for TensorBoard.
pub(super) fn events(epochs: &[EpochOutcome]) -> Vec<u8> {
    let mut events = Events::new(epochs.first().map_or(0.0, |epoch| epoch.ended - epoch.seconds));
    for (number, epoch) in (1..).zip(epochs) {
        let EpochOutcome { loss, held_out_loss, held_out_top1, rate, .. } = *epoch;
        let values = [
            ("train/loss", loss),
            ("train/rate", rate),
            ("held_out/loss", held_out_loss),
            ("held_out/top1", held_out_top1),
        ];
        events.add(epoch.ended, number, &values);
    }
    events.into_bytes()
}
