//! The wire between a store function and PostgreSQL, and what may happen on it. Statements pass one at a time and are
//! counted, so a fault strikes the same one whenever the same seed is played.
//!
//! A connection that was cut ends for its client. The server's side of it is rolled back and given to the next client,
//! because a new session costs more than the whole life of a simulated platform.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut before the server has seen the statement.
    CutBefore,
    /// It is cut after the statement has run: whoever asked does not know.
    CutAfter,
    /// The statement is the victim of a deadlock.
    Deadlock,
}

/// It ends when this is dropped.
#[derive(Debug)]
pub struct Wire {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    plan: Mutex<Plan>,
    /// Sessions whose clients went.
    idle: Mutex<Vec<Session>>,
}

#[derive(Debug, Default)]
struct Plan {
    /// So many statements pass before it.
    armed: Option<(u32, Fault)>,
    struck: bool,
}

#[derive(Debug)]
struct Session {
    stream: BufReader<TcpStream>,
    /// What it said when it was ready first.
    greeting: Vec<u8>,
}

const READY: u8 = b'Z';
const AUTHENTICATION: u8 = b'R';
/// Those of the server's words on authentication that end it or tell of its end; all others want an answer.
const AUTHENTICATED: [u32; 2] = [0, 12];
const RESET: &str = "rollback; deallocate all";
const DEADLOCK: &str = "do $$ begin raise exception 'deadlock detected' using errcode = '40P01'; end $$";

pub async fn start(upstream: String) -> Result<Wire> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("binding")?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared { upstream, plan: Mutex::default(), idle: Mutex::default() });
    let (mut tasks, accepting) = (JoinSet::new(), shared.clone());
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let shared = accepting.clone();
            // A client that goes is no news, and a server that goes is told by the client's statement.
            connections.spawn(async move { carry(client, &shared).await.ok() });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Wire { address, shared, _tasks: tasks })
}

/// The statement after the next `passing` ones is struck.
pub fn arm(wire: &Wire, passing: u32, fault: Fault) {
    *lock(&wire.shared.plan) = Plan { armed: Some((passing, fault)), struck: false };
}

/// Nothing is struck any more. Answers whether something was.
pub fn disarm(wire: &Wire) -> bool {
    std::mem::take(&mut *lock(&wire.shared.plan)).struck
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn carry(client: TcpStream, shared: &Shared) -> Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    let mut session = greet(&mut client, shared).await?;
    while let Some(unit) = read_unit(&mut client).await? {
        let fault = if is_statement(&unit) { strike(&mut lock(&shared.plan)) } else { None };
        match fault {
            None => {
                let answer = ask(&mut session, &unit).await?;
                client.write_all(&answer).await?;
            }
            Some(Fault::Deadlock) => {
                let answer = ask(&mut session, &query(DEADLOCK)).await?;
                client.write_all(&answer).await?;
            }
            Some(Fault::CutAfter) => {
                ask(&mut session, &unit).await?;
                break;
            }
            Some(Fault::CutBefore) => break,
        }
    }
    // The client learns of it when nothing of it is left on the server.
    ask(&mut session, &query(RESET)).await?;
    lock(&shared.idle).push(session);
    Ok(())
}

fn strike(plan: &mut Plan) -> Option<Fault> {
    match plan.armed.take()? {
        (0, fault) => {
            plan.struck = true;
            Some(fault)
        }
        (passing, fault) => {
            plan.armed = Some((passing - 1, fault));
            None
        }
    }
}

/// A session that is ready, of whose readiness the client has been told.
async fn greet(client: &mut BufReader<TcpStream>, shared: &Shared) -> Result<Session> {
    let startup = read_sized(client, Vec::new()).await?;
    let idle = lock(&shared.idle).pop();
    if let Some(session) = idle {
        client.write_all(&session.greeting).await?;
        return Ok(session);
    }
    let stream = TcpStream::connect(&shared.upstream).await.context("connecting to PostgreSQL")?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(&startup).await?;
    let mut greeting = vec![AUTHENTICATION, 0, 0, 0, 8, 0, 0, 0, 0];
    loop {
        let message = read_message(&mut stream).await?.context("PostgreSQL does not let us in")?;
        client.write_all(&message).await?;
        match message[0] {
            AUTHENTICATION => {
                let code = message.get(5..9).and_then(|it| it.try_into().ok()).map(u32::from_be_bytes);
                if code.is_some_and(|code| !AUTHENTICATED.contains(&code)) {
                    let answer = read_message(client).await?.context("the client left")?;
                    stream.write_all(&answer).await?;
                }
            }
            kind => {
                greeting.extend_from_slice(&message);
                if kind == READY {
                    return Ok(Session { stream, greeting });
                }
            }
        }
    }
}

/// All that the server says to it.
async fn ask(session: &mut Session, unit: &[u8]) -> Result<Vec<u8>> {
    session.stream.write_all(unit).await?;
    let mut answer = Vec::new();
    loop {
        let message = read_message(&mut session.stream).await?.context("PostgreSQL ended the session")?;
        answer.extend_from_slice(&message);
        if message[0] == READY {
            return Ok(answer);
        }
    }
}

/// What the server answers as a whole. `None`: the client has ended.
async fn read_unit(client: &mut BufReader<TcpStream>) -> Result<Option<Vec<u8>>> {
    let mut unit = Vec::new();
    while let Some(message) = read_message(client).await? {
        let kind = message[0];
        unit.extend_from_slice(&message);
        match kind {
            b'S' | b'Q' => return Ok(Some(unit)),
            b'X' => return Ok(None),
            _ => {}
        }
    }
    Ok(None)
}

/// Something runs. Not what only prepares it, which depends on what ran before, and not the end of what has failed.
fn is_statement(unit: &[u8]) -> bool {
    if unit[0] == b'Q' {
        return !unit[5..].starts_with(b"ROLLBACK");
    }
    let mut rest = unit;
    while let [kind, a, b, c, d, ..] = *rest {
        if kind == b'E' {
            return true;
        }
        rest = rest.get(1 + u32::from_be_bytes([a, b, c, d]) as usize..).unwrap_or_default();
    }
    false
}

fn query(text: &str) -> Vec<u8> {
    let mut message = vec![b'Q'];
    message.extend_from_slice(&u32::try_from(text.len() + 5).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(text.as_bytes());
    message.push(0);
    message
}

async fn read_message(from: &mut BufReader<TcpStream>) -> Result<Option<Vec<u8>>> {
    match from.read_u8().await {
        Ok(kind) => Ok(Some(read_sized(from, vec![kind]).await?)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A length, which counts itself, and so many bytes; after `message`.
async fn read_sized(from: &mut BufReader<TcpStream>, mut message: Vec<u8>) -> Result<Vec<u8>> {
    let length = from.read_u32().await?;
    ensure!(length >= 4, "a message is shorter than its length");
    message.extend_from_slice(&length.to_be_bytes());
    let start = message.len();
    message.resize(start + length as usize - 4, 0);
    from.read_exact(&mut message[start..]).await?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_counted() {
        let prepare = b"P\0\0\0\x05xS\0\0\0\x04";
        let execute = b"B\0\0\0\x05xE\0\0\0\x04S\0\0\0\x04";
        assert!(!is_statement(prepare) && is_statement(execute) && !is_statement(b"S\0\0\0\x04"));
        assert!(is_statement(&query("COMMIT")) && !is_statement(&query("ROLLBACK")));
    }

    #[test]
    fn the_statement_that_was_meant_is_struck_and_no_other() {
        let mut plan = Plan { armed: Some((1, Fault::CutAfter)), struck: false };
        assert_eq!((strike(&mut plan), plan.struck), (None, false));
        assert_eq!((strike(&mut plan), plan.struck), (Some(Fault::CutAfter), true));
        assert_eq!(strike(&mut plan), None);
    }
}
