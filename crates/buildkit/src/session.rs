//! A session: the services that BuildKit calls back into while it builds.

mod serving;

use std::time::Duration;

use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::filesync::packet::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use futures::stream::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rand::Rng;
use rand::distr::Alphanumeric;
use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::filesync::Files;
use crate::secrets::Safe;
use crate::ssh::Agents;
use crate::tunnel::Tunnel;
use crate::{Channel, MESSAGE_MAX, SolveError, daemon};

pub(crate) use self::serving::Serving;
pub use self::serving::{Logins, Services};

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const FRAME_MAX: u32 = 1 << 20;
const STREAMS_MAX: u32 = 1024;

const METHODS: [&str; 6] = [
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
];

/// An open session, for one build after the other. BuildKit knows what it got from a session by the session's id: the
/// longer one lasts, the less is sent again. Dropping it closes it, and a build that still needs it fails.
#[derive(Debug)]
pub struct Session {
    id: String,
    serving: Serving,
    connection: AbortHandle,
    _task: JoinSet<()>,
}

impl Session {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether BuildKit still has it, as far as is known here.
    pub fn is_open(&self) -> bool {
        !self.connection.is_finished()
    }

    /// From now on it serves this build.
    pub fn serve(&self, services: Services) {
        self.serving.set(Some(services));
    }

    /// What steps of the build that it serves mounted and did not get, and ran without.
    pub fn lacking(&self) -> Vec<String> {
        self.serving.lacking()
    }

    /// From now on it serves nothing.
    pub fn rest(&self) {
        self.serving.set(None);
    }
}

/// Opens a session that serves nothing yet. `app_key` keeps what one application transferred apart from all others.
pub async fn open(channel: &Channel, app_key: &str) -> Result<Session, SolveError> {
    let id: String = rand::rng().sample_iter(Alphanumeric).take(25).map(char::from).collect();
    let (outgoing, messages) = mpsc::channel(32);
    let mut request = Request::new(ReceiverStream::new(messages));
    let metadata = request.metadata_mut();
    metadata.insert("x-docker-expose-session-uuid", ascii(&id)?);
    metadata.insert("x-docker-expose-session-sharedkey", ascii(app_key)?);
    for method in METHODS {
        metadata.append("x-docker-expose-session-grpc-method", MetadataValue::from_static(method));
    }
    let mut client = daemon::control(channel);
    let opened = tokio::time::timeout(OPEN_TIMEOUT, client.session(request)).await;
    let incoming = opened
        .map_err(|_| SolveError::Unavailable {
            message: "BuildKit did not open a session in time".to_owned(),
        })??
        .into_inner();

    let serving = Serving::default();
    let mut task = JoinSet::new();
    let connection = task.spawn(serve(Tunnel::new(incoming, outgoing), serving.clone()));
    Ok(Session { id, serving, connection, _task: task })
}

fn ascii(value: &str) -> Result<MetadataValue<Ascii>, SolveError> {
    value
        .parse()
        .map_err(|_| SolveError::Other { message: format!("{value:?} cannot name a BuildKit session") })
}

async fn serve(tunnel: Tunnel, serving: Serving) {
    let files = FileSyncServer::new(Files::new(serving.clone()))
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    let routes = Routes::new(HealthServer::new(Healthy))
        .add_service(files)
        .add_service(AuthServer::new(Keyring { serving: serving.clone() }))
        .add_service(SecretsServer::new(Safe { serving: serving.clone() }))
        .add_service(SshServer::new(Agents::new(serving)));
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .serve_connection(TokioIo::new(tunnel), TowerToHyperService::new(routes))
        .await;
    if let Err(error) = served {
        // The build that needs the session says more.
        tracing::debug!(%error, "BuildKit session ended");
    }
}

/// BuildKit closes a session whose health it cannot check.
struct Healthy;

#[tonic::async_trait]
impl Health for Healthy {
    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(unused())
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(unused())
    }
}

struct Keyring {
    serving: Serving,
}

#[tonic::async_trait]
impl Auth for Keyring {
    /// Answers with empty fields for an unknown host: that is how BuildKit asks anonymously.
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let host = &request.get_ref().host;
        let response = match self.serving.get()?.logins.get(host) {
            Some((username, secret)) => {
                CredentialsResponse { username: username.clone(), secret: secret.expose_secret().to_owned() }
            }
            None => CredentialsResponse::default(),
        };
        Ok(Response::new(response))
    }

    // Without these BuildKit fetches its tokens itself, with the credentials from above.
    async fn fetch_token(
        &self,
        _: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(unused())
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(unused())
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(unused())
    }
}

fn unused() -> Status {
    Status::unimplemented("not served by this session")
}
