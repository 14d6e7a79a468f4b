//! Puts the helpers that compute into handlebars, and says what happens to names that nobody knows.

use std::sync::LazyLock;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError,
    RenderErrorReason, Renderable, ScopedJson,
};
use serde_json::Value;

use crate::args::{Args, text_of};
use crate::numbers::is_true;
use crate::signature::{Does, SIGNATURES, Signature};
use crate::{printed, signature};

static REGISTRY: LazyLock<Handlebars<'static>> = LazyLock::new(build);

/// Every helper that computes. What reads is lent to each render.
pub(crate) fn registry() -> &'static Handlebars<'static> {
    &REGISTRY
}

fn build() -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    // What handlebars has and the table has not: `log`, and the likes of a later version.
    registry.unregister_helper("log");
    registry.register_escape_fn(printed::marked);
    registry.register_helper("helperMissing", Box::new(Missing));
    for signature in SIGNATURES {
        if let Does::Computes(run) = signature.does {
            for name in signature.names {
                registry.register_helper(name, Box::new(Computing { signature, run }));
            }
        }
    }
    registry
}

/// A helper's error, with the helper's name.
pub(crate) fn failed(helper: &str, message: &str) -> RenderError {
    RenderErrorReason::Other(format!("`{helper}`: {message}")).into()
}

struct Computing {
    signature: &'static Signature,
    run: fn(&Args<'_>) -> Result<Value, String>,
}

impl HelperDef for Computing {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let value = (self.run)(&Args::of(helper)).map_err(|message| failed(helper.name(), &message))?;
        Ok(ScopedJson::Derived(value))
    }

    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        // A raw block, `{{{{raw}}}} … {{{{/raw}}}}`, has no value.
        if helper.is_block() && self.signature.name() == "raw" {
            return helper.template().map_or(Ok(()), |text| text.render(registry, context, render, out));
        }
        let value = self.call_inner(helper, registry, context, render)?;
        write(self.signature, helper, value.as_json(), (registry, context), render, out)
    }
}

/// Prints a helper's value, or takes one of the branches if the helper is a block.
pub(crate) fn write<'reg: 'rc, 'rc>(
    signature: &Signature,
    helper: &Helper<'rc>,
    value: &Value,
    (registry, context): (&'reg Handlebars<'reg>, &'rc Context),
    render: &mut RenderContext<'reg, 'rc>,
    out: &mut dyn Output,
) -> HelperResult {
    if helper.is_block() {
        let branch = if is_true(value) { helper.template() } else { helper.inverse() };
        return branch.map_or(Ok(()), |branch| branch.render(registry, context, render, out));
    }
    let Some(text) = text_of(value) else {
        return Err(failed(
            helper.name(),
            "gives a list or a map, which cannot be printed; `join` or `json` it",
        ));
    };
    let text = if signature.is_trusted() { printed::unmarked(&text) } else { printed::marked(&text) };
    Ok(out.write(&text)?)
}

/// Called by handlebars for a printed name that is nothing.
struct Missing;

impl HelperDef for Missing {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let name = helper.name();
        if !helper.params().is_empty() || signature::find(name).is_some() {
            return Err(RenderErrorReason::Other(format!("unknown helper `{name}`")).into());
        }
        // A key that a map lacks and an index past the end are empty; a text or a number has no keys at all.
        let parent = name.rfind(['.', '/']).map_or("this", |end| &name[..end]);
        // Of `../x` and `x.[a.b]` this is no path; what can be known of them was checked beforehand.
        match render.evaluate(context, parent).as_ref().map(ScopedJson::as_json) {
            Ok(Value::String(_) | Value::Number(_) | Value::Bool(_)) => {
                Err(RenderErrorReason::Other(format!("`{name}`: `{parent}` has no fields")).into())
            }
            _ => Ok(ScopedJson::Derived(Value::Null)),
        }
    }
}
