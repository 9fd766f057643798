//! What each route asks of its caller: a scope. What has no rule here is not served.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use domain::scope::Scope;

use crate::{api, pages};

/// That what `method` does at `path` (as the router knows it) needs `scope`.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) scope: Scope,
}

static RULES: LazyLock<HashMap<(Method, String), Scope>> = LazyLock::new(|| {
    let rules = pages::rules().into_iter().chain(api::rules());
    rules.map(|rule| ((rule.method, rule.path), rule.scope)).collect()
});

pub(super) fn scope_of(method: &Method, path: &str) -> Option<Scope> {
    let method = if *method == Method::HEAD { Method::GET } else { method.clone() };
    RULES.get(&(method, path.to_owned())).copied()
}

/// Whether `path` leads to something of one application.
pub(super) fn is_of_app(path: &str) -> bool {
    path.split('/').any(|part| part == "{app}")
}
