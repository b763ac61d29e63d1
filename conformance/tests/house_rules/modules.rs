//! The modules of a crate and what each of them names, read from the sources with `syn`.
//!
//! A module is a file: an inline `mod` block has a scope of its own, in which its paths are read, but belongs to the file
//! that it stands in. What is for tests alone is left out.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};

/// All scopes of a crate, the root's first.
pub(crate) struct Crate {
    /// Files relative to where sources are read from.
    pub(crate) files: Vec<PathBuf>,
    /// Files and inline `mod` blocks.
    pub(crate) scopes: Vec<Scope>,
    /// Where a macro is defined that every path from the root finds.
    pub(crate) exported_macros: BTreeMap<String, usize>,
    /// Files of modules that are for tests alone, or would lie there.
    pub(crate) of_tests: BTreeSet<PathBuf>,
}

/// What names mean in one place.
#[derive(Default)]
pub(crate) struct Scope {
    /// Index of its file.
    pub(crate) file: usize,
    /// The scope around it; `None` for the root.
    pub(crate) parent: Option<usize>,
    /// Modules in it, by name.
    pub(crate) children: BTreeMap<String, usize>,
    /// Names of what is defined here.
    pub(crate) items: BTreeSet<String>,
    /// What `use` lines give a name here.
    pub(crate) imports: BTreeMap<String, Import>,
    /// Paths of `use …::*`.
    pub(crate) globs: Vec<Vec<String>>,
    /// Paths that are used here.
    pub(crate) references: Vec<Reference>,
}

/// A name that a `use` line gives.
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    /// Whether others may take it from here: a re-export.
    pub(crate) exported: bool,
}

/// A path that code or a `use` line holds.
pub(crate) struct Reference {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

impl Crate {
    /// Reads the crate with the root `file`; `source` gives the text of a file, `None` where there is none.
    ///
    /// # Errors
    /// A module without a file, and what `syn` cannot parse.
    pub(crate) fn read(file: &Path, source: &dyn Fn(&Path) -> Option<String>) -> Result<Self, String> {
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let mut read = Self {
            files: vec![file.to_owned()],
            scopes: vec![Scope::default()],
            exported_macros: BTreeMap::new(),
            of_tests: BTreeSet::new(),
        };
        let mut open = vec![(0, folder)];
        while let Some((scope, children_folder)) = open.pop() {
            let path = read.files[read.scopes[scope].file].clone();
            let text = source(&path).ok_or_else(|| format!("{}: no such file", path.display()))?;
            let parsed = syn::parse_file(&text)
                .map_err(|error| format!("{}:{}: {error}", path.display(), error.span().start().line))?;
            let mut reader = Reader { read: &mut read, scope, children_folder, in_function: false, found: Vec::new() };
            reader.visit_file(&parsed);
            for found in reader.found {
                let file = found.places.iter().find(|place| source(place).is_some()).ok_or_else(|| {
                    format!("{}: there is no file for `mod {}`", path.display(), found.places[0].display())
                })?;
                let plain = file.file_stem().is_some_and(|stem| stem != "mod");
                let folder = if plain { file.with_extension("") } else { file.with_file_name("") };
                read.scopes[found.scope].file = read.files.len();
                read.files.push(file.clone());
                open.push((found.scope, folder));
            }
        }
        Ok(read)
    }
}

/// A module that has a file of its own.
struct Found {
    scope: usize,
    /// Where its file may be.
    places: Vec<PathBuf>,
}

/// Reads one file into the scope `scope` and those inside.
struct Reader<'a> {
    read: &'a mut Crate,
    scope: usize,
    /// Where modules of this scope have their files.
    children_folder: PathBuf,
    /// What a function imports and defines has no name outside.
    in_function: bool,
    found: Vec<Found>,
}

impl Reader<'_> {
    fn here(&mut self) -> &mut Scope {
        &mut self.read.scopes[self.scope]
    }

    fn refer(&mut self, path: Vec<String>, line: usize) {
        self.here().references.push(Reference { path, line });
    }

    /// Takes in what a `use` line names below `prefix`.
    fn import(&mut self, tree: &syn::UseTree, prefix: &[String], exported: bool) {
        let (ident, name) = match tree {
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, prefix, exported));
                return;
            }
            syn::UseTree::Path(path) => {
                self.import(&path.tree, &[prefix, &[path.ident.to_string()]].concat(), exported);
                return;
            }
            syn::UseTree::Glob(glob) => {
                if !exported {
                    self.refer(prefix.to_vec(), glob.star_token.spans[0].start().line);
                }
                if !self.in_function {
                    self.here().globs.push(prefix.to_vec());
                }
                return;
            }
            syn::UseTree::Name(name) => (&name.ident, &name.ident),
            syn::UseTree::Rename(rename) => (&rename.ident, &rename.rename),
        };
        let mut path = prefix.to_vec();
        if ident != "self" || prefix.is_empty() {
            path.push(ident.to_string());
        }
        let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name.to_string() };
        if !exported {
            self.refer(path.clone(), ident.span().start().line);
        }
        // `use name;` of something found here already gives it no other meaning.
        if !self.in_function && path != [name.as_str()] {
            self.here().imports.insert(name, Import { path, exported });
        }
    }

    /// Takes in the paths among the tokens of a macro's arguments, which are no syntax tree.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match &token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.refer_tokens(&mut path, line);
                    }
                    line = ident.span().start().line;
                    path.push(ident.to_string());
                }
                TokenTree::Group(group) => {
                    self.refer_tokens(&mut path, line);
                    self.tokens(group.stream());
                }
                _ => self.refer_tokens(&mut path, line),
            }
            colons = 0;
        }
        self.refer_tokens(&mut path, line);
    }

    /// A lone lower-case word in a macro may be anything, and is left out.
    fn refer_tokens(&mut self, path: &mut Vec<String>, line: usize) {
        let path = std::mem::take(path);
        if path.len() > 1 || path.first().is_some_and(|word| word.starts_with(char::is_uppercase)) {
            self.refer(path, line);
        }
    }

    /// The name of what an item defines, where it has one.
    fn define(&mut self, item: &syn::Item) {
        let name = match item {
            syn::Item::Const(item) => &item.ident,
            syn::Item::Enum(item) => &item.ident,
            syn::Item::Fn(item) => &item.sig.ident,
            syn::Item::Static(item) => &item.ident,
            syn::Item::Struct(item) => &item.ident,
            syn::Item::Trait(item) => &item.ident,
            syn::Item::Type(item) => &item.ident,
            syn::Item::Union(item) => &item.ident,
            syn::Item::Macro(item) => {
                let Some(name) = &item.ident else { return };
                if item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")) {
                    self.read.exported_macros.insert(name.to_string(), self.scope);
                }
                name
            }
            _ => return,
        };
        let name = name.to_string();
        self.here().items.insert(name);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if attributes(item).iter().any(is_for_tests) {
            if let syn::Item::Mod(module) = item {
                let places = places(&self.children_folder, &module.ident.to_string());
                self.read.of_tests.extend(places);
            }
            return;
        }
        if !self.in_function {
            self.define(item);
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !function.attrs.iter().any(is_for_tests) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        let (file, inner) = (self.here().file, self.read.scopes.len());
        self.read.scopes.push(Scope { file, parent: Some(self.scope), ..Scope::default() });
        self.here().children.insert(name.clone(), inner);
        let Some((_, items)) = &module.content else {
            let places = match path_attribute(module) {
                Some(path) => vec![self.read.files[file].with_file_name(path)],
                None => places(&self.children_folder, &name),
            };
            self.found.push(Found { scope: inner, places });
            return;
        };
        let folder = self.children_folder.join(&name);
        let outer = (std::mem::replace(&mut self.scope, inner), std::mem::replace(&mut self.children_folder, folder));
        items.iter().for_each(|item| self.visit_item(item));
        (self.scope, self.children_folder) = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], !matches!(item.vis, syn::Visibility::Inherited));
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let outer = std::mem::replace(&mut self.in_function, true);
        visit::visit_block(self, block);
        self.in_function = outer;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // A lone lower-case word may be a variable; those that are functions are seen where they are called.
        if path.leading_colon.is_none() && (words.len() > 1 || words[0].starts_with(char::is_uppercase)) {
            self.refer(words, path.segments[0].ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(function) = &*call.func
            && let Some(word) = function.path.get_ident()
        {
            self.refer(vec![word.to_string()], word.span().start().line);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

/// Where the file of the module `name` may be.
fn places(folder: &Path, name: &str) -> Vec<PathBuf> {
    let name = name.trim_start_matches("r#");
    vec![folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")]
}

/// What `#[path = "…"]` says.
fn path_attribute(module: &syn::ItemMod) -> Option<String> {
    let attribute = module.attrs.iter().find(|attribute| attribute.path().is_ident("path"))?;
    let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else { return None };
    Some(text.value())
}

/// Whether it is `#[test]`, or a `#[cfg(…)]` that asks for tests.
fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let asks = |list: &syn::MetaList| {
        let words: Vec<String> = list.tokens.clone().into_iter().map(|token| token.to_string()).collect();
        words == ["test"]
            || words.first().is_some_and(|word| word == "all")
                && words.last().is_some_and(|inner| inner.contains("test"))
    };
    match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) => list.path.is_ident("cfg") && asks(list),
        syn::Meta::NameValue(_) => false,
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
