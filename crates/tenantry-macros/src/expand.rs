use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Error, FnArg, Ident, ItemFn, Pat, PatType, Result, Type, spanned::Spanned as _};

use crate::options::{Flavor, Options, argument_of};

/// Types that are a tenant's, by whatever path they are written.
const OF_TENANTS: [&str; 4] = ["Tenant", "TenantDb", "TenantReadDb", "TenantClient"];

/// Turns an `async fn` into a test.
pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let options: Options = syn::parse2(arguments)?;
    let function: ItemFn = syn::parse2(function)?;
    refuse(&function)?;
    let arguments = function.sig.inputs.iter().map(|argument| Argument::read(argument, &options));
    let arguments = arguments.collect::<Result<Vec<_>>>()?;
    Ok(test(&options, &function, &arguments))
}

/// Refuses functions that nobody could call.
fn refuse(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        let message = "a test is an `async fn`: the database is asked in it";
        return Err(Error::new(signature.fn_token.span(), message));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.generics.span(), "a test has no generic parameters"));
    }
    if let Some(other) = function.attrs.iter().find(|attribute| is_other_test(attribute)) {
        let message = "`#[tenantry::test]` makes the test and its runtime; remove this attribute";
        return Err(Error::new(other.span(), message));
    }
    Ok(())
}

/// `#[test]`, `#[tokio::test]` and their like would run the function once more.
fn is_other_test(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "test")
}

/// An argument of the function.
struct Argument<'a> {
    kind: &'a Type,
    /// The slug of its tenant, if it is one.
    tenant: Option<String>,
}

impl<'a> Argument<'a> {
    fn read(argument: &'a FnArg, options: &Options) -> Result<Self> {
        let PatType { pat, ty, .. } = match argument {
            FnArg::Typed(typed) => typed,
            FnArg::Receiver(receiver) => {
                return Err(Error::new(receiver.span(), "a test is no method"));
            }
        };
        let Pat::Ident(name) = &**pat else {
            let message = "an argument has a name here: it says which tenant it is";
            return Err(Error::new(pat.span(), message));
        };
        let tenant = tenant_of(&name.ident, options);
        if tenant.is_none() && is_of_tenants(ty) {
            return Err(Error::new(name.ident.span(), unknown_tenant(&name.ident, options)));
        }
        Ok(Self { kind: ty, tenant })
    }

    /// The expression that it is made of. The compiler complains about its type where that is written.
    fn value(&self, world: &Ident) -> TokenStream {
        let kind = self.kind;
        let (of, by) = match &self.tenant {
            Some(slug) => (quote!(FromTenant), quote!(from_tenant(&#world, #slug))),
            None => (quote!(FromWorld), quote!(from_world(&#world))),
        };
        quote_spanned!(kind.span()=> <#kind as ::tenantry::testing::#of>::#by)
    }
}

/// The slug of the tenant that goes by the name of an argument. One that is not used begins with `_`.
fn tenant_of(name: &Ident, options: &Options) -> Option<String> {
    let name = bare(name);
    let mut slugs = options.tenants.iter().map(syn::LitStr::value);
    slugs.find(|slug| argument_of(slug) == name)
}

fn bare(name: &Ident) -> String {
    let name = name.to_string();
    name.trim_start_matches("r#").trim_start_matches('_').to_owned()
}

fn is_of_tenants(kind: &Type) -> bool {
    let Type::Path(path) = kind else { return false };
    path.path.segments.last().is_some_and(|last| OF_TENANTS.iter().any(|name| last.ident == name))
}

fn unknown_tenant(name: &Ident, options: &Options) -> String {
    let name = bare(name);
    let known: Vec<_> =
        options.tenants.iter().map(|slug| format!("`{}`", argument_of(&slug.value()))).collect();
    if known.is_empty() {
        return format!(
            "there is no tenant `{name}`: write `#[tenantry::test(tenants(\"{}\"))]`",
            name.replace('_', "-")
        );
    }
    format!("there is no tenant `{name}` in `tenants(…)`, only {}", known.join(" and "))
}

fn test(options: &Options, function: &ItemFn, arguments: &[Argument<'_>]) -> TokenStream {
    let ItemFn { attrs, vis, sig, block, .. } = function;
    let (name, inputs, output) = (&sig.ident, &sig.inputs, &sig.output);
    let (tenants, calls) = (&options.tenants, &options.calls);
    let world = format_ident!("world", span = proc_macro2::Span::mixed_site());
    let values = arguments.iter().map(|argument| argument.value(&world));
    let runtime = match options.runtime {
        Flavor::CurrentThread => quote!(CurrentThread),
        Flavor::MultiThread => quote!(MultiThread),
    };
    let should_panic = attrs.iter().any(|attribute| attribute.path().is_ident("should_panic"));
    let outcome = if should_panic { quote!(ShouldPanic) } else { quote!(ShouldReturn) };
    quote! {
        #(#attrs)*
        #[::core::prelude::v1::test]
        #vis fn #name() #output {
            async fn #name(#inputs) #output #block

            let builder = ::tenantry::testing::World::builder()
                .folder(::core::env!("CARGO_MANIFEST_DIR"))
                .tenants([#(#tenants),*] as [&str; _])
                #(#calls)*;
            ::tenantry::testing::attribute::run(
                builder,
                ::tenantry::testing::attribute::Runtime::#runtime,
                ::tenantry::testing::attribute::TestEnd::#outcome,
                async |#world| #name(#(#values),*).await,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr as _;

    use super::*;

    /// The text at which the attribute complains, and what it says.
    #[track_caller]
    fn refused(arguments: &str, function: &str) -> (String, String) {
        let tokens = |text| TokenStream::from_str(text).expect("tokens");
        let error = expand(tokens(arguments), tokens(function)).expect_err("it is refused");
        (error.span().source_text().unwrap_or_default(), error.to_string())
    }

    #[track_caller]
    fn check(arguments: &str, function: &str, place: &str, part: &str) {
        let (text, message) = refused(arguments, function);
        assert_eq!(text, place, "{message}");
        assert!(message.contains(part), "{message}");
    }

    #[track_caller]
    fn expanded(arguments: &str, function: &str) -> String {
        let tokens = |text| TokenStream::from_str(text).expect("tokens");
        expand(tokens(arguments), tokens(function)).expect("it is a test").to_string()
    }

    #[test]
    fn a_mistake_is_told_where_it_is() {
        check("", "fn f(world: World) {}", "fn", "`async fn`");
        check("tenant(\"acme\")", "async fn f() {}", "tenant", "no argument here");
        check("tenants(\"acme\")", "async fn f(globex: TenantDb) {}", "globex", "only `acme`");
        check("", "async fn f(acme: tenantry::TenantDb) {}", "acme", "tenants(\"acme\")");
        check("tenants(\"Acme\")", "async fn f() {}", "\"Acme\"", "it holds `A`");
        check("tenants(\"\")", "async fn f() {}", "\"\"", "not empty");
        check("tenants(\"a-b\", \"a-b\")", "async fn f() {}", "\"a-b\"", "another tenant's");
        check("tenants(acme)", "async fn f() {}", "acme", "expected string literal");
        check("domain = 1", "async fn f() {}", "1", "expected string literal");
        check("migrations(masters = \"a\")", "async fn f() {}", "masters", "`master` and of `tenant`");
        check("behind_pooler, behind_pooler", "async fn f() {}", "behind_pooler", "twice");
        check("flavor = \"both\"", "async fn f() {}", "\"both\"", "multi_thread");
        check("", "async fn f<T>(world: T) {}", "<T>", "generic");
        check("", "async fn f((a, b): (World, World)) {}", "(a, b)", "has a name");
        check("", "#[tokio::test] async fn f() {}", "#[tokio::test]", "remove this attribute");
    }

    #[test]
    fn an_argument_is_the_tenant_of_its_name() {
        let test = expanded("tenants(\"acme-eu\")", "async fn f(world: World, _acme_eu: Db) {}");
        assert!(test.contains("< Db as :: tenantry :: testing :: FromTenant > :: from_tenant"), "{test}");
        assert!(test.contains("\"acme-eu\""), "{test}");
        assert!(test.contains("< World as :: tenantry :: testing :: FromWorld >"), "{test}");
    }

    #[test]
    fn attributes_and_the_answer_stay() {
        let test =
            expanded("", "#[cfg(unix)] #[ignore = \"slow\"] pub async fn f() -> Result<(), E> { Ok(()) }");
        assert!(test.starts_with("# [cfg (unix)] # [ignore = \"slow\"]"), "{test}");
        assert!(test.contains("pub fn f () -> Result < () , E >"), "{test}");
        assert!(test.contains("ShouldReturn"), "{test}");
        assert!(expanded("", "#[should_panic] async fn f() {}").contains("ShouldPanic"));
    }

    #[test]
    fn nothing_has_to_be_given() {
        let test = expanded("", "async fn f(world: World) {}");
        assert!(!test.contains("migrations"), "{test}");
        let folders = expanded("migrations(tenant = \"t\")", "async fn f() {}");
        assert!(folders.contains("migrations_of"), "{folders}");
        assert!(expanded("migrations = \"m\", behind_pooler", "async fn f() {}").contains("migrations_in"));
        assert!(expanded("migrations = mine()", "async fn f() {}").contains(". migrations (mine ())"));
    }
}
