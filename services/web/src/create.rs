//! Creating an application: what the API and the form take, checked and stored in one place.

use anyhow::Result;
use domain::forge_kind::ForgeKind;
use domain::job::JobKind;
use store::app::{App, NewApp};
use url::Url;

use crate::{Web, auth};

/// Of a path, a branch, a user or a token: nothing sensible is longer.
const TEXT_MAX: usize = 500;

/// What a caller gives. Everything but the first three has a default; an empty text counts as left out.
#[derive(Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[schema(example = "demo")]
    pub(crate) name: String,
    /// `gitea`, `gogs` or `github`
    #[schema(example = "gitea")]
    pub(crate) forge: String,
    #[schema(example = "https://forge.example/team/demo.git")]
    pub(crate) repo_url: String,
    pub(crate) forge_user: Option<String>,
    /// Stored, used for fetching and for commit statuses, and never shown again.
    pub(crate) forge_token: Option<String>,
    /// The forge's API, when it is not where the repository's URL says.
    pub(crate) api_url: Option<String>,
    #[schema(default = "main")]
    pub(crate) default_branch: Option<String>,
    #[schema(default = "Dockerfile")]
    pub(crate) dockerfile: Option<String>,
    #[schema(default = 8080)]
    pub(crate) port: Option<i64>,
    #[schema(default = "/")]
    pub(crate) health_path: Option<String>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct FieldError {
    pub(crate) field: &'static str,
    pub(crate) detail: String,
}

/// The hook as it is shown once, after the application was created.
#[derive(Clone, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct NewHook {
    /// Where the forge has to deliver to.
    pub(crate) url: String,
    /// What it has to sign with.
    pub(crate) secret: String,
}

/// Stores the application with its hook and asks what its default branch is, so that one that is there builds at once.
/// `None`: the name is taken.
pub(crate) async fn create(web: &Web, new: &NewApp<'_>) -> Result<Option<(App, NewHook)>> {
    let secret = auth::random_hex();
    let mut tx = web.db.begin().await?;
    let Some(app) = store::app::create(&mut tx, new).await? else { return Ok(None) };
    let hook = store::app::create_hook(&mut tx, app.id, &secret).await?;
    let branch = store::branch::touch(&mut tx, app.id, &app.default_branch).await?;
    store::branch::enqueue_resolve(&mut tx, branch.id).await?;
    tx.commit().await?;
    store::worker::wake(&web.db, &[JobKind::Resolve]).await;
    Ok(Some((app, NewHook { url: web.links.hook(hook.id), secret })))
}

/// All that is wrong at once, so that a form is filled in twice at most.
pub(crate) fn check(wanted: &Wanted) -> Result<NewApp<'_>, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut need = |field, checked: Result<(), String>| {
        errors.extend(checked.err().map(|detail| FieldError { field, detail }));
    };
    let api_url = given(wanted.api_url.as_ref());
    let default_branch = given(wanted.default_branch.as_ref()).unwrap_or("main");
    let dockerfile = given(wanted.dockerfile.as_ref()).unwrap_or("Dockerfile");
    let health_path = given(wanted.health_path.as_ref()).unwrap_or("/");
    let forge_user = given(wanted.forge_user.as_ref());
    let forge_token = given(wanted.forge_token.as_ref());
    let forge = wanted.forge.parse::<ForgeKind>();
    let port = wanted.port.map_or(Some(8080), |port| u16::try_from(port).ok().filter(|port| *port > 0));

    need("name", domain::name::check_app(&wanted.name).map_err(|error| error.to_string()));
    need("forge", forge.as_ref().map(drop).map_err(ToString::to_string));
    need("repo_url", check_url(&wanted.repo_url, true));
    need("api_url", api_url.map_or(Ok(()), |url| check_url(url, false)));
    need("forge_user", check_text(forge_user.unwrap_or_default()));
    need("forge_token", check_text(forge_token.unwrap_or_default()));
    need(
        "default_branch",
        check_that(is_branch(default_branch), "git would not take this as a branch's name"),
    );
    let is_inside =
        check_text(dockerfile).is_ok() && !dockerfile.split('/').any(|part| matches!(part, "" | "." | ".."));
    need("dockerfile", check_that(is_inside, "give a path inside the repository, such as deploy/Dockerfile"));
    need("port", check_that(port.is_some(), "give a number from 1 to 65535"));
    let is_path =
        health_path.starts_with('/') && check_text(health_path).is_ok() && !health_path.contains(' ');
    need("health_path", check_that(is_path, "give a path that starts with a slash, such as /healthz"));

    match (forge, port) {
        (Ok(forge), Some(port)) if errors.is_empty() => Ok(NewApp {
            name: &wanted.name,
            forge,
            repo_url: wanted.repo_url.trim(),
            forge_user,
            forge_token,
            api_url,
            default_branch,
            dockerfile,
            port,
            health_path,
        }),
        _ => Err(errors),
    }
}

fn given(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn check_that(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn check_text(text: &str) -> Result<(), String> {
    check_that(
        text.len() <= TEXT_MAX && !text.chars().any(char::is_control),
        "this is too long or holds a control character",
    )
}

/// Credentials in a URL would be shown with it.
fn check_url(text: &str, needs_path: bool) -> Result<(), String> {
    let Ok(url) = text.trim().parse::<Url>() else {
        return Err("this is no URL: give one such as https://forge.example/team/app.git".to_owned());
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("give an http or https URL; SSH is not supported".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("leave user and password out of the URL: give forge_user and forge_token".to_owned());
    }
    check_that(url.query().is_none() && url.fragment().is_none(), "leave out what follows ? or #")?;
    check_that(!needs_path || url.path().len() > 1, "the URL names no repository")
}

/// The rules of `git check-ref-format --branch`.
fn is_branch(name: &str) -> bool {
    let part_fits = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    name.len() <= TEXT_MAX
        && name.split('/').all(part_fits)
        && !name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c))
        && !name.contains("..")
        && !name.contains("@{")
        && !name.starts_with('-')
        && !name.ends_with('.')
        && name != "@"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            name: "demo".into(),
            forge: "gitea".into(),
            repo_url: " http://forge.example/slip/demo.git".into(),
            forge_token: Some(String::new()),
            ..Wanted::default()
        }
    }

    fn fields(wanted: &Wanted) -> Vec<&'static str> {
        check(wanted).err().unwrap_or_default().into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let wanted = wanted();
        let new = check(&wanted).unwrap();
        assert_eq!(
            (new.default_branch, new.dockerfile, new.port, new.health_path),
            ("main", "Dockerfile", 8080, "/")
        );
        assert_eq!((new.forge_token, new.repo_url), (None, "http://forge.example/slip/demo.git"));
    }

    #[test]
    fn each_fault_names_its_field() {
        type Spoil = fn(&mut Wanted);
        let faults: [(&str, Spoil); 14] = [
            ("name", |it| it.name = "De mo".into()),
            ("forge", |it| it.forge = "svn".into()),
            ("repo_url", |it| it.repo_url = "ssh://git@forge/x".into()),
            ("repo_url", |it| it.repo_url = "git@forge:team/x.git".into()),
            ("repo_url", |it| it.repo_url = "http://user:secret@forge/x".into()),
            ("repo_url", |it| it.repo_url = "http://forge/".into()),
            ("api_url", |it| it.api_url = Some("http://token@forge/api".into())),
            ("forge_user", |it| it.forge_user = Some("a\nb".into())),
            ("default_branch", |it| it.default_branch = Some("-x".into())),
            ("default_branch", |it| it.default_branch = Some("a..b".into())),
            ("dockerfile", |it| it.dockerfile = Some("../Dockerfile".into())),
            ("port", |it| it.port = Some(0)),
            ("port", |it| it.port = Some(65_536)),
            ("health_path", |it| it.health_path = Some("health".into())),
        ];
        for (field, spoil) in faults {
            let mut wanted = wanted();
            spoil(&mut wanted);
            assert_eq!(fields(&wanted), [field]);
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        assert_eq!(
            fields(&Wanted { port: Some(-1), ..Wanted::default() }),
            ["name", "forge", "repo_url", "port"]
        );
    }
}
