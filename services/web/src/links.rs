//! Where the pages, the hooks and the environments are reached. Pure.

use url::Url;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub(crate) struct Links {
    scheme: String,
    /// Scheme, host and port, without a final slash.
    origin: String,
    base_domain: String,
    hooks: String,
}

impl Links {
    /// An empty `hooks_url` stands for the base URL.
    pub(crate) fn new(base_url: &Url, base_domain: &str, hooks_url: &str) -> Links {
        let origin = base_url.as_str().trim_end_matches('/').to_owned();
        let hooks = if hooks_url.is_empty() { &origin } else { hooks_url.trim_end_matches('/') };
        Links {
            scheme: base_url.scheme().to_owned(),
            base_domain: base_domain.to_owned(),
            hooks: hooks.to_owned(),
            origin,
        }
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn app(&self, app: &str) -> String {
        format!("{}/apps/{app}", self.origin)
    }

    pub(crate) fn build(&self, app: &str, number: i32) -> String {
        format!("{}/apps/{app}/builds/{number}", self.origin)
    }

    pub(crate) fn environment(&self, env: &str, app: &str) -> String {
        format!("{}://{}", self.scheme, domain::name::host(env, app, &self.base_domain))
    }

    /// Where git pushes an application that has no forge.
    pub(crate) fn remote(&self, app: &str) -> String {
        format!("{}/{app}.git", self.origin)
    }

    pub(crate) fn hook(&self, id: Uuid) -> String {
        format!("{}/hooks/{id}", self.hooks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_everything() {
        let base: Url = "https://slipway.example/".parse().unwrap();
        let links = Links::new(&base, "apps.example:8443", "");
        assert_eq!(links.build("demo", 7), "https://slipway.example/apps/demo/builds/7");
        assert_eq!(links.remote("demo"), "https://slipway.example/demo.git");
        assert_eq!(links.environment("main", "demo"), "https://main--demo.apps.example:8443");
        assert!(links.hook(Uuid::nil()).starts_with("https://slipway.example/hooks/0000"));
        let inside = Links::new(&base, "apps.example", "http://10.96.0.80/");
        assert!(inside.hook(Uuid::nil()).starts_with("http://10.96.0.80/hooks/0000"));
    }
}
