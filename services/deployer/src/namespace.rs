//! Deletes the namespace of an environment, and says how far that has got.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Client, ResourceExt as _};
use manifest::label;

use crate::fault;

/// What is left of a namespace that was to be deleted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// It is on its way out; the text says what keeps it, when the cluster says so.
    Some(String),
}

/// Asks for the deletion once; after that, looks only. A namespace that is not Slipway's own is left alone.
pub(crate) async fn delete(client: &Client, name: &str) -> kube::Result<Left> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let Some(found) = fault::request(namespaces.get_opt(name)).await? else { return Ok(Left::Nothing) };
    if found.metadata.deletion_timestamp.is_some() {
        return Ok(Left::Some(what_keeps(&found)));
    }
    if found.labels().get(label::MANAGED_BY).is_none_or(|by| by != label::SLIPWAY) {
        tracing::warn!(name, "the namespace is not labelled as Slipway's, so it stays");
        return Ok(Left::Nothing);
    }
    // This very one, not another that was made under its name meanwhile.
    let preconditions = Preconditions { uid: found.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match fault::request(namespaces.delete(name, &params)).await {
        Err(error) if !fault::is_not_found(&error) => Err(error),
        Ok(_) | Err(_) => Ok(Left::Some("its deletion has begun".to_owned())),
    }
}

fn what_keeps(namespace: &Namespace) -> String {
    let conditions =
        namespace.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let holding = conditions.iter().filter(|it| it.status == "True");
    let texts: Vec<&str> = holding.filter_map(|it| it.message.as_deref()).collect();
    if texts.is_empty() { "it is being deleted".to_owned() } else { texts.join("; ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_keeps_a_namespace() {
        let mut namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "env-x"}, "status": {
            "phase": "Terminating", "conditions": [
                {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "All resources discovered"},
                {"type": "NamespaceContentRemaining", "status": "True", "message": "pods. has 1 resource instances"},
                {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "x.dev/keep in 1 resource instances"},
            ]}}))
        .unwrap();
        assert_eq!(
            what_keeps(&namespace),
            "pods. has 1 resource instances; x.dev/keep in 1 resource instances"
        );
        namespace.status = None;
        assert_eq!(what_keeps(&namespace), "it is being deleted");
    }
}
