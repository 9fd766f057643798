//! The parts that are compiled from their released Go modules. Each one's go.mod in deploy/local/parts pins its
//! version and everything below it; go.sum holds the checksums.

use crate::args::Forge;
use crate::layout::Layout;

/// A part of the platform that is compiled here.
#[derive(Debug)]
pub(crate) struct Part {
    pub name: &'static str,
    /// The module whose version is the part's version.
    module: &'static str,
    pub go_mod: &'static str,
    pub go_sum: &'static str,
    /// Our own main package; without it the programs are the `tool`s of go.mod.
    pub main: Option<&'static str>,
    pub cgo: bool,
    pub tags: &'static str,
    /// Variables that tell the program its version, as templates.
    pub stamps: &'static [&'static str],
    /// Folders of the module that the program reads at run time.
    pub assets: &'static [&'static str],
    /// The forge that it is; nothing for what Slipway stands on.
    pub forge: Option<Forge>,
}

/// A file of deploy/local, read when xtask is compiled.
macro_rules! deploy_file {
    ($($path:tt)+) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/local/", $($path)+))
    };
}
pub(crate) use deploy_file;

macro_rules! part {
    ($name:literal, $module:literal, { $($field:ident: $value:expr),* $(,)? }) => {
        Part {
            name: $name,
            module: $module,
            go_mod: deploy_file!(concat!("parts/", $name, "/go.mod")),
            go_sum: deploy_file!(concat!("parts/", $name, "/go.sum")),
            $($field: $value,)*
            ..PLAIN
        }
    };
}

const PLAIN: Part = Part {
    name: "",
    module: "",
    go_mod: "",
    go_sum: "",
    main: None,
    cgo: false,
    tags: "",
    stamps: &[],
    assets: &[],
    forge: None,
};

/// The quick ones first, so that a broken tool chain shows within a minute.
const PARTS: &[Part] = &[
    part!("runc", "github.com/opencontainers/runc", {
        cgo: true,
        tags: "seccomp",
        stamps: &["main.version={{VERSION}}"],
    }),
    part!("registry", "github.com/distribution/distribution/v3", {}),
    part!("containerd", "github.com/containerd/containerd/v2", {
        stamps: &["github.com/containerd/containerd/v2/version.Version={{VERSION}}"],
    }),
    part!("coredns", "github.com/coredns/coredns", {}),
    part!("buildkit", "github.com/moby/buildkit", {
        tags: "osusergo netgo static_build seccomp",
        stamps: &["github.com/moby/buildkit/version.Version=v{{VERSION}}"],
    }),
    // The module carries no built web assets: git, the API and webhooks work, its pages have no style.
    part!("gitea", "code.gitea.io/gitea", {
        cgo: true,
        tags: "sqlite sqlite_unlock_notify timetzdata",
        stamps: &["main.Version={{VERSION}}"],
        assets: &["templates", "options", "public"],
        forge: Some(Forge::Gitea),
    }),
    part!("kubernetes", "k8s.io/kubernetes", {
        main: Some(deploy_file!("parts/kubernetes/main.go")),
        // Without these it calls itself v0.0.0, and clients that compare versions fail.
        stamps: &[
            "k8s.io/component-base/version.gitVersion=v{{VERSION}}",
            "k8s.io/component-base/version.gitMajor={{MAJOR}}",
            "k8s.io/component-base/version.gitMinor={{MINOR}}",
            "k8s.io/component-base/version.gitTreeState=clean",
            "k8s.io/client-go/pkg/version.gitVersion=v{{VERSION}}",
            "k8s.io/client-go/pkg/version.gitMajor={{MAJOR}}",
            "k8s.io/client-go/pkg/version.gitMinor={{MINOR}}",
            "k8s.io/client-go/pkg/version.gitTreeState=clean",
        ],
    }),
];

impl Part {
    /// `1.36.3`
    pub(crate) fn version(&self) -> &'static str {
        required(self.go_mod, self.module).expect("each part's go.mod requires its module")
    }

    /// `kubernetes-1.36.3`: its folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("{}-{}", self.name, self.version())
    }

    pub(crate) fn module(&self) -> &'static str {
        self.module
    }

    /// Whether it is needed where this forge is asked for, or none.
    pub(crate) fn is_wanted(&self, forge: Option<Forge>) -> bool {
        self.forge.is_none() || self.forge == forge
    }
}

pub(crate) fn named(name: &str) -> &'static Part {
    PARTS.iter().find(|part| part.name == name).expect("a part of this name is in the table")
}

/// The version of a module that another part requires, as etcd's by Kubernetes.
pub(crate) fn required(go_mod: &'static str, module: &str) -> Option<&'static str> {
    go_mod.lines().find_map(|line| {
        let line = line.trim().strip_prefix("require ").unwrap_or(line.trim());
        let version = line.strip_prefix(module)?.strip_prefix(" v")?;
        version.split_whitespace().next()
    })
}

pub(crate) fn wanted(forge: Option<Forge>) -> impl Iterator<Item = &'static Part> {
    PARTS.iter().filter(move |part| part.is_wanted(forge))
}

pub(crate) fn all_compiled(layout: &Layout, forge: Option<Forge>) -> bool {
    wanted(forge).all(|part| layout.parts().join(part.folder()).is_dir())
}

/// The newest Go that any of these parts asks for.
pub(crate) fn go_version(forge: Option<Forge>) -> String {
    let versions =
        wanted(forge).filter_map(|part| part.go_mod.lines().find_map(|line| line.strip_prefix("go ")));
    versions.max_by_key(|version| numbers(version)).unwrap_or_default().to_owned()
}

/// Whether `1.26.8` is at least `1.26.3`.
pub(crate) fn at_least(found: &str, needed: &str) -> bool {
    numbers(found) >= numbers(needed)
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_version_and_checksums() {
        for part in PARTS {
            assert!(numbers(part.version()).len() == 3, "{} {}", part.name, part.version());
            assert!(
                part.go_sum.contains(&format!("{} v{} h1:", part.module, part.version())),
                "{}",
                part.name
            );
            assert_eq!(part.main.is_none(), part.go_mod.contains("\ntool "), "{}", part.name);
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(at_least("1.26.10", "1.26.8"));
        assert!(at_least("1.27.0", "1.26.8"));
        assert!(!at_least("1.26", "1.26.8"));
        assert!(!at_least("of no known version", "1.26.8"));
        assert!(at_least(&go_version(None), "1.26.0"));
        assert!(at_least(&go_version(Some(Forge::Gitea)), &go_version(None)));
    }

    #[test]
    fn only_the_forge_waits_to_be_asked_for() {
        let names = |forge| wanted(forge).map(|part| part.name).collect::<Vec<_>>();
        let mut plain = names(None);
        assert!(!plain.contains(&"gitea"), "{plain:?}");
        plain.push("gitea");
        plain.sort_unstable();
        let mut all = names(Some(Forge::Gitea));
        all.sort_unstable();
        assert_eq!(plain, all);
    }

    #[test]
    fn a_replaced_or_longer_module_is_not_taken_for_the_required_one() {
        let go_mod =
            "replace a.b/c => a.b/c v9.0.0\nrequire (\n\ta.b/c/d v8.0.0\n\ta.b/c v1.2.3 // indirect\n)\n";
        assert_eq!(required(go_mod, "a.b/c"), Some("1.2.3"));
        assert_eq!(required("require a.b/c v1.0.0", "a.b/c"), Some("1.0.0"));
    }
}
