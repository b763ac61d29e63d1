use super::super::moves::{files_below, finish_earlier, replace, take_away};
use super::*;

/// Every file below `path` but the lock, with its text.
fn tree(path: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for name in fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()) {
        for file in files_below(path, &name).unwrap() {
            if file != super::super::lock::LOCK && file != LEDGER {
                let text = fs::read_to_string(path.join(&file)).unwrap();
                files.push((file, text));
            }
        }
    }
    files.sort();
    files
}

fn files(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect()
}

/// The change of these tests: one file new, one replaced, one tree replaced, one stage removed.
fn change(folder: &RunFolder) -> Commit<'_> {
    let mut commit = folder.begin().unwrap();
    commit.put(Stage::Delivered, "new", b"new 2").unwrap();
    commit.put(Stage::Delivered, "file", b"file 2").unwrap();
    commit.put_tree(Stage::Emitted, "tree", &files(&[("a/b", "b 2"), ("d", "d 2")])).unwrap();
    commit.forget(Stage::Swept);
    commit
}

const BEFORE: [(&str, &str); 4] = [("file", "file 1"), ("gone/x", "x 1"), ("tree/a/b", "b 1"), ("tree/c", "c 1")];
const AFTER: [(&str, &str); 4] = [("file", "file 2"), ("new", "new 2"), ("tree/a/b", "b 2"), ("tree/d", "d 2")];

fn before(path: &Path) -> RunFolder {
    let mut folder = RunFolder::open_or_create(path).unwrap();
    folder.keep();
    let mut commit = folder.begin().unwrap();
    commit.put(Stage::Delivered, "file", b"file 1").unwrap();
    commit.put_tree(Stage::Emitted, "tree", &files(&[("a/b", "b 1"), ("c", "c 1")])).unwrap();
    commit.put_tree(Stage::Swept, "gone", &files(&[("x", "x 1")])).unwrap();
    commit.finish().unwrap();
    folder
}

#[test]
fn a_change_happens_wholly_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let folder = before(root.path());
    assert_eq!(tree(root.path()), files(&BEFORE));
    drop(change(&folder));
    assert_eq!(tree(root.path()), files(&BEFORE), "dropped");
    change(&folder).finish().unwrap();
    assert_eq!(tree(root.path()), files(&AFTER));
    let is_known = |name: &&str| folder.ledger().hash_of(name).is_some();
    let known = ["file", "new", "tree/a/b", "tree/c", "tree/d", "gone/x"].into_iter().filter(is_known);
    assert_eq!(known.collect::<Vec<_>>(), ["file", "new", "tree/a/b", "tree/d"]);
}

/// A kill between any two moves of files is the same as stopping before the move: the next to open goes on.
#[test]
fn a_change_that_was_cut_off_anywhere_is_brought_to_its_end() {
    let names = ["new", "file", "tree", "gone"];
    for cut in 0..=names.len() {
        for half in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let path = root.path();
            let folder = before(path);
            let commit = change(&folder);
            let (staging, mut plan) = (
                commit.staging.path().to_owned(),
                Moves { put: Vec::new(), remove: Vec::new(), before: commit.refuse_to_lose_edits().unwrap() },
            );
            plan.put.extend(["new", "file", "tree"].map(str::to_owned));
            plan.remove.push("gone".into());
            fs::create_dir_all(staging.join(OLD)).unwrap();
            fs::write(staging.join(PLAN), serde_json::to_vec(&plan).unwrap()).unwrap();
            fs::rename(&staging, path.join(COMMIT)).unwrap();
            for name in &names[..cut] {
                if *name == "gone" { take_away(path, name).unwrap() } else { replace(path, name).unwrap() }
            }
            if half && let Some(name) = names.get(cut) {
                // Cut off with the old one away and the new one not yet there.
                take_away(path, name).unwrap();
            }
            finish_earlier(path).unwrap();
            assert_eq!(tree(path), files(&AFTER), "{cut} {half}");
            assert!(!path.join(COMMIT).exists());
            drop(commit);
        }
    }
}

#[test]
fn where_a_move_fails_the_old_ones_stand_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = before(root.path());
    let mut commit = change(&folder);
    // No file can be put below a file.
    commit.plan.put.push("file/below".into());
    fs::create_dir_all(commit.new_path("other")).unwrap();
    let below = commit.staging.path().join(NEW).join("file");
    fs::rename(&below, commit.staging.path().join(NEW).join("kept")).unwrap();
    commit.plan.put.retain(|name| name != "file");
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("below"), "x").unwrap();
    let error = format!("{:#}", commit.finish().unwrap_err());
    assert!(error.contains("cannot put") && error.contains("below"), "{error}");
    assert_eq!(tree(root.path()), files(&BEFORE));
    assert!(!root.path().join(COMMIT).exists());
}

#[test]
fn what_a_user_edited_or_put_there_is_not_lost() {
    for name in ["file", "tree/c", "tree/build/of/a/user", "gone/x"] {
        let root = tempfile::tempdir().unwrap();
        let folder = before(root.path());
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "edited").unwrap();
        let held = tree(root.path());
        let error = format!("{:#}", change(&folder).finish().unwrap_err());
        assert!(error.contains(name) && error.contains("would be lost"), "{error}");
        assert_eq!(tree(root.path()), held, "{name}");
        let mut commit = change(&folder);
        commit.asked_for.extend(["file", "tree", "gone"].map(str::to_owned));
        commit.finish().unwrap();
        assert_eq!(tree(root.path()), files(&AFTER), "{name}");
    }
}

#[test]
fn what_was_edited_after_a_change_was_cut_off_is_not_lost() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    let folder = before(path);
    let commit = change(&folder);
    let mut plan = Moves { put: Vec::new(), remove: Vec::new(), before: commit.refuse_to_lose_edits().unwrap() };
    plan.put.extend(["new", "file", "tree"].map(str::to_owned));
    let staging = commit.staging.path().to_owned();
    fs::create_dir_all(staging.join(OLD)).unwrap();
    fs::write(staging.join(PLAN), serde_json::to_vec(&plan).unwrap()).unwrap();
    fs::rename(&staging, path.join(COMMIT)).unwrap();
    replace(path, "new").unwrap();
    fs::write(path.join("file"), "edited").unwrap();
    let error = format!("{:#}", finish_earlier(path).unwrap_err());
    assert!(error.contains("file") && error.contains("edited after"), "{error}");
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "edited");
    fs::remove_file(path.join("file")).unwrap();
    finish_earlier(path).unwrap();
    assert_eq!(fs::read_to_string(path.join("file")).unwrap(), "file 2");
}

#[test]
fn a_plan_leads_nowhere_but_into_the_folder() {
    let root = tempfile::tempdir().unwrap();
    let commit = root.path().join("out").join(COMMIT);
    for part in [NEW, OLD] {
        fs::create_dir_all(commit.join(part)).unwrap();
    }
    fs::write(root.path().join("victim"), "x").unwrap();
    fs::write(commit.join(PLAN), r#"{"put":[],"remove":["../victim"],"before":{}}"#).unwrap();
    assert!(finish_earlier(&root.path().join("out")).is_err());
    assert!(root.path().join("victim").exists());
}
