//! What is posted to a forge, and what its answers mean.

use domain::commit::Commit;
use domain::forge_kind::ForgeKind;
use secrecy::SecretString;
use serde_json::json;
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::status::{Api, Outcome, State, Status, StatusError, api, client, set_status};

const COMMIT: &str = "7f70ee95f145f093408f6cca6ad0709e1b21782a";

fn commit() -> Commit {
    Commit::parse(COMMIT).unwrap()
}

fn token() -> SecretString {
    SecretString::from("s3cret")
}

fn status(state: State) -> Status {
    Status {
        state,
        context: "slipway/main".to_owned(),
        description: "live as v3".to_owned(),
        target_url: "http://main--demo.localhost/".to_owned(),
    }
}

fn http() -> reqwest::Client {
    // A second test of this process finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    client().unwrap()
}

fn of(kind: ForgeKind, forge: &MockServer) -> Api {
    api(kind, &format!("{}/ada/board.git", forge.uri()), None, token()).unwrap()
}

async fn post(api: &Api, state: State) -> Result<Outcome, StatusError> {
    set_status(&http(), api, &commit(), &status(state)).await
}

#[tokio::test]
async fn gitea_is_told_in_its_words() {
    let forge = MockServer::start().await;
    let body = json!({
        "state": "warning", "context": "slipway/main", "description": "live as v3",
        "target_url": "http://main--demo.localhost/",
    });
    Mock::given(method("POST"))
        .and(path(format!("/api/v1/repos/ada/board/statuses/{COMMIT}")))
        .and(header("authorization", "token s3cret"))
        .and(body_json(body))
        .respond_with(ResponseTemplate::new(201))
        .expect(1)
        .mount(&forge)
        .await;
    assert_eq!(post(&of(ForgeKind::Gitea, &forge), State::Stopped).await.unwrap(), Outcome::Posted);
}

#[tokio::test]
async fn github_is_told_in_its_words() {
    let forge = MockServer::start().await;
    let body = json!({
        "state": "error", "context": "slipway/main", "description": "live as v3",
        "target_url": "http://main--demo.localhost/",
    });
    Mock::given(method("POST"))
        .and(path(format!("/api/v3/repos/ada/board/statuses/{COMMIT}")))
        .and(header("authorization", "Bearer s3cret"))
        .and(header("user-agent", "slipway"))
        .and(body_json(body))
        .respond_with(ResponseTemplate::new(201))
        .expect(1)
        .mount(&forge)
        .await;
    assert_eq!(post(&of(ForgeKind::Github, &forge), State::Stopped).await.unwrap(), Outcome::Posted);
}

#[tokio::test]
async fn gogs_is_never_asked() {
    let forge = MockServer::start().await;
    assert_eq!(post(&of(ForgeKind::Gogs, &forge), State::Success).await.unwrap(), Outcome::NotSupported);
    assert!(forge.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn answers_are_told_apart() {
    let limited = || ResponseTemplate::new(403).insert_header("x-ratelimit-remaining", "0");
    let answers = [
        (ResponseTemplate::new(401), true),
        (ResponseTemplate::new(403), true),
        (ResponseTemplate::new(404), true),
        (ResponseTemplate::new(302).insert_header("location", "/login"), true),
        (ResponseTemplate::new(422), true),
        (limited(), false),
        (ResponseTemplate::new(429), false),
        (ResponseTemplate::new(500), false),
        (ResponseTemplate::new(502), false),
    ];
    for (answer, refused) in answers {
        let forge = MockServer::start().await;
        let answer = answer.set_body_json(json!({"message": "no\u{0} way"}));
        Mock::given(method("POST")).respond_with(answer).expect(1).mount(&forge).await;
        let error = post(&of(ForgeKind::Gitea, &forge), State::Pending).await.unwrap_err();
        assert_eq!(matches!(error, StatusError::Refused { .. }), refused, "{error}");
        assert!(error.to_string().ends_with(": no way"), "{error}");
    }
}

#[tokio::test]
async fn a_forge_that_is_away_is_unavailable() {
    let api = api(ForgeKind::Gitea, "http://127.0.0.1:1/ada/board", None, token()).unwrap();
    let error = post(&api, State::Pending).await.unwrap_err();
    assert!(matches!(&error, StatusError::Unavailable(why) if why.contains("refused")), "{error}");
}

#[tokio::test]
async fn a_long_description_is_cut() {
    let forge = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(201)).mount(&forge).await;
    let status = Status { description: "ü".repeat(500), ..status(State::Failure) };
    set_status(&http(), &of(ForgeKind::Gitea, &forge), &commit(), &status).await.unwrap();
    let sent = &forge.received_requests().await.unwrap()[0];
    let body: serde_json::Value = sent.body_json().unwrap();
    let description = body["description"].as_str().unwrap();
    assert_eq!(description.chars().count(), 140);
    assert!(description.ends_with("ü…"));
}

#[test]
fn where_the_api_is() {
    let debug =
        |kind, repo_url: &str, api_url| format!("{:?}", api(kind, repo_url, api_url, token()).unwrap());
    let cases = [
        (ForgeKind::Github, "https://github.com/ada/board.git", None, "https://api.github.com", "ada/board"),
        (ForgeKind::Github, "https://git.corp/ada/board", None, "https://git.corp/api/v3", "ada/board"),
        (ForgeKind::Gitea, "http://forge:3000/ada/board.git/", None, "http://forge:3000/api/v1", "ada/board"),
        (ForgeKind::Gitea, "https://corp/git/ada/board.git", None, "https://corp/git/api/v1", "ada/board"),
        (ForgeKind::Gitea, "ssh://git@forge:22/ada/board.git", None, "https://forge/api/v1", "ada/board"),
        (
            ForgeKind::Gitea,
            "https://forge/ada/board",
            Some("http://in/api/v1/"),
            "http://in/api/v1",
            "ada/board",
        ),
    ];
    for (kind, repo_url, api_url, url, repo) in cases {
        let api = debug(kind, repo_url, api_url);
        assert!(api.contains(&format!("url: {url:?}, repo: {repo:?}")), "{api}");
        assert!(!api.contains("s3cret"), "{api}");
    }
    for bad in ["board", "https://forge/board", "https://forge/"] {
        assert!(api(ForgeKind::Gitea, bad, None, token()).is_err(), "{bad}");
    }
}
