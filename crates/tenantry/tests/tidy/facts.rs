//! The facts of one Rust file that the rules ask for.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta, UseTree, Visibility};

/// The facts, mostly with their line. What is under `#[cfg(test)]` adds no path, type, text or switch.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The modules declared without a body.
    pub(crate) modules: Vec<Declared>,
    pub(crate) paths: Vec<WrittenPath>,
    /// The names of structs, enums and traits.
    pub(crate) types: Vec<(usize, String)>,
    /// The first line of each documentation.
    pub(crate) docs: Vec<(usize, String)>,
    /// The string literals.
    pub(crate) texts: Vec<(usize, String)>,
    /// The lines on which a body asks for a feature of the package.
    pub(crate) switches: Vec<usize>,
    /// The lines on which a test is skipped.
    pub(crate) skipped: Vec<usize>,
    /// True if the file starts with `//!`.
    pub(crate) has_preface: bool,
    /// True if the first item offered to others, or else the first of all, is documented.
    pub(crate) is_item_documented: bool,
}

#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) is_test: bool,
}

/// A path as it is written: `super::lease::Lease`.
#[derive(Debug)]
pub(crate) struct WrittenPath {
    pub(crate) line: usize,
    pub(crate) names: Vec<String>,
    /// The number of modules with a body around it.
    pub(crate) depth: usize,
    /// The name that a `use` gives it.
    pub(crate) alias: Option<String>,
    /// True for a `pub use`.
    pub(crate) is_offered: bool,
}

impl Facts {
    pub(crate) fn of(text: &str) -> syn::Result<Self> {
        let file = syn::parse_file(text)?;
        let mut reader = Reader::default();
        reader.visit_file(&file);
        let has_preface = file.attrs.iter().any(is_documentation);
        Ok(Self { has_preface, is_item_documented: is_item_documented(&file.items), ..reader.facts })
    }
}

/// A field of whatever kind of item this is.
macro_rules! field_of_item {
    ($item:expr, $field:ident, $type:ident { $($kind:ident)* }) => {
        match $item {
            $($type::$kind(item) => Some(&item.$field),)*
            _ => None,
        }
    };
}

fn attributes(item: &Item) -> &[Attribute] {
    field_of_item!(item, attrs, Item {
        Const Enum ExternCrate Fn ForeignMod Impl Macro Mod Static Struct Trait TraitAlias Type Union Use
    })
    .map_or(&[], Vec::as_slice)
}

fn is_item_documented(items: &[Item]) -> bool {
    let is_offered = |item: &&&Item| {
        let visibility = field_of_item!(item, vis, Item { Const Enum Fn Static Struct Trait Type Union });
        visibility.is_some_and(|it| !matches!(it, Visibility::Inherited))
    };
    let items: Vec<_> = items.iter().filter(|item| !matches!(item, Item::Use(_) | Item::Mod(_))).collect();
    let item = items.iter().find(is_offered).or(items.first());
    item.is_some_and(|item| attributes(item).iter().any(is_documentation))
}

fn line_of(span: Span) -> usize {
    span.start().line
}

fn is_documentation(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc")
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|it| it == "test")
}

fn asks_for_feature(condition: TokenStream) -> bool {
    condition.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "feature",
        TokenTree::Group(group) => asks_for_feature(group.stream()),
        _ => false,
    })
}

#[derive(Default)]
struct Reader {
    facts: Facts,
    is_in_test: bool,
    /// The number of blocks of code around.
    blocks: usize,
    /// The number of modules with a body around.
    modules: usize,
    /// The line of documentation that was read last.
    documented: Option<usize>,
}

impl Reader {
    fn path(&mut self, line: usize, names: Vec<String>, alias: Option<String>, is_offered: bool) {
        if !self.is_in_test {
            self.facts.paths.push(WrittenPath { line, names, depth: self.modules, alias, is_offered });
        }
    }

    fn switch(&mut self, line: usize, condition: TokenStream) {
        if !self.is_in_test && asks_for_feature(condition) {
            self.facts.switches.push(line);
        }
    }

    fn documentation(&mut self, line: usize, text: &str) {
        if self.documented.is_none_or(|last| line != last + 1) {
            self.facts.docs.push((line, text.trim().to_owned()));
        }
        self.documented = Some(line);
    }

    /// Flattens `error::{Error, Result}` into paths.
    fn imports(&mut self, tree: &UseTree, above: &[String], is_offered: bool) {
        let (name, alias) = match tree {
            UseTree::Path(path) => {
                let above = [above, &[path.ident.to_string()]].concat();
                return self.imports(&path.tree, &above, is_offered);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.imports(tree, above, is_offered));
            }
            UseTree::Glob(glob) => {
                return self.path(line_of(glob.star_token.spans[0]), above.to_vec(), None, is_offered);
            }
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(rename) => (&rename.ident, &rename.rename),
        };
        let mut names = above.to_vec();
        names.extend((name != "self").then(|| name.to_string()));
        let alias = if alias == "self" { names.last().cloned() } else { Some(alias.to_string()) };
        self.path(line_of(name.span()), names, alias, is_offered);
    }

    /// Reads the paths, texts and switches among the tokens of a macro, which are no syntax yet.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<syn::Ident> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(name) if colons == 2 => path.push(name),
                TokenTree::Ident(name) => {
                    self.path_of_tokens(&path);
                    path = vec![name];
                }
                TokenTree::Group(group) => {
                    if path.last().is_some_and(|name| name == "cfg") {
                        self.switch(line_of(group.span()), group.stream());
                    }
                    self.tokens(group.stream());
                }
                TokenTree::Literal(literal) => self.visit_lit(&Lit::new(literal)),
                TokenTree::Punct(_) => {}
            }
            colons = 0;
        }
        self.path_of_tokens(&path);
    }

    fn path_of_tokens(&mut self, path: &[syn::Ident]) {
        if let [first, _, ..] = path {
            self.path(line_of(first.span()), path.iter().map(ToString::to_string).collect(), None, false);
        }
    }

    fn item_with(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let is_in_test = self.is_in_test;
        self.is_in_test |= attributes.iter().any(is_for_tests);
        visit(self);
        self.is_in_test = is_in_test;
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let named = field_of_item!(item, ident, Item { Struct Enum Trait });
        self.item_with(attributes(item), |reader| {
            if let Some(name) = named.filter(|_| !reader.is_in_test) {
                reader.facts.types.push((line_of(name.span()), name.to_string()));
            }
            visit::visit_item(reader, item);
        });
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = field_of_item!(item, attrs, ImplItem { Const Fn Macro Type });
        self.item_with(attributes.map_or(&[], Vec::as_slice), |reader| visit::visit_impl_item(reader, item));
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_none() {
            self.facts.modules.push(Declared { name: module.ident.to_string(), is_test: self.is_in_test });
        }
        self.modules += 1;
        visit::visit_item_mod(self, module);
        self.modules -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.imports(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            self.path(line_of(path.segments[0].ident.span()), names, None, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.blocks += 1;
        visit::visit_block(self, block);
        self.blocks -= 1;
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let line = line_of(attribute.pound_token.span);
        match &attribute.meta {
            Meta::NameValue(it) if it.path.is_ident("doc") => {
                if let Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) = &it.value {
                    self.documentation(line, &text.value());
                }
            }
            Meta::List(it) if self.blocks > 0 && it.path.is_ident("cfg") => {
                self.switch(line, it.tokens.clone());
            }
            meta if meta.path().is_ident("ignore") => self.facts.skipped.push(line),
            _ => {}
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        if call.path.is_ident("cfg") {
            self.switch(line_of(call.path.segments[0].ident.span()), call.tokens.clone());
        }
        self.tokens(call.tokens.clone());
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        if !self.is_in_test {
            self.facts.texts.push((line_of(text.span()), text.value()));
        }
    }
}
