//! Server-side apply of rendered objects, for real and as a dry run.

use domain::reason::{Reason, ReasonCode};
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{
    LimitRange, Namespace, Pod, ResourceQuota, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use manifest::Object;

use crate::fault;

/// Owns every field that is rendered.
pub(crate) const MANAGER: &str = "slipway-deploy";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Real,
    DryRun,
}

/// Takes the object's fields over from whoever holds them: environments are ours.
pub(crate) async fn apply(client: &Client, object: &Object, mode: Mode) -> kube::Result<DynamicObject> {
    let params = PatchParams {
        dry_run: mode == Mode::DryRun,
        force: true,
        field_manager: Some(MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let (api, name) = address(client, object)?;
    fault::request(api.patch(&name, &params, &Patch::Apply(object))).await
}

/// Applies a release's objects and answers the Deployment's generation.
pub(crate) async fn apply_release(client: &Client, objects: &[Object]) -> Result<i64, Reason> {
    let applied = try_join_all(objects.iter().map(|object| apply(client, object, Mode::Real)))
        .await
        .map_err(|error| fault::release(&error))?;
    applied
        .iter()
        .find(|object| object.types.as_ref().is_some_and(|types| types.kind == "Deployment"))
        .and_then(|deployment| deployment.metadata.generation)
        .ok_or_else(|| Reason::new(ReasonCode::Internal, "the release's objects hold no Deployment"))
}

/// Asks the cluster what it would say, to every object and to the pod that would come of them, and changes nothing.
pub(crate) async fn dry_run(client: &Client, objects: &[Object]) -> Result<(), Reason> {
    let applied = try_join_all(objects.iter().map(|object| apply(client, object, Mode::DryRun)));
    let (applied, created) = tokio::join!(applied, create_sample_pod(client, objects));
    match applied.err().or(created.err()) {
        Some(error) => Err(fault::release(&error)),
        None => Ok(()),
    }
}

async fn create_sample_pod(client: &Client, objects: &[Object]) -> kube::Result<()> {
    let Some(pod) = manifest::release::sample_pod(objects) else { return Ok(()) };
    let pod: Pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
    let api = Api::<Pod>::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
    let params = PostParams { dry_run: true, field_manager: Some(MANAGER.to_owned()) };
    fault::request(api.create(&params, &pod)).await.map(|_| ())
}

fn address(client: &Client, object: &Object) -> kube::Result<(Api<DynamicObject>, String)> {
    let object: DynamicObject = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
    let resource = resource(kind).ok_or_else(|| {
        kube::Error::SerdeError(serde::de::Error::custom(format!(
            "objects of kind {kind:?} are not deployed"
        )))
    })?;
    let api = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    Ok((api, object.metadata.name.unwrap_or_default()))
}

/// The kinds that are rendered; no other is ever sent.
fn resource(kind: &str) -> Option<ApiResource> {
    let known = [
        ApiResource::erase::<Namespace>(&()),
        ApiResource::erase::<RoleBinding>(&()),
        ApiResource::erase::<ResourceQuota>(&()),
        ApiResource::erase::<LimitRange>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<Secret>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Deployment>(&()),
    ];
    known.into_iter().find(|resource| resource.kind == kind)
}

/// Stops the workload of an environment that has nothing good to run. `Ok` also when there is none.
pub(crate) async fn scale_to_zero(client: &Client, namespace: &str) -> Result<(), Reason> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(serde_json::json!({"spec": {"replicas": 0}}));
    match fault::request(deployments.patch(manifest::label::WEB, &params, &patch)).await {
        Err(error) if !fault::is_not_found(&error) => Err(fault::platform(&error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use manifest::{Place, environment, release};

    use super::*;

    #[test]
    fn every_rendered_kind_is_known() {
        let place = Place { app: "demo", env: "main", namespace: "env-demo--main" };
        let version =
            release::Release { id: uuid::Uuid::nil(), version: 1, image: "x", port: 1, health_path: "/" };
        let settings = release::Settings { user_namespaces: true, rollout_seconds: 60 };
        let mut objects = vec![environment::namespace(place), environment::role_binding(place)];
        objects.push(environment::pull_secret(place, b"{}"));
        objects.extend(environment::walls(place, true));
        objects.extend(release::render(place, &version, settings));
        for object in &objects {
            let kind = object["kind"].as_str().unwrap();
            let resource = resource(kind).unwrap_or_else(|| panic!("{kind}"));
            assert_eq!(resource.api_version, object["apiVersion"], "{kind}");
        }
    }
}
