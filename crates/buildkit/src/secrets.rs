//! The secrets that steps of a build may mount, served one by one as BuildKit asks for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::Secrets;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use secrecy::{ExposeSecret, SecretSlice};
use tonic::{Request, Response, Status};

use crate::session::Serving;

/// Values by the ids that steps mount them by. A clone shares them.
pub type SecretValues = Arc<BTreeMap<String, SecretSlice<u8>>>;

/// What this build has been given, and nothing else.
pub(crate) struct Safe {
    pub(crate) serving: Serving,
}

#[tonic::async_trait]
impl Secrets for Safe {
    /// `NotFound` fails a step only if its mount says `required=true`.
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = &request.get_ref().id;
        match self.serving.get()?.secrets.get(id) {
            Some(value) => Ok(Response::new(GetSecretResponse { data: value.expose_secret().to_vec() })),
            None => Err(Status::not_found(format!(
                "this application has no build secret {id:?}: set it with `slipway secrets set`"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_client::SecretsClient;
    use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
    use tonic::Code;

    use super::*;
    use crate::session::Services;

    #[tokio::test]
    async fn what_is_there_is_served_and_what_is_not_is_not_found() {
        let value: SecretSlice<u8> = b"s3cr3t\0\xff".to_vec().into();
        let secrets = Arc::new(BTreeMap::from([("TOKEN".to_owned(), value)]));
        let serving = Serving::of(Services { sources: BTreeMap::new(), logins: BTreeMap::new(), secrets });
        let mut client = SecretsClient::new(SecretsServer::new(Safe { serving }));
        let mut ask = async |id: &str| {
            let request = GetSecretRequest { id: id.to_owned(), ..GetSecretRequest::default() };
            client.get_secret(request).await
        };
        assert_eq!(ask("TOKEN").await.unwrap().into_inner().data, b"s3cr3t\0\xff");
        for id in ["token", "TOKEN2", "", "GIT_AUTH_TOKEN"] {
            let error = ask(id).await.unwrap_err();
            assert_eq!(error.code(), Code::NotFound, "{id}: {error}");
        }
    }
}
