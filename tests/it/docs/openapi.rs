//! The OpenAPI document that is checked in is the one that the admin listener serves.

use super::root;

#[test]
fn the_document_that_is_checked_in_is_made_of_the_routes() {
    let path = root().join("docs/openapi.json");
    let made = tollgate::admin::openapi();
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if kept == made {
        return;
    }
    if std::env::var_os("TOLLGATE_REWRITE").is_some() {
        std::fs::write(&path, made).expect("a file that can be written");
        return;
    }
    panic!("docs/openapi.json is not what the routes make; TOLLGATE_REWRITE=1 writes it anew");
}
