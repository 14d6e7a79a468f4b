//! Templates in handlebars, the helpers, and what a render read
