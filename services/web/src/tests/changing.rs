//! Changing what of an application's repository is built how, through the API.

use super::*;

const FIELDS: [&str; 4] = ["dockerfile", "context", "target", "port"];

async fn patch(web: &Router, body: &Value) -> (StatusCode, Value) {
    let request = bearer("PATCH", "/api/v1/apps/demo").body(Body::from(body.to_string())).unwrap();
    let (status, _, answer) = send(web, request).await;
    (status, serde_json::from_str(&answer).unwrap())
}

fn built(app: &Value) -> Value {
    json!(FIELDS.map(|field| app[field].clone()))
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_built_is_changed_and_shown(db: PgPool) {
    let web = web(&db).await;
    demo(&db).await;
    let wanted = json!({"dockerfile": " web/Dockerfile ", "context": "web/", "target": "app", "port": 3000});
    let (status, answer) = patch(&web, &wanted).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(built(&answer), json!(["web/Dockerfile", "web", "app", 3000]), "as it is now, not as it was");
    let (_, answer) = patch(&web, &json!({"port": 0, "weight": 2})).await;
    assert_eq!(built(&answer), json!(["web/Dockerfile", "web", "app", null]), "what is left out stays");
    assert_eq!(answer["weight"], 2);
    let (_, answer) = patch(&web, &json!({"dockerfile": "", "context": null, "target": ""})).await;
    assert_eq!(built(&answer), json!(["Dockerfile", "web", null, null]), "empty is the default");
    assert_eq!(built(&get_json(&web, "/api/v1/apps/demo").await), built(&answer));
}

#[sqlx::test(migrator = "store::MIGRATOR")]
async fn what_is_wrong_changes_nothing(db: PgPool) {
    let web = web(&db).await;
    demo(&db).await;
    for (field, value, words) in [
        ("dockerfile", json!("../Dockerfile"), "a path inside the repository"),
        ("context", json!("/srv"), "a folder inside the repository"),
        ("target", json!("two words"), "the name of a stage"),
        ("port", json!(65_536), "from 1 to 65535, or 0 for the port that the image exposes"),
    ] {
        // Beside it something that is right.
        let (status, answer) = patch(&web, &json!({field: value, "build_limit": 7})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        assert_eq!(answer["errors"][0]["field"], field, "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(words), "{answer}");
    }
    let (_, answer) = patch(&web, &json!({"dockerfile": "..", "port": -1, "weight": 0})).await;
    let fields: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|it| &it["field"]).collect();
    assert_eq!(fields, ["weight", "dockerfile", "port"], "all at once");
    // A team that there is none of takes the rest back.
    let (status, _) = patch(&web, &json!({"team": "nobody", "port": 99})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let app = get_json(&web, "/api/v1/apps/demo").await;
    assert_eq!((built(&app), &app["build_limit"]), (json!(["Dockerfile", "", null, 8080]), &json!(1)));
}
