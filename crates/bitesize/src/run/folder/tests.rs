use super::*;
use crate::run::provenance::Provenance;

fn write(folder: &RunFolder, name: &str, bytes: &[u8], tree: &[(String, String)]) {
    let mut commit = folder.begin().unwrap();
    commit.stage(Stage::Emitted, Provenance::new());
    commit.put(Stage::Emitted, name, bytes).unwrap();
    commit.put_tree(Stage::Emitted, "tree", tree).unwrap();
    commit.finish().unwrap();
}

#[test]
fn a_failed_run_leaves_an_empty_folder_empty_and_a_missing_one_missing() {
    let root = tempfile::tempdir().unwrap();
    for (name, exists) in [("there", true), ("not/yet/there", false)] {
        let path = root.path().join(name);
        if exists {
            fs::create_dir(&path).unwrap();
        }
        let folder = RunFolder::create(&path).unwrap();
        write(&folder, "file", b"x", &[("a/b.c".into(), "y".into())]);
        assert_eq!(fs::read_to_string(path.join("tree/a/b.c")).unwrap(), "y");
        drop(folder);
        assert_eq!(path.exists(), exists, "{name}");
        assert!(!exists || fs::read_dir(&path).unwrap().count() == 0);
        assert!(!root.path().join("not").exists());
    }
}

#[test]
fn a_failed_run_leaves_what_others_put_there() {
    let root = tempfile::tempdir().unwrap();
    for exists in [true, false] {
        let above = root.path().join(format!("above-{exists}"));
        let path = above.join("out");
        if exists {
            fs::create_dir_all(&path).unwrap();
        }
        let folder = RunFolder::create(&path).unwrap();
        write(&folder, "mine", b"x", &[("a/b.c".into(), "y".into())]);
        let others = [above.join("note"), path.join("note"), path.join("tree/note")];
        for other in &others {
            fs::write(other, "z").unwrap();
        }
        drop(folder);
        assert!(others.iter().all(|o| o.is_file()));
        assert!(!path.join("mine").exists() && !path.join("tree/a").exists());
    }
}

#[test]
fn a_kept_run_stays_and_its_folder_is_refused_to_another() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("out");
    let mut folder = RunFolder::create(&path).unwrap();
    write(&folder, CONFIG, b"x", &[("a".into(), "1".into()), ("b".into(), "2".into())]);
    write(&folder, CONFIG, b"y", &[("a".into(), "3".into())]);
    folder.keep();
    drop(folder);
    let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [CONFIG, LEDGER, "tree"], "nothing temporary stays");
    assert!(!path.join("tree/b").exists());
    let error = RunFolder::create(&path).err().unwrap().to_string();
    assert!(error.contains("not empty") && error.contains("--resume"), "{error}");
    assert!(RunFolder::open(&path).is_ok());
}

#[test]
fn what_a_killed_process_left_behind_is_cleared_away_and_no_hindrance() {
    let names = |path: &Path| fs::read_dir(path).unwrap().count();
    let put = |path: &Path, folders: &[&str]| {
        for name in folders {
            fs::create_dir(path.join(name)).unwrap();
            fs::write(path.join(name).join("file"), "x").unwrap();
        }
    };
    let root = tempfile::tempdir().unwrap();
    put(root.path(), &[".writing-aB3xYz"]);
    fs::write(root.path().join(LOCK), "1").unwrap();
    let mut folder = RunFolder::create(root.path()).unwrap();
    assert_eq!(names(root.path()), 1, "the lock");
    write(&folder, CONFIG, b"x", &[]);
    folder.keep();
    drop(folder);
    let held = names(root.path());
    put(root.path(), &[".tmpAbc", ".writing-x", ".old-x"]);
    drop(RunFolder::open(root.path()).unwrap());
    assert_eq!(names(root.path()), held);
}

#[test]
fn a_folder_of_others_is_left_as_it_is() {
    let cases: [&[(&str, &str)]; 6] = [
        &[("of others", "x")],
        &[(".tmpwork", "x")],
        &[(".lock", "not a number")],
        &[(".writing-ab", "x")],
        &[("config.toml", "title = \"a site\""), (".tmp-notes", "x"), (".lock", "5")],
        &[(".commit/hook", "x"), ("main.c", "y")],
    ];
    for files in cases {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert!(RunFolder::create(root.path()).err().unwrap().to_string().contains("not empty"), "{files:?}");
        assert!(RunFolder::open(root.path()).err().unwrap().to_string().contains("not a run folder"), "{files:?}");
        for (name, text) in files {
            assert_eq!(fs::read_to_string(root.path().join(name)).unwrap(), *text);
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), files.len(), "{files:?}");
    }
}

#[test]
fn a_stage_s_file_is_read_as_it_was_written_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(root.path()).unwrap();
    write(&folder, "file", b"as written", &[]);
    let read = || folder.read(Stage::Emitted, "file", "do this").map_err(|e| e.to_string());
    assert_eq!(read(), Ok(Some(b"as written".to_vec())));
    assert_eq!(folder.altered_files(Stage::Emitted).unwrap(), Vec::<String>::new());
    fs::write(root.path().join("file"), b"as Written").unwrap();
    assert!(read().is_err_and(|e| e.contains("SHA-256") && e.contains("do this")));
    assert_eq!(folder.altered_files(Stage::Emitted).unwrap(), ["file"]);
    fs::write(root.path().join("other"), b"").unwrap();
    let other = folder.read(Stage::Emitted, "other", "do this").unwrap_err().to_string();
    assert!(other.contains("no file of this run"), "{other}");
    fs::remove_file(root.path().join("file")).unwrap();
    assert_eq!(read(), Ok(None));
}
