//! Circles among the modules of a crate.
//!
//! A module uses another where a `use` line or a path in its code names something that is defined there. A name that is
//! re-exported counts for the module that defines it; the re-export itself, and `mod child;`, are no use.

use crate::modules::{Crate, Scope};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};

/// Re-exports of re-exports are followed so far.
const MOST_STEPS: usize = 64;

/// Modules that use each other in turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Circle {
    /// The first uses the second, and so on; the last uses the first.
    pub(crate) steps: Vec<Step>,
    /// All modules that are in a circle with these.
    pub(crate) entangled: Vec<PathBuf>,
}

/// A module, and the line on which it uses the next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) file: PathBuf,
    pub(crate) line: usize,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a circle of {} modules:", self.steps.len())?;
        for (i, step) in self.steps.iter().enumerate() {
            let next = &self.steps[(i + 1) % self.steps.len()].file;
            writeln!(f, "    {}:{} uses {}", step.file.display(), step.line, next.display())?;
        }
        if self.entangled.len() > self.steps.len() {
            let names: Vec<String> = self.entangled.iter().map(|file| file.display().to_string()).collect();
            writeln!(f, "    entangled with it, {} in all: {}", names.len(), names.join(", "))?;
        }
        Ok(())
    }
}

/// For each knot of modules that use each other the shortest circle in it.
pub(crate) fn circles(modules: &Crate) -> Vec<Circle> {
    let uses = uses(modules);
    let reached: Vec<BTreeSet<usize>> =
        (0..modules.files.len()).map(|file| paths_from(&uses, file).into_keys().collect()).collect();
    let mut told: BTreeSet<usize> = BTreeSet::new();
    let mut found = Vec::new();
    for file in 0..modules.files.len() {
        if told.contains(&file) || !reached[file].contains(&file) {
            continue;
        }
        let knot: Vec<usize> = reached[file].iter().copied().filter(|other| reached[*other].contains(&file)).collect();
        told.extend(&knot);
        let shortest = knot.iter().map(|file| circle_through(&uses, *file)).min_by_key(Vec::len);
        let circle = shortest.expect("a knot has at least one module");
        let step = |i: usize| {
            let (from, to) = (circle[i], circle[(i + 1) % circle.len()]);
            Step { file: modules.files[from].clone(), line: uses[from][&to] }
        };
        let entangled = knot.iter().map(|file| modules.files[*file].clone()).collect();
        found.push(Circle { steps: (0..circle.len()).map(step).collect(), entangled });
    }
    found
}

/// For each file the files that it uses, with the first line that does.
fn uses(modules: &Crate) -> Vec<BTreeMap<usize, usize>> {
    let mut uses = vec![BTreeMap::new(); modules.files.len()];
    for (at, scope) in modules.scopes.iter().enumerate() {
        for reference in &scope.references {
            let Some(target) = resolve(modules, at, &reference.path, 0) else { continue };
            let (from, to) = (scope.file, modules.scopes[target].file);
            if from != to {
                let line = uses[from].entry(to).or_insert(reference.line);
                *line = reference.line.min(*line);
            }
        }
    }
    uses
}

/// The scope that defines what `path` means in the scope `at`; `None` for what is of another crate or has no path.
fn resolve(modules: &Crate, at: usize, path: &[String], steps: usize) -> Option<usize> {
    let scope = &modules.scopes[at];
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => find(modules, 0, rest, steps),
        "self" => find(modules, at, rest, steps),
        "super" => find(modules, scope.parent?, rest, steps),
        name if scope.children.contains_key(name) || scope.imports.contains_key(name) => find(modules, at, path, steps),
        _ => None,
    }
}

/// As [`resolve`], for a path that begins in the scope `at`.
fn find(modules: &Crate, at: usize, path: &[String], steps: usize) -> Option<usize> {
    let scope = &modules.scopes[at];
    let Some((first, rest)) = path.split_first() else { return Some(at) };
    if steps > MOST_STEPS {
        return None;
    }
    if first == "super" {
        return find(modules, scope.parent?, rest, steps + 1);
    }
    // A function may be called as a module is.
    if rest.is_empty() && scope.items.contains(first) {
        return Some(at);
    }
    if let Some(child) = scope.children.get(first) {
        return find(modules, *child, rest, steps + 1);
    }
    if scope.items.contains(first) {
        return Some(at);
    }
    if let Some(import) = scope.imports.get(first) {
        return resolve(modules, at, &[&import.path, rest].concat(), steps + 1);
    }
    for glob in &scope.globs {
        if let Some(target) = resolve(modules, at, glob, steps + 1).filter(|target| *target != at)
            && gives(&modules.scopes[target], first)
        {
            return find(modules, target, path, steps + 1);
        }
    }
    let exported = modules.exported_macros.get(first).filter(|_| at == 0);
    // What is known by no name here is made by a macro or comes by a glob from elsewhere.
    Some(exported.copied().unwrap_or(at))
}

/// Whether `scope` has something called `name`.
fn gives(scope: &Scope, name: &str) -> bool {
    let exported = scope.imports.get(name).is_some_and(|import| import.exported);
    exported || scope.items.contains(name) || scope.children.contains_key(name)
}

/// Every file that is reached from `start`, with the one before it on a shortest way.
fn paths_from(uses: &[BTreeMap<usize, usize>], start: usize) -> BTreeMap<usize, usize> {
    let mut before = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(file) = open.pop_front() {
        for next in uses[file].keys() {
            if !before.contains_key(next) {
                before.insert(*next, file);
                open.push_back(*next);
            }
        }
    }
    before
}

/// A shortest circle through `start`, which is in one.
fn circle_through(uses: &[BTreeMap<usize, usize>], start: usize) -> Vec<usize> {
    let before = paths_from(uses, start);
    let mut circle = vec![before[&start]];
    while circle.last() != Some(&start) {
        circle.push(before[&circle[circle.len() - 1]]);
    }
    circle.reverse();
    circle
}

/// The circles of the crate whose root is `root`, with sources from `source`, and what else there is to know of it.
///
/// # Errors
/// As [`Crate::read`].
pub(crate) fn circles_of(
    root: &Path,
    source: &dyn Fn(&Path) -> Option<String>,
) -> Result<(Vec<Circle>, Crate), String> {
    let modules = Crate::read(root, source)?;
    Ok((circles(&modules), modules))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of made-up sources, each as `a.rs:1 b.rs:2`.
    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        let source =
            |path: &Path| sources.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| text.to_string());
        let (circles, _) = circles_of(Path::new("lib.rs"), &source).unwrap();
        let step = |step: &Step| format!("{}:{}", step.file.display(), step.line);
        circles.iter().map(|circle| circle.steps.iter().map(step).collect::<Vec<_>>().join(" ")).collect()
    }

    #[track_caller]
    fn check(sources: &[(&str, &str)], circles: &[&str]) {
        assert_eq!(found(sources), circles);
    }

    const ROOT: (&str, &str) = ("lib.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\n");

    #[test]
    fn modules_in_a_row_are_no_circle() {
        let (a, b, c) = ("use crate::b::B;\npub struct A;", "use crate::c::C;\npub struct B;", "pub struct C;");
        check(&[ROOT, ("a.rs", a), ("b.rs", b), ("c.rs", c)], &[]);
    }

    #[test]
    fn two_and_three_modules() {
        let (a, b, c) = ("use crate::b::B;\npub struct A;", "\nuse super::a::A;\npub struct B;", "");
        check(&[ROOT, ("a.rs", a), ("b.rs", b), ("c.rs", c)], &["a.rs:1 b.rs:2"]);
        let (b, c) = ("use crate::c::C;\npub struct B;", "pub struct C(crate::a::A);");
        check(&[ROOT, ("a.rs", a), ("b.rs", b), ("c.rs", c)], &["a.rs:1 b.rs:1 c.rs:1"]);
    }

    #[test]
    fn a_reexport_stands_for_what_it_names() {
        let (a, b) = ("use crate::b::make;\npub struct A;", "use crate::A;\npub fn make() -> A { A }");
        check(&[ROOT, ("a.rs", a), ("b.rs", b), ("c.rs", "")], &["a.rs:1 b.rs:1"]);
        // By a glob, and under another name.
        let root = "mod a;\nmod b;\nmod c;\npub use a::*;\npub(crate) use b::make as build;\n";
        let a = "fn f() { super::build(); }\npub struct A;";
        check(&[("lib.rs", root), ("a.rs", a), ("b.rs", b), ("c.rs", "")], &["a.rs:1 b.rs:1"]);
        // A child that takes a sibling from the parent does not use the parent.
        let root = "mod a;\nmod b;\npub use a::A;\npub use b::B;\n";
        check(&[("lib.rs", root), ("a.rs", "pub struct A;"), ("b.rs", "use super::A;\npub struct B;")], &[]);
    }

    #[test]
    fn groups_renames_and_lines() {
        let a = "use crate::{\n    b::{self, B as Other},\n    c,\n};\npub struct A;";
        let c = "use std::fmt;\nuse crate::a::*;";
        check(&[ROOT, ("a.rs", a), ("b.rs", "pub struct B;"), ("c.rs", c)], &["a.rs:3 c.rs:2"]);
    }

    #[test]
    fn a_parent_and_what_it_defines() {
        let child = "use super::Limit;\npub fn run(_: Limit) {}";
        let uses = [("lib.rs", "mod a;\npub struct Limit;\npub fn f() { a::run(Limit) }"), ("a.rs", child)];
        check(&uses, &["lib.rs:3 a.rs:1"]);
        let exported = "mod a;\npub use a::run;\npub struct Limit;\n";
        check(&[("lib.rs", exported), ("a.rs", child)], &[]);
        // What is re-exported and used here too is a use.
        let both = format!("{exported}pub fn f() {{ run(Limit) }}");
        check(&[("lib.rs", &both), ("a.rs", child)], &["lib.rs:4 a.rs:1"]);
        let folder = [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod b;\nfn f() { b::run() }\nstruct S;"),
            ("a/b.rs", "use crate::a::S;\npub fn run() {}"),
        ];
        check(&folder, &["a/mod.rs:2 a/b.rs:1"]);
    }

    #[test]
    fn paths_in_code_and_in_macros() {
        let b = "pub fn run() {\n    println!(\"{}\", crate::a::text());\n}";
        for a in ["fn f() {\n    crate::b::run() }", "fn f() {\n    use super::b as other; other::run() }"] {
            check(&[ROOT, ("a.rs", a), ("b.rs", b), ("c.rs", "")], &["a.rs:2 b.rs:2"]);
        }
        let said = "#[macro_export]\nmacro_rules! say { () => { $crate::b::run() } }";
        let b = "pub fn run() { crate::say!() }";
        check(&[ROOT, ("a.rs", said), ("b.rs", b), ("c.rs", "")], &["a.rs:2 b.rs:1"]);
    }

    #[test]
    fn comments_texts_and_tests_are_no_uses() {
        let a = "use crate::b::B;\npub struct A;";
        let b = "//! [`crate::a`]\n/// As [`crate::a::A`].\npub struct B;\n// crate::a::A\n\
                 const T: &str = \"crate::a::A\";\n#[cfg(test)]\nuse crate::a::A;\n\
                 #[cfg(test)]\nmod tests { use crate::a::A; }\n#[cfg(test)]\nmod more;";
        check(&[ROOT, ("a.rs", a), ("b.rs", b), ("c.rs", "")], &[]);
    }

    #[test]
    fn inline_modules_belong_to_their_file() {
        let a = "mod inner {\n    use super::super::b::B;\n    fn f() { super::g() }\n}\nfn g() {}\npub struct A;";
        check(&[ROOT, ("a.rs", a), ("b.rs", "pub struct B;"), ("c.rs", "")], &[]);
        let b = "pub struct B(crate::A);";
        check(&[ROOT, ("a.rs", a), ("b.rs", b), ("c.rs", "")], &["a.rs:2 b.rs:1"]);
    }

    #[test]
    fn knots_are_told_one_by_one() {
        let (a, b) = ("use crate::b::B;\npub struct A;", "use crate::a::A;\npub struct B;");
        let sources = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", a),
            ("b.rs", b),
            ("c.rs", "use crate::d;\nuse crate::a;"),
            ("d.rs", "use crate::c;"),
        ];
        check(&sources, &["a.rs:1 b.rs:1", "c.rs:1 d.rs:1"]);
        let (circles, _) = circles_of(Path::new("lib.rs"), &|path| {
            sources.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| text.to_string())
        })
        .unwrap();
        assert_eq!(circles[0].to_string(), "a circle of 2 modules:\n    a.rs:1 uses b.rs\n    b.rs:1 uses a.rs\n");
    }
}
