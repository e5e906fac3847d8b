//! Several endpoints of one provider: each gets its share of the requests, and stands in for the others.

use serde_json::json;

use crate::ask;
use crate::support::gateway::{custom, gateway};
use crate::support::upstream;

#[tokio::test]
async fn each_endpoint_gets_the_share_that_its_weight_says_and_never_all_at_once() {
    let [large, small] = [
        upstream::h1().reply(ask::answer()).start().await,
        upstream::h1().reply(ask::answer()).start().await,
    ];
    let endpoints = json!([
        {"url": format!("{}/v1", large.origin()), "weight": 30, "name": "large"},
        {"url": format!("{}/v1", small.origin()), "weight": 10, "name": "small"}
    ]);
    let house = custom("house").model("m").set("endpoints", endpoints);
    let gateway = gateway().custom(house, &large).start().await;
    for round in 1..=10 {
        for _ in 0..4 {
            let response = gateway.chat(ask::surface("chat").body("m")).await;
            assert_eq!(response.status, 200, "{}", response.text());
        }
        assert_eq!((large.count(), small.count()), (3 * round, round));
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_stood_in_for() {
    let refusing = upstream::refusing();
    let well = upstream::h1().reply(ask::answer()).start().await;
    let endpoints = json!([
        {"url": format!("{}/v1", refusing.origin()), "weight": 5},
        {"url": format!("{}/v1", well.origin())}
    ]);
    let house = custom("house").model("m").set("endpoints", endpoints);
    let gateway = gateway().custom(house, &well).start().await;
    for count in 1..=6 {
        let response = gateway.chat(ask::surface("chat").body("m")).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(well.count(), count);
    }
}
