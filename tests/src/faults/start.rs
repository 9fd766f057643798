//! The script that starts buildkitd in its pod, with a daemon in its place that says how it was started.

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/components/buildkit/start.sh");

    /// Answers what is in the state's folder then.
    fn start(folder: &Path) -> Vec<String> {
        let path = format!("{}:/usr/bin:/bin", folder.join("bin").display());
        let state = folder.join("state");
        let output = Command::new("/bin/sh")
            .args([SCRIPT, "--config", "x"])
            .env("PATH", path)
            .env("BUILDKIT_STATE", &state)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "started --config x\n", "{output:?}");
        let mut names: Vec<String> = fs::read_dir(&state)
            .unwrap()
            .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_database_that_is_none_is_set_aside_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, state) = (folder.path(), folder.path().join("state"));
        fs::create_dir_all(state.join("runc-overlayfs/snapshots")).unwrap();
        with_daemon(folder);
        let database = state.join("runc-overlayfs/snapshots/metadata.db");
        let mut pages = vec![0; 8192];
        pages[4112..4116].copy_from_slice(&0xed0c_daed_u32.to_ne_bytes());
        fs::write(&database, &pages).unwrap();
        assert_eq!(start(folder), ["failed-starts", "runc-overlayfs"], "one of its heads is whole");
        fs::write(&database, vec![0xaa; 8192]).unwrap();
        assert_eq!(start(folder), ["failed-starts", "state.set-aside.1"]);
    }

    fn with_daemon(folder: &Path) {
        let daemon = folder.join("bin/buildkitd");
        fs::create_dir_all(folder.join("bin")).unwrap();
        // Not by this process: one that another test just starts would have the file open, and no program that is being
        // written can be run.
        let script = r#"printf '#!/bin/sh\necho started "$@"\n' > "$0" && chmod +x "$0""#;
        assert!(Command::new("sh").args(["-c", script]).arg(&daemon).status().unwrap().success());
    }

    #[test]
    fn state_with_which_it_did_not_start_twice_is_set_aside_and_one_of_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, state) = (folder.path(), folder.path().join("state"));
        fs::create_dir_all(&state).unwrap();
        with_daemon(folder);
        fs::write(state.join("cache.db"), "first").unwrap();

        assert_eq!(start(folder), ["cache.db", "failed-starts"]);
        assert_eq!(start(folder), ["cache.db", "failed-starts"], "once is not twice");
        assert_eq!(start(folder), ["failed-starts", "state.set-aside.1"]);
        assert_eq!(fs::read_to_string(state.join("state.set-aside.1/cache.db")).unwrap(), "first");

        fs::remove_file(state.join("failed-starts")).unwrap();
        fs::write(state.join("cache.db"), "second").unwrap();
        assert_eq!(start(folder), ["cache.db", "failed-starts", "state.set-aside.1"], "it had answered");
        assert_eq!(start(folder).len(), 3);
        assert_eq!(start(folder), ["failed-starts", "state.set-aside.2"], "only the last one is kept");
        assert_eq!(fs::read_to_string(state.join("state.set-aside.2/cache.db")).unwrap(), "second");
    }
}
