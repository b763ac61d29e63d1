//! What a child process prints: listened to, counted, and kept within bounds.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes that are kept of the beginning, and as many of the end.
const KEPT: usize = 1 << 20;

/// How long what a child's own children still print is waited for once it has ended.
const LINGER: Duration = Duration::from_secs(1);

/// What was heard so far.
#[derive(Default)]
struct Heard {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    bytes: u64,
    /// Nothing more is listened to.
    is_over: bool,
}

impl Heard {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(KEPT - self.head.len()));
        self.head.extend(head);
        self.tail.extend(rest);
        self.tail.drain(..self.tail.len().saturating_sub(KEPT));
    }

    fn text(&self) -> String {
        let left_out = self.bytes - (self.head.len() + self.tail.len()) as u64;
        let middle = if left_out > 0 { format!("\n[{left_out} bytes left out]\n") } else { String::new() };
        let (a, b) = self.tail.as_slices();
        // A program may print bytes that are no text; what it printed is only ever shown.
        String::from_utf8_lossy(&[&self.head[..], middle.as_bytes(), a, b].concat()).into_owned()
    }
}

/// What a process has printed.
pub(crate) struct Printed {
    /// All of it, or its beginning and its end.
    pub(crate) text: String,
    /// Whether it was more than [`Listener::LIMIT`].
    pub(crate) is_over_limit: bool,
}

/// Listens at one end of a pipe. Where it stops, whoever goes on printing into the other end is stopped by the system.
pub(crate) struct Listener {
    heard: Arc<Mutex<Heard>>,
    thread: JoinHandle<()>,
}

impl Listener {
    /// Bytes that a process may print.
    pub(crate) const LIMIT: u64 = 64 << 20;

    /// A listener, and the end to print into.
    ///
    /// # Errors
    /// The system has no pipe left, or no thread.
    pub(crate) fn start() -> io::Result<(Self, PipeWriter)> {
        let (reader, writer) = io::pipe()?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let shared = Arc::clone(&heard);
        let thread = std::thread::Builder::new().spawn(move || listen(reader, &shared))?;
        Ok((Self { heard, thread }, writer))
    }

    /// Whether more was printed than [`Self::LIMIT`].
    pub(crate) fn is_over_limit(&self) -> bool {
        lock(&self.heard).bytes > Self::LIMIT
    }

    /// What was printed by a process that has ended.
    pub(crate) fn finish(self) -> Printed {
        // Its children may hold the pipe and never end.
        let start = Instant::now();
        while !self.thread.is_finished() && start.elapsed() < LINGER {
            std::thread::sleep(Duration::from_millis(1));
        }
        let heard = lock(&self.heard);
        Printed { text: heard.text(), is_over_limit: heard.bytes > Self::LIMIT }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        lock(&self.heard).is_over = true;
    }
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(mut reader: PipeReader, heard: &Mutex<Heard>) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let mut heard = lock(heard);
        if heard.is_over {
            return;
        }
        heard.add(&buffer[..read]);
        if heard.bytes > Listener::LIMIT {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn check(bytes: &[u8]) -> Printed {
        let (listener, mut end) = Listener::start().unwrap();
        // Where the listener has had enough, writing fails.
        let _ = end.write_all(bytes);
        drop(end);
        listener.finish()
    }

    #[test]
    fn what_is_short_is_kept_whole_and_of_the_rest_both_ends() {
        let printed = check(b"a\xffb\n");
        assert_eq!((printed.text.as_str(), printed.is_over_limit), ("a\u{fffd}b\n", false));
        let mut long = vec![b'.'; 5 << 20];
        long[..2].copy_from_slice(b"ab");
        long[(5 << 20) - 2..].copy_from_slice(b"yz");
        let printed = check(&long);
        assert!(!printed.is_over_limit && printed.text.starts_with("ab.") && printed.text.ends_with(".yz"));
        assert!(printed.text.contains("[3145728 bytes left out]") && printed.text.len() < (2 << 20) + 100);
    }

    #[test]
    fn what_has_no_end_is_cut_off() {
        assert!(check(&vec![0; (65 << 20) as usize]).is_over_limit);
    }
}
