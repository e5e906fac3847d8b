//! Which attempts have a usage row: all that are sent, or those only that an account is charged for.

use serde_json::Value;
use tollgate::store::UsageRow;

use crate::credit_fee::{along, own};
use crate::pair;
use crate::reload_files::configure;
use crate::support::client::{self, Request, Response};
use crate::support::gateway::Builder;
use crate::support::upstream;
use crate::till::{COST, Till};

/// With an account `own` that has a key for the provider.
fn with_own(gateway: Builder) -> Builder {
    gateway
        .key("own", &["--account", "own"])
        .stored("own", "one", "main", &[])
        .prepaid("own", "1")
}

/// The same, where only what is charged is written down.
fn charged(gateway: Builder) -> Builder {
    with_own(gateway).config("credit.rows", "charged")
}

async fn served(till: &Till, request: &Request) -> Response {
    let response = till.send(request).await;
    assert_eq!(response.status, 200, "{}", response.text());
    response
}

/// What the caller is told of its request: the status, and the answer.
async fn told(till: &Till, key: &str, response: &Response) -> (u16, Value) {
    let id = response.header("tollgate-request-id").expect("an id");
    let request = client::get(&format!("/tollgate/v1/requests/{id}"));
    let told = till
        .send(&request.bearer(till.gateway.key_named(key)))
        .await;
    (told.status, told.json())
}

fn sources(rows: &[UsageRow]) -> Vec<&str> {
    rows.iter().map(|row| row.credential.as_str()).collect()
}

#[tokio::test]
async fn what_costs_an_account_nothing_has_no_row_but_is_logged_and_counted() {
    let till = Till::with(upstream::h1(), charged).await;
    let on_own = served(&till, &own(&till)).await;
    served(&till, &along(&till)).await;
    till.upstream.push(pair::error(400));
    let refused = own(&till).header("tollgate-failover", "off");
    assert_eq!(till.send(&refused).await.status, 400);
    // Rows are written in order: those before it would be there.
    let paid = served(&till, &till.chat()).await;
    assert_eq!(sources(&till.rows(1).await), ["gateway"]);
    till.is_charged(COST).await;

    assert_eq!(told(&till, "test", &paid).await.0, 200);
    assert_eq!(told(&till, "own", &on_own).await.0, 404);
    let lines = &till.gateway.access_lines(6).await[..4];
    let tokens = |line: &Value| (line["usage"].clone(), line["tokens_in"].clone());
    assert_eq!(tokens(&lines[0]), ("reported".into(), 31.into()));
    assert_eq!(tokens(&lines[1]), tokens(&lines[0]));
    let costs: Vec<_> = lines.iter().map(|line| line.get("cost_nano")).collect();
    assert_eq!(costs, [None, None, None, Some(&COST.into())]);
    let metrics = till.gateway.metrics().await;
    let tokens = [("provider", "one"), ("kind", "input")];
    assert_eq!(metrics.sum("tollgate_tokens_total", &tokens), 3.0 * 31.0);
    assert_eq!(metrics.sum("tollgate_usage_rows_total", &[]), 1.0);
}

#[tokio::test]
async fn what_is_held_has_a_row_also_where_it_cost_nothing_in_the_end() {
    let till = Till::with(upstream::h1(), charged).await;
    till.upstream.push(pair::error(400));
    let refused = till.chat().header("tollgate-failover", "off");
    assert_eq!(till.send(&refused).await.status, 400);
    assert_eq!(sources(&till.rows(1).await), ["gateway"]);
    till.is_charged(0).await;
}

#[tokio::test]
async fn a_fee_has_a_row() {
    let with_fee = |gateway| charged(gateway).config("credit.fee.per_request", "0.0001");
    let till = Till::with(upstream::h1(), with_fee).await;
    let on_own = served(&till, &own(&till)).await;
    assert_eq!(sources(&till.rows(1).await), ["byok"]);
    let (status, told) = told(&till, "own", &on_own).await;
    assert_eq!((status, &told["cost"]["total"]), (200, &"0.0001".into()));
}

#[tokio::test]
async fn a_reload_changes_which_have_one() {
    let with_own = |gateway| with_own(gateway).config("catalog.watch", false);
    let till = Till::with(upstream::h1(), with_own).await;
    served(&till, &own(&till)).await;
    for rows in ["charged", "all"] {
        configure(&till.gateway, "credit", "rows", rows);
        let answer = till.gateway.post_admin("/reload").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        served(&till, &own(&till)).await;
    }
    served(&till, &till.chat()).await;
    let rows = till.rows(3).await;
    assert_eq!(sources(&rows), ["byok", "byok", "gateway"]);
}
