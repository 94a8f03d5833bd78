use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Error, Expr, ExprLit, Ident, Lit, LitStr, Path, Result, Token, parenthesized,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

const KNOWN: &str = "`migrations`, `tenants`, `domain`, `configure`, `behind_pooler` and `flavor`";

/// The arguments of the attribute.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) tenants: Vec<LitStr>,
    pub(crate) runtime: Flavor,
    /// Calls on the builder of the world.
    pub(crate) calls: Vec<TokenStream>,
    given: Vec<String>,
}

/// The runtime that a test runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flavor {
    #[default]
    CurrentThread,
    MultiThread,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let name: Ident = input.parse()?;
            options.take(&name, input)?;
            if input.is_empty() {
                break;
            }
            input.parse::<Token![,]>()?;
        }
        Ok(options)
    }
}

impl Options {
    fn take(&mut self, name: &Ident, input: ParseStream<'_>) -> Result<()> {
        let text = name.to_string();
        if self.given.contains(&text) {
            return Err(Error::new(name.span(), format!("`{text}` is given twice")));
        }
        match text.as_str() {
            "tenants" => self.tenants = tenants(input)?,
            "migrations" if input.peek(Token![=]) => {
                let value = value(input)?;
                self.calls.push(match &value {
                    Expr::Lit(ExprLit { lit: Lit::Str(folder), .. }) => quote!(.migrations_in(#folder)),
                    given => quote!(.migrations(#given)),
                });
            }
            "migrations" => self.calls.push(folders(input)?),
            "domain" => {
                let domain = string(input)?;
                self.calls.push(quote!(.domain(#domain)));
            }
            "configure" => {
                input.parse::<Token![=]>()?;
                let function: Path = input.parse()?;
                self.calls.push(quote!(.configure(#function)));
            }
            "behind_pooler" => self.calls.push(quote!(.behind_pooler())),
            "flavor" => self.runtime = flavor(&string(input)?)?,
            _ => {
                return Err(Error::new(
                    name.span(),
                    format!("`{text}` is no argument here; there are {KNOWN}"),
                ));
            }
        }
        self.given.push(text);
        Ok(())
    }
}

fn value(input: ParseStream<'_>) -> Result<Expr> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn string(input: ParseStream<'_>) -> Result<LitStr> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// `("acme", "globex")`
fn tenants(input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    let content;
    parenthesized!(content in input);
    let slugs: Vec<LitStr> =
        Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?.into_iter().collect();
    for (index, slug) in slugs.iter().enumerate() {
        if let Some(problem) = problem_of(&slug.value()) {
            return Err(Error::new(slug.span(), problem));
        }
        if slugs[..index].iter().any(|other| argument_of(&other.value()) == argument_of(&slug.value())) {
            let message =
                format!("the argument of `{}` would have the name of another tenant's", slug.value());
            return Err(Error::new(slug.span(), message));
        }
    }
    Ok(slugs)
}

/// Says what keeps a text from being the slug of a tenant. The library knows more, and asks at run time.
fn problem_of(slug: &str) -> Option<String> {
    let is_fine = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '-');
    if slug.is_empty() {
        return Some("the slug of a tenant is not empty".to_owned());
    }
    let wrong = slug.chars().find(|character| !is_fine(*character))?;
    Some(format!("`{slug}` is no slug: it holds `{wrong}`, and may hold a to z, 0 to 9 and `-`"))
}

/// The name of the argument that is the tenant of a slug.
pub(crate) fn argument_of(slug: &str) -> String {
    slug.replace('-', "_")
}

/// `(master = "a", tenant = "b")`, or one of them
fn folders(input: ParseStream<'_>) -> Result<TokenStream> {
    let content;
    parenthesized!(content in input);
    let (mut master, mut tenant) =
        (quote!(::core::option::Option::None), quote!(::core::option::Option::None));
    while !content.is_empty() {
        let name: Ident = content.parse()?;
        let folder = string(&content)?;
        let place = match name.to_string().as_str() {
            "master" => &mut master,
            "tenant" => &mut tenant,
            _ => return Err(Error::new(name.span(), "the migrations are those of `master` and of `tenant`")),
        };
        *place = quote!(::core::option::Option::Some(#folder));
        if !content.is_empty() {
            content.parse::<Token![,]>()?;
        }
    }
    Ok(quote!(.migrations_of(#master, #tenant)))
}

fn flavor(name: &LitStr) -> Result<Flavor> {
    match name.value().as_str() {
        "current_thread" => Ok(Flavor::CurrentThread),
        "multi_thread" => Ok(Flavor::MultiThread),
        _ => Err(Error::new(name.span(), "a flavor is `current_thread` or `multi_thread`")),
    }
}
