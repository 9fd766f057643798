//! A step that mounts an SSH agent signs with the application's key, and never sees it.

use std::time::Instant;

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use harness::leak::{self, Needles};
use harness::platform::Platform;
use harness::{app, platform, remote};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// Asks the agent for its keys and for a signature, verifies it, and makes a page of the public key.
const SIGN: &str = r#"
const net = require('net'), crypto = require('crypto'), fs = require('fs');
const string = it => { const size = Buffer.alloc(4); size.writeUInt32BE(it.length); return Buffer.concat([size, it]); };
const take = it => { const size = it.readUInt32BE(0); return [it.subarray(4, 4 + size), it.subarray(4 + size)]; };
const agent = net.connect(process.env.SSH_AUTH_SOCK);
let read = Buffer.alloc(0), wake = () => {};
agent.on('data', it => { read = Buffer.concat([read, it]); wake(); });
async function ask(message) {
  agent.write(string(message));
  while (read.length < 4 || read.length < 4 + read.readUInt32BE(0)) await new Promise(it => { wake = it; });
  const [answer, rest] = take(read);
  read = rest;
  return answer;
}
(async () => {
  const listed = await ask(Buffer.from([11]));
  if (listed[0] !== 12 || listed.readUInt32BE(1) !== 1) throw new Error('one key: ' + listed.toString('hex'));
  const key = take(listed.subarray(5))[0], raw = take(take(key)[1])[0];
  const said = Buffer.from('a session of ssh');
  const signed = await ask(Buffer.concat([Buffer.from([13]), string(key), string(said), Buffer.alloc(4)]));
  if (signed[0] !== 14) throw new Error('no signature: ' + signed.toString('hex'));
  const signature = take(take(take(signed.subarray(1))[0])[1])[0];
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]);
  const known = crypto.createPublicKey({ key: der, format: 'der', type: 'spki' });
  if (!crypto.verify(null, said, known, signature)) throw new Error('a wrong signature');
  fs.writeFileSync('public/index.html', 'signed by ' + raw.toString('base64'));
  agent.end();
})().catch(error => { console.error(error); process.exit(1); });
"#;

/// BuildKit runs a step that requires no agent without it, and says nothing.
const DOCKERFILE: &str = "FROM node:22-bookworm-slim\nWORKDIR /app\nCOPY . .\n\
    RUN --mount=type=ssh node sign.cjs\n\
    RUN --mount=type=ssh,id=deploy,required=true node sign.cjs\nCMD [\"node\", \"server.js\"]\n";

struct Key {
    /// As `ssh-keygen -t ed25519` writes it.
    file: String,
    /// As the page says it.
    public: String,
    /// The private half as it stands in the file.
    needles: Needles,
}

fn key() -> Result<Key> {
    let seed: [u8; 32] = rand::random();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| anyhow::anyhow!("{error}"))?;
    let raw = pair.public_key().as_ref();
    let public = [string(b"ssh-ed25519"), string(raw)].concat();
    let both = string(&[&seed, raw].concat());
    // Equal checks, the key with a comment, and 1, 2, 3... up to a multiple of 8.
    let mut private = [&[7; 8], &public[..], &both, &string(b"a test")].concat();
    private.extend((1..).take((8 - private.len() % 8) % 8));
    let (magic, one) = (b"openssh-key-v1\0", 1_u32.to_be_bytes());
    let plain = [string(b"none"), string(b"none"), string(b"")].concat();
    let whole = [&magic[..], &plain, &one, &string(&public), &string(&private)].concat();
    let encoded = BASE64_STANDARD.encode(whole);
    let lines: Vec<&str> = encoded.as_bytes().chunks(70).map(str::from_utf8).collect::<Result<_, _>>()?;
    let file = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
        lines.join("\n")
    );
    Ok(Key { file, public: BASE64_STANDARD.encode(raw), needles: Needles::of(lines[3])? })
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

#[tokio::test]
async fn a_step_signs_with_a_key_that_it_does_not_see() -> Result<()> {
    let _lock = platform::share()?;
    let (platform, since) = (Platform::from_env()?, Instant::now());
    let remote = remote::create(&platform, "ssh", "static").await?;
    std::fs::write(remote.tree.path.join("Dockerfile"), DOCKERFILE)?;
    // What one application's step made is not used again for another's: this one has to run.
    std::fs::write(remote.tree.path.join("sign.cjs"), format!("// of {}\n{SIGN}", remote.app.name))?;
    remote::commit(&remote.tree, "Sign").await?;
    let (own, deploy) = (key()?, key()?);
    for (name, value, why) in [
        ("", "", "slipway secrets set APP default --file KEY"),
        ("default", "s3cr3t-and-nothing-else", "the build secret of that name is no key for it"),
        ("default", &own.file, "slipway secrets set APP deploy --file KEY"),
    ] {
        if !name.is_empty() {
            remote::put(&platform, &remote, "secrets", name, value).await?;
        }
        let pushed = remote::push(&remote, &[], &["main"]).await?;
        assert_eq!(pushed.code, Some(1), "{}", pushed.text);
        assert!(pushed.text.contains(why), "{why}: {}", pushed.text);
    }
    remote::put(&platform, &remote, "secrets", "deploy", &deploy.file).await?;
    let pushed = remote::push(&remote, &[], &["main"]).await?;
    assert_eq!(pushed.code, Some(0), "{}", pushed.text);
    app::serves(&platform, &remote.app, &format!("signed by {}", deploy.public)).await?;

    for key in [&own, &deploy] {
        assert!(!key.needles.are_in(pushed.text.as_bytes()), "{}", pushed.text);
        let (having, tables) = leak::tables(&platform, &key.needles).await?;
        assert!(having.is_empty() && tables > 15, "of {tables} tables: {having:?}");
        assert_eq!(leak::buildkit(&platform, &key.needles, since).await?, [""; 0]);
    }
    remote::put_away(&platform, &remote).await
}
