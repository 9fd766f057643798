//! What is wrong with an application that is to be created. Pure.

use domain::forge_kind::ForgeKind;
use store::app::{Forge, NewApp};
use url::Url;

use super::{FieldError, Wanted, source};

/// Of a path, a branch, a user or a token: nothing sensible is longer.
const TEXT_MAX: usize = 500;

/// What is wrong so far.
#[derive(Default)]
pub(crate) struct Faults(pub(crate) Vec<FieldError>);

impl Faults {
    /// Notes what is wrong with the field, if anything is.
    pub(crate) fn need<T>(&mut self, field: &'static str, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|detail| self.0.push(FieldError { field, detail })).ok()
    }
}

/// All that is wrong at once, so that a form is filled in twice at most.
pub(crate) fn check(wanted: &Wanted) -> Result<NewApp<'_>, Vec<FieldError>> {
    let mut faults = Faults::default();
    let default_branch = given(wanted.default_branch.as_ref()).unwrap_or("main");
    let health_path = given(wanted.health_path.as_ref()).unwrap_or("/");

    faults.need("name", domain::name::check_app(&wanted.name).map_err(|error| error.to_string()));
    let forge = forge(wanted, &mut faults);
    faults.need(
        "default_branch",
        check_that(is_branch(default_branch), "git would not take this as a branch's name"),
    );
    let dockerfile = faults.need("dockerfile", source::dockerfile(text(wanted.dockerfile.as_ref())));
    let context = faults.need("context", source::context(text(wanted.context.as_ref())));
    let target = faults.need("target", source::target(text(wanted.target.as_ref())));
    let port = faults.need("port", wanted.port.map(source::port).transpose());
    let is_path =
        health_path.starts_with('/') && check_text(health_path).is_ok() && !health_path.contains(' ');
    faults.need("health_path", check_that(is_path, "give a path that starts with a slash, such as /healthz"));

    match (dockerfile, context, target, port) {
        (Some(dockerfile), Some(context), Some(target), Some(port)) if faults.0.is_empty() => Ok(NewApp {
            name: &wanted.name,
            forge,
            default_branch,
            dockerfile,
            context,
            target,
            port,
            health_path,
        }),
        _ => Err(faults.0),
    }
}

/// `None` without a fault: the application is pushed to Slipway itself.
fn forge(wanted: &Wanted, faults: &mut Faults) -> Option<Forge> {
    let (kind, repo_url) = (given(wanted.forge.as_ref()), given(wanted.repo_url.as_ref()));
    let (user, token) = (given(wanted.forge_user.as_ref()), given(wanted.forge_token.as_ref()));
    let api_url = given(wanted.api_url.as_ref());
    if kind.is_none() && repo_url.is_none() {
        for (field, value) in [("forge_user", user), ("forge_token", token), ("api_url", api_url)] {
            let detail = "this belongs to a forge: give forge and repo_url too, or leave it out";
            faults.need(field, check_that(value.is_none(), detail));
        }
        return None;
    }
    let kind =
        kind.ok_or("say on which forge the repository is, or leave out its URL and push to Slipway itself");
    let kind = kind
        .map_err(str::to_owned)
        .and_then(|kind| kind.parse::<ForgeKind>().map_err(|error| error.to_string()));
    let kind = faults.need("forge", kind);
    let repo_url =
        repo_url.ok_or("give the repository's URL, or leave out the forge and push to Slipway itself");
    let repo_url = repo_url.map_err(str::to_owned).and_then(|url| check_url(url, true).map(|()| url));
    let repo_url = faults.need("repo_url", repo_url);
    faults.need("api_url", api_url.map_or(Ok(()), |url| check_url(url, false)));
    faults.need("forge_user", check_text(user.unwrap_or_default()));
    faults.need("forge_token", check_text(token.unwrap_or_default()));
    Some(Forge {
        kind: kind?,
        repo_url: repo_url?.to_owned(),
        user: user.map(str::to_owned),
        token: token.map(str::to_owned),
        api_url: api_url.map(str::to_owned),
    })
}

fn text(given: Option<&String>) -> &str {
    given.map_or("", |text| text.trim())
}

fn given(given: Option<&String>) -> Option<&str> {
    Some(text(given)).filter(|text| !text.is_empty())
}

pub(super) fn check_that(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

pub(super) fn check_text(text: &str) -> Result<(), String> {
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
pub(crate) fn is_branch(name: &str) -> bool {
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

    type Spoil = fn(&mut Wanted);

    fn wanted() -> Wanted {
        Wanted {
            name: "demo".into(),
            forge: Some("gitea".into()),
            repo_url: Some(" http://forge.example/slip/demo.git".into()),
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
            ("main", "Dockerfile", None, "/")
        );
        let forge = new.forge.unwrap();
        assert_eq!((forge.token, forge.repo_url.as_str()), (None, "http://forge.example/slip/demo.git"));
    }

    #[test]
    fn without_a_forge_it_is_pushed_here() {
        let blank = || Some(" ".to_owned());
        let bare = || Wanted { name: "demo".into(), ..Wanted::default() };
        let wanted = Wanted { forge: blank(), repo_url: blank(), ..bare() };
        assert!(check(&wanted).unwrap().forge.is_none());
        let faults: [(&str, Spoil); 5] = [
            ("forge", |it| it.repo_url = Some("http://forge/a/b.git".into())),
            ("repo_url", |it| it.forge = Some("gitea".into())),
            ("forge_user", |it| it.forge_user = Some("ada".into())),
            ("forge_token", |it| it.forge_token = Some("secret".into())),
            ("api_url", |it| it.api_url = Some("http://forge/api".into())),
        ];
        for (field, spoil) in faults {
            let mut wanted = bare();
            spoil(&mut wanted);
            assert_eq!(fields(&wanted), [field]);
        }
    }

    #[test]
    fn each_fault_names_its_field() {
        let faults: [(&str, Spoil); 16] = [
            ("name", |it| it.name = "De mo".into()),
            ("forge", |it| it.forge = Some("svn".into())),
            ("repo_url", |it| it.repo_url = Some("ssh://git@forge/x".into())),
            ("repo_url", |it| it.repo_url = Some("git@forge:team/x.git".into())),
            ("repo_url", |it| it.repo_url = Some("http://user:secret@forge/x".into())),
            ("repo_url", |it| it.repo_url = Some("http://forge/".into())),
            ("api_url", |it| it.api_url = Some("http://token@forge/api".into())),
            ("forge_user", |it| it.forge_user = Some("a\nb".into())),
            ("default_branch", |it| it.default_branch = Some("-x".into())),
            ("default_branch", |it| it.default_branch = Some("a..b".into())),
            ("dockerfile", |it| it.dockerfile = Some("../Dockerfile".into())),
            ("context", |it| it.context = Some("../shop".into())),
            ("target", |it| it.target = Some("a stage".into())),
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
        assert_eq!(fields(&Wanted { port: Some(-1), ..Wanted::default() }), ["name", "port"]);
    }
}
