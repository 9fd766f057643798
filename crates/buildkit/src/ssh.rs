//! The SSH agents that steps of a build may mount (`RUN --mount=type=ssh`), one for each build secret that is a key.

mod agent;
mod key;
mod wire;

use std::pin::Pin;
use std::sync::Arc;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use domain::setting;
use futures::{Stream, StreamExt as _, stream};
use secrecy::ExposeSecret as _;
use tokio::sync::Mutex;
use tonic::{Request, Response, Status, Streaming};

use self::agent::Messages;
use self::key::Key;
use crate::session::Serving;

/// Where a stream says which agent it is for.
const ID_HEADER: &str = "buildkit.ssh.id";
/// What BuildKit calls the agent of a mount without an id.
const DEFAULT_ID: &str = "default";

pub(crate) struct Agents {
    serving: Serving,
    /// A step may ask for any number of signatures, and they take time that other builds need, too: one at a time.
    turn: Arc<Mutex<()>>,
}

impl Agents {
    pub(crate) fn new(serving: Serving) -> Agents {
        Agents { serving, turn: Arc::default() }
    }

    fn key(&self, id: &str) -> Result<Key, Status> {
        let id = if id.is_empty() { DEFAULT_ID } else { id };
        if setting::check_secret_name(id).is_err() {
            return Err(Status::not_found(
                "a step mounts an SSH agent by an id that no build secret can have",
            ));
        }
        let services = self.serving.get()?;
        let Some(secret) = services.secrets.get(id) else {
            return Err(Status::not_found(format!(
                "a step mounts the SSH agent {id}, and this application has no build secret of that name: \
                 set its key with `slipway secrets set APP {id} --file KEY`"
            )));
        };
        Key::parse(secret.expose_secret()).map_err(|why| {
            Status::invalid_argument(format!(
                "a step mounts the SSH agent {id}, and the build secret of that name is no key for it: {why}"
            ))
        })
    }
}

#[tonic::async_trait]
impl Ssh for Agents {
    type ForwardAgentStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    /// Whatever is wrong fails a step only if its mount says `required=true`. Others run without an agent, and BuildKit
    /// tells nobody why: we do.
    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.key(&request.get_ref().id).inspect_err(|why| self.serving.lacks(why.message()))?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    /// One connection to the agent, both ways.
    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get(ID_HEADER).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let key = {
            let _turn = self.turn.lock().await;
            Arc::new(self.key(id)?)
        };
        let answers = stream::try_unfold(
            (request.into_inner(), Messages::default(), key, self.turn.clone()),
            |(mut asked, mut messages, key, turn)| async {
                let message = loop {
                    if let Some(message) =
                        messages.next().map_err(|_| Status::invalid_argument("no agent speaks like this"))?
                    {
                        break message;
                    }
                    match asked.next().await {
                        Some(bytes) => messages.feed(&bytes?.data),
                        None => return Ok(None),
                    }
                };
                let data = {
                    let _turn = turn.lock().await;
                    let key = key.clone();
                    let answering = tokio::task::spawn_blocking(move || agent::answer(&key, &message));
                    answering.await.map_err(|error| Status::internal(error.to_string()))?
                };
                Ok(Some((BytesMessage { data }, (asked, messages, key, turn))))
            },
        );
        Ok(Response::new(Box::pin(answers)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bollard_buildkit_proto::moby::sshforward::v1::ssh_client::SshClient;
    use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
    use secrecy::SecretSlice;
    use tonic::Code;

    use super::*;
    use crate::session::Services;

    fn serving() -> Serving {
        let key: SecretSlice<u8> = key::tests::an_ed25519().0.into_bytes().into();
        let word: SecretSlice<u8> = b"s3cr3t".to_vec().into();
        let secrets = BTreeMap::from([("default".to_owned(), key), ("TOKEN".to_owned(), word)]);
        Serving::of(Services {
            sources: BTreeMap::new(),
            logins: BTreeMap::new(),
            secrets: Arc::new(secrets),
        })
    }

    #[tokio::test]
    async fn a_mount_is_told_why_it_has_no_agent() {
        let serving = serving();
        let mut client = SshClient::new(SshServer::new(Agents::new(serving.clone())));
        let mut check =
            async |id: &str| client.check_agent(CheckAgentRequest { id: id.to_owned() }).await.map(|_| ());
        check("default").await.unwrap();
        check("").await.unwrap();
        assert!(serving.lacking().is_empty());
        let missing = check("deploy").await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
        assert!(missing.message().contains("slipway secrets set APP deploy --file KEY"), "{missing}");
        let word = check("TOKEN").await.unwrap_err();
        assert_eq!(word.code(), Code::InvalidArgument);
        assert!(word.message().contains("TOKEN, and the build secret of that name is no key"), "{word}");
        assert!(!word.message().contains("s3cr3t"), "{word}");
        assert_eq!(check("$(x)").await.unwrap_err().code(), Code::NotFound);
        assert_eq!(check("deploy").await.unwrap_err().code(), Code::NotFound);
        assert_eq!(serving.lacking().len(), 3, "each once: {:?}", serving.lacking());
    }

    #[tokio::test]
    async fn an_agent_answers_until_it_is_left() {
        let asked = [&[0, 0][..], &[0, 1, 11, 0, 0, 0, 1], &[11]];
        let asked = asked.map(|data| BytesMessage { data: data.to_vec() });
        let mut request = Request::new(stream::iter(asked));
        request.metadata_mut().insert(ID_HEADER, "default".parse().unwrap());
        let mut client = SshClient::new(SshServer::new(Agents::new(serving())));
        let answers = client.forward_agent(request).await.unwrap().into_inner();
        let answers: Vec<_> = answers.map(|it| it.unwrap().data).collect().await;
        assert_eq!(answers.len(), 2);
        assert!(answers.iter().all(|it| it[4] == 12), "{answers:?}");
    }
}
