//! Tells what a long step does, gives a sign of life while it runs, and says how long it took.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::command;

/// A person waits half a minute in silence before wondering.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// Runs `work` and reports on it. `log` is where its output goes.
pub(crate) fn step<T>(
    what: &str,
    log: Option<&Path>,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    match log {
        Some(log) => say(&format!(".. {what} (log: {})", log.display())),
        None => say(&format!(".. {what}")),
    }
    let (done, ticks) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        scope.spawn(move || {
            while ticks.recv_timeout(SIGN_OF_LIFE) == Err(RecvTimeoutError::Timeout) {
                say(&format!("   {what}: {} so far{}", elapsed(begun.elapsed()), last_line(log)));
            }
        });
        let result = work();
        drop(done);
        result
    });
    let outcome = if result.is_ok() { "ok" } else { "!!" };
    say(&format!("{outcome} {what}: {}", elapsed(begun.elapsed())));
    result
}

/// Writes a line. Whoever closes our output, as `head` does, has read enough: that is no error.
pub(crate) fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}

/// A fact on the way that took no time.
pub(crate) fn note(text: &str) {
    say(&format!("   {text}"));
}

/// `0.4 s`, `41 s`, `3 min 20 s`.
pub(crate) fn elapsed(time: Duration) -> String {
    match time.as_secs() {
        0..=9 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 10..=119 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

fn last_line(log: Option<&Path>) -> String {
    let last = log.map(|log| command::tail(log, 1)).unwrap_or_default();
    let shown: String = last.trim().chars().take(80).collect();
    if shown.is_empty() { String::new() } else { format!(", at: {shown}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_a_person_says_them() {
        assert_eq!(elapsed(Duration::from_millis(440)), "0.4 s");
        assert_eq!(elapsed(Duration::from_secs(41)), "41 s");
        assert_eq!(elapsed(Duration::from_secs(200)), "3 min 20 s");
    }
}
