//! Status messages in the odd orders in which BuildKit sends them.

use super::*;

fn at(seconds: i64) -> Option<protobuf::Timestamp> {
    Some(protobuf::Timestamp { seconds, nanos: 0 })
}

fn vertex(digest: &str, started: Option<i64>, completed: Option<i64>) -> Vertex {
    Vertex {
        digest: digest.to_owned(),
        name: format!("name of {digest}"),
        started: started.and_then(at),
        completed: completed.and_then(at),
        ..Vertex::default()
    }
}

fn log(digest: &str, stream: i64, msg: &[u8]) -> VertexLog {
    VertexLog { vertex: digest.to_owned(), timestamp: at(0), stream, msg: msg.to_vec() }
}

fn apply(progress: &mut Progress, vertexes: Vec<Vertex>, logs: Vec<VertexLog>) -> Vec<String> {
    let events = progress.apply(&StatusResponse { vertexes, logs, ..StatusResponse::default() });
    events.iter().map(show).collect()
}

fn show(event: &Event) -> String {
    match event {
        Event::Step(step) => {
            let seconds =
                |time: Option<Timestamp>| time.map_or("-".to_owned(), |it| it.as_second().to_string());
            format!("#{} {:?} {}..{}", step.number, step.name, seconds(step.started), seconds(step.completed))
        }
        Event::Line(line) => format!("#{} | {}", line.step, String::from_utf8_lossy(&line.bytes)),
    }
}

#[test]
fn steps_are_numbered_as_they_begin_and_told_when_they_change() {
    let mut progress = Progress::default();
    let all = vec![vertex("a", None, None), vertex("b", Some(1), None)];
    assert_eq!(apply(&mut progress, all.clone(), vec![]), ["#1 \"name of b\" 1..-"]);
    assert_eq!(apply(&mut progress, all, vec![]), [""; 0], "nothing changed");
    let next = vec![vertex("a", Some(2), Some(2)), vertex("b", Some(1), Some(3))];
    assert_eq!(apply(&mut progress, next, vec![]), ["#2 \"name of a\" 2..2", "#1 \"name of b\" 1..3"]);
    let again = vec![vertex("a", Some(4), None)];
    assert_eq!(apply(&mut progress, again, vec![]), ["#2 \"name of a\" 4..-"]);
}

#[test]
fn cached_and_error_are_part_of_a_step() {
    let mut progress = Progress::default();
    let status = |vertex| StatusResponse { vertexes: vec![vertex], ..StatusResponse::default() };
    progress.apply(&status(vertex("a", Some(1), Some(1))));
    let cached = Vertex { cached: true, ..vertex("a", Some(1), Some(1)) };
    assert!(matches!(progress.apply(&status(cached))[..], [Event::Step(Step { cached: true, .. })]));
    let failed = Vertex { error: "exit code: 1".to_owned(), ..vertex("a", Some(1), Some(1)) };
    progress.apply(&status(failed));
    assert_eq!(progress.step("a").unwrap().error.as_deref(), Some("exit code: 1"));
}

#[test]
fn lines_come_per_step_and_stream() {
    let mut progress = Progress::default();
    apply(&mut progress, vec![vertex("a", Some(1), None), vertex("b", Some(1), None)], vec![]);
    let logs =
        vec![log("a", 1, b"out"), log("a", 2, b"err\n"), log("b", 1, b"other\n"), log("a", 1, b"put\n")];
    assert_eq!(apply(&mut progress, vec![], logs), ["#1 | err", "#2 | other", "#1 | output"]);
}

#[test]
fn a_completed_step_flushes_what_it_began() {
    let mut progress = Progress::default();
    apply(&mut progress, vec![vertex("a", Some(1), None)], vec![log("a", 1, b"begun")]);
    let events = apply(&mut progress, vec![vertex("a", Some(1), Some(2))], vec![log("a", 1, b" and ended")]);
    assert_eq!(events, ["#1 \"name of a\" 1..2", "#1 | begun and ended"]);
    assert_eq!(progress.finish(), []);
    assert_eq!(progress.last_lines("a"), ["begun and ended"]);
}

#[test]
fn a_log_may_come_before_its_vertex() {
    let mut progress = Progress::default();
    assert_eq!(apply(&mut progress, vec![], vec![log("a", 1, b"early")]), ["#1 \"\" -..-"]);
    assert_eq!(apply(&mut progress, vec![vertex("a", None, None)], vec![]), ["#1 \"name of a\" -..-"]);
    assert_eq!(progress.finish().iter().map(show).collect::<Vec<_>>(), ["#1 | early"]);
}

#[test]
fn only_the_last_lines_are_kept() {
    let mut progress = Progress::default();
    let output: String = (0..200).map(|n| format!("{n}\n")).collect();
    apply(&mut progress, vec![vertex("a", Some(1), None)], vec![log("a", 1, output.as_bytes())]);
    let kept = progress.last_lines("a");
    assert_eq!((kept.len(), kept.last().map(String::as_str)), (LINES_MAX, Some("199")));
}

#[test]
fn a_step_names_the_steps_it_needs() {
    let mut progress = Progress::default();
    let of = |digest: &str, inputs: &[&str], started| Vertex {
        inputs: inputs.iter().map(|&it| it.to_owned()).collect(),
        ..vertex(digest, started, started)
    };
    let vertexes = vec![
        of("base", &[], Some(1)),
        of("context", &[], Some(1)),
        // It never begins: what it needs is needed by those that need it.
        of("merge", &["base", "context", "unknown"], None),
        of("run", &["merge", "base"], Some(2)),
    ];
    let events = progress.apply(&StatusResponse { vertexes, ..StatusResponse::default() });
    let inputs: Vec<_> = events
        .iter()
        .filter_map(
            |event| if let Event::Step(step) = event { Some((step.number, &step.inputs[..])) } else { None },
        )
        .collect();
    assert_eq!(inputs, [(1, &[][..]), (2, &[]), (3, &[1, 2])]);
}

#[test]
fn no_secret_is_told() {
    let redactor = Redactor::new([("TOKEN", &b"hunter2-hunter2"[..])]);
    let mut progress = Progress::new(redactor, Names::default());
    let failed = Vertex {
        name: "RUN echo hunter2-hunter2".to_owned(),
        error: "process \"echo hunter2-hunter2\"".to_owned(),
        ..vertex("a", Some(1), Some(2))
    };
    let logs = vec![log("a", 1, b"it is hunter2-"), log("a", 1, b"hunter2!\n")];
    let mut events =
        progress.apply(&StatusResponse { vertexes: vec![failed], logs, ..StatusResponse::default() });
    events.extend(progress.finish());
    let told = format!("{events:?} {:?}", progress.last_lines("a"));
    assert!(!told.contains("hunter2") && told.contains("TOKEN"), "{told}");
    assert_eq!(progress.last_lines("a"), ["it is [secret TOKEN]!"]);
}
