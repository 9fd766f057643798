//! Durations, sizes and names as people read them in a push.

use std::time::Duration;

use jiff::Timestamp;

/// Of a step's name.
const NAME_MAX: usize = 120;

/// `850 ms`, `1.9 s`, `2 min 5 s`, `1 h 2 min`.
pub(super) fn humane(duration: Duration) -> String {
    let (ms, seconds) = (duration.as_millis(), duration.as_secs());
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{seconds}.{} s", ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Of what is only estimated: `30 s`, `4 min`, `2 h`.
pub(super) fn about(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{} s", seconds.div_ceil(10).max(1) * 10),
        seconds @ 60..5400 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

/// How long something goes on already, in whole seconds.
pub(super) fn age(since: Timestamp, now: Timestamp) -> String {
    match u64::try_from(now.as_second() - since.as_second()).unwrap_or(0) {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => humane(Duration::from_secs(seconds)),
    }
}

/// `812 B`, `23.4 kB`, `41.2 MB`, `1.3 GB`.
pub(super) fn size(bytes: i64) -> String {
    let tenths = |unit: i64| format!("{}.{}", bytes / unit, bytes % unit / (unit / 10));
    match bytes {
        ..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{} kB", tenths(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", tenths(1_000_000)),
        _ => format!("{} GB", tenths(1_000_000_000)),
    }
}

/// As an image's digest is shown beside others.
pub(super) fn short_digest(digest: &str) -> &str {
    let end = digest.find(':').map_or(0, |colon| colon + 1) + 12;
    digest.get(..end).unwrap_or(digest)
}

/// One line of at most `max` characters.
pub(super) fn line(text: &str, max: usize) -> String {
    let one = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one.char_indices().nth(max) {
        Some(_) => one.chars().take(max - 1).chain(['…']).collect(),
        None => one,
    }
}

/// A step's name; a heredoc's is several lines long.
pub(super) fn step(name: &str) -> String {
    line(name.lines().next().unwrap_or_default(), NAME_MAX)
}

/// The command of a step without its place among the others: `RUN npm ci` of `[web 3/7] RUN npm ci`.
pub(super) fn command(name: &str) -> String {
    let short = step(name);
    match numbered(name).and_then(|_| short.split_once("] ")) {
        Some((_, command)) => command.to_owned(),
        None => short,
    }
}

/// The `3/7` of `[web 3/7] RUN npm ci`: a step of the Dockerfile, and not one that BuildKit made for itself.
pub(super) fn numbered(name: &str) -> Option<(u32, u32)> {
    let (place, _) = name.strip_prefix('[')?.split_once(']')?;
    let (number, of) = place.rsplit(' ').next()?.split_once('/')?;
    Some((number.parse().ok()?, of.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases =
            [(0, "0 ms"), (850, "850 ms"), (1_960, "1.9 s"), (59_999, "59.9 s"), (125_000, "2 min 5 s")];
        for (ms, text) in cases {
            assert_eq!(humane(Duration::from_millis(ms)), text);
        }
        assert_eq!(humane(Duration::from_secs(3_725)), "1 h 2 min");
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        assert_eq!(
            [age(at(0), at(30)), age(at(0), at(90)), age(at(9), at(0))],
            ["30 s", "1 min 30 s", "0 s"],
            "another machine's clock may be ahead"
        );
    }

    #[test]
    fn sizes() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (23_456, "23.4 kB"),
            (41_250_000, "41.2 MB"),
            (1_300_000_000, "1.3 GB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn digests() {
        assert_eq!(short_digest("sha256:1b2c3d4e5f60718293a4"), "sha256:1b2c3d4e5f60");
        assert_eq!(short_digest("sha256:1"), "sha256:1");
    }

    #[test]
    fn names_of_steps() {
        assert_eq!(numbered("[3/7] RUN npm ci"), Some((3, 7)));
        assert_eq!(numbered("[build 2/5] COPY . ."), Some((2, 5)));
        for name in ["[internal] load build context", "exporting to image", "[auth] a/b:pull token", "[", ""]
        {
            assert_eq!(numbered(name), None, "{name}");
        }
        assert_eq!(command("[build 2/5] RUN [ -f a ] || exit 1"), "RUN [ -f a ] || exit 1");
        assert_eq!(command("exporting to image"), "exporting to image");
        assert_eq!(step("[2/3] RUN <<EOF (apk add git)\napk add git\nEOF"), "[2/3] RUN <<EOF (apk add git)");
        assert_eq!(step(&"x".repeat(200)).chars().count(), NAME_MAX);
    }

    #[test]
    fn one_line() {
        assert_eq!(line("a\r\n b\tc", 10), "a b c");
        assert_eq!((line("äöü", 3), line("äöüß", 3)), ("äöü".to_owned(), "äö…".to_owned()));
    }
}
