//! Figures as TensorBoard reads them: `events.out.tfevents.*`.
//!
//! A file of records: length (u64, little endian), its masked CRC-32C, an `Event` message, its masked CRC-32C. Of `tensorflow/core/util/event.proto`
//! and `tensorflow/core/framework/summary.proto` four fields are written: an event's wall time (1), step (2), file version (3) and summary
//! (5), in which each value (1) has a tag (1) and a number (2).

/// What TensorBoard asks for in the first event.
const VERSION: &str = "brain.Event:2";

/// Gathers events.
#[derive(Debug)]
pub struct Events(Vec<u8>);

impl Events {
    /// Begins at `time`, in seconds since 1970.
    pub fn new(time: f64) -> Self {
        let mut events = Self(Vec::new());
        let mut event = Message::default();
        event.double(1, time);
        event.bytes(3, VERSION.as_bytes());
        events.record(&event.0);
        events
    }

    /// Adds `values`, by tag, of step `step`, which came at `time`.
    pub fn add(&mut self, time: f64, step: usize, values: &[(&str, f64)]) {
        let mut summary = Message::default();
        for (tag, value) in values {
            let mut of_value = Message::default();
            of_value.bytes(1, tag.as_bytes());
            of_value.float(2, *value as f32);
            summary.bytes(1, &of_value.0);
        }
        let mut event = Message::default();
        event.double(1, time);
        event.integer(2, step as u64);
        event.bytes(5, &summary.0);
        self.record(&event.0);
    }

    /// The file's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn record(&mut self, event: &[u8]) {
        let length = (event.len() as u64).to_le_bytes();
        self.0.extend(length);
        self.0.extend(masked(&length));
        self.0.extend_from_slice(event);
        self.0.extend(masked(event));
    }
}

/// The checksum of `bytes`, rotated and moved, so that one of bytes that hold checksums is none of them.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A protobuf message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.varint(value);
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form that `event.proto` gives; TensorBoard 2.21 reads a training's file.
    #[test]
    fn records_are_as_tensorboard_writes_them() {
        let mut events = Events::new(1.5);
        let first = events.0.len();
        events.add(2.0, 300, &[("loss", 0.25)]);
        let bytes = events.into_bytes();
        assert_eq!(first, 8 + 4 + 9 + 2 + VERSION.len() + 4);
        assert_eq!(bytes[..8], 24u64.to_le_bytes());
        let event = [
            &[0x09][..],
            &2f64.to_le_bytes(),
            &[0x10, 0xac, 0x02, 0x2a, 0x0d, 0x0a, 0x0b, 0x0a, 0x04],
            b"loss",
            &[0x15],
            &0.25f32.to_le_bytes(),
        ]
        .concat();
        assert_eq!(bytes[first..first + 8], (event.len() as u64).to_le_bytes());
        assert_eq!(bytes[first + 12..first + 12 + event.len()], event);
        // The check value of CRC-32C.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked(b"123456789"), 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes());
    }
}
