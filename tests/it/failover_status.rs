//! A provider that answers with an error: which statuses let a next candidate be tried, and what the client gets when
//! nothing is left. What 401, 402, 403 and 429 mean for a provider's keys is in `failover_keys`.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::pair::{self, MODEL, MODES, Pair, Reached, attempts, chat, code, error, good};
use crate::support::client::{Ending, Response};
use crate::support::upstream::{self, Behaviour, Reply, Upto, behave, fault};

/// Statuses that speak of the provider.
const OF_THE_PROVIDER: [u16; 15] = [
    408, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 528, 529,
];

/// Statuses that speak of the request, or of nothing that another candidate could mend.
const OF_THE_REQUEST: [u16; 14] = [
    400, 404, 405, 409, 410, 413, 415, 418, 422, 451, 501, 505, 519, 530,
];

/// An answer with everything in it that must not be lost: an odd content type, fields of its own, bytes that are no text.
fn peculiar(status: u16, body: impl Into<Bytes>) -> Reply {
    Reply::status(status)
        .header("content-type", "application/problem+json; charset=weird")
        .header("x-request-id", "req-of-the-provider")
        .header("X-Provider-Detail", "a, b;c=\"d\"")
        .header("retry-after", "77")
        .piece(body)
}

const PECULIAR: &[u8] =
    b"{\"error\": {\"code\" : 1e0, \"text\":\"\\u00e9 \xc3\xa9 \x00\xff\"} }\r\n";

fn is_peculiar(response: &Response, status: u16, body: &[u8], context: &str) {
    assert_eq!(response.status, status, "{context}");
    assert_eq!(response.body, body, "{context}");
    assert_eq!(response.ending, Ending::Whole, "{context}");
    let fields = [
        ("content-type", "application/problem+json; charset=weird"),
        ("x-request-id", "req-of-the-provider"),
        ("x-provider-detail", "a, b;c=\"d\""),
        ("retry-after", "77"),
    ];
    for (name, value) in fields {
        assert_eq!(response.head.all(name), [value], "{context}: {name}");
    }
    assert!(
        response.header("tollgate-request-id").is_some(),
        "{context}"
    );
}

#[tokio::test]
async fn an_error_of_the_provider_lets_the_next_candidate_be_tried() {
    let pair = Pair::start(|gateway| gateway).await;
    for (status, mode) in OF_THE_PROVIDER
        .into_iter()
        .flat_map(|status| ["on", "safe"].map(|mode| (status, mode)))
    {
        let (response, reached) = pair.meet(error(status), mode, 0).await;
        assert_eq!(
            (response.status, reached),
            (200, Reached(1, 1)),
            "{status}, {mode}"
        );
        let told = [
            format!("one:{MODEL};server_error;status={status}"),
            format!("two:{MODEL};ok;status=200"),
        ];
        assert_eq!(attempts(&response), told);
    }
}

#[tokio::test]
async fn in_mode_off_an_error_of_the_provider_is_the_answer() {
    let pair = Pair::start(|gateway| gateway).await;
    for status in OF_THE_PROVIDER {
        let (response, reached) = pair.meet(peculiar(status, PECULIAR), "off", 0).await;
        assert_eq!(reached, Reached(1, 0), "{status}");
        is_peculiar(&response, status, PECULIAR, "off");
    }
}

#[tokio::test]
async fn an_error_of_the_request_is_the_answer_in_every_mode() {
    let pair = Pair::start(|gateway| gateway).await;
    for (status, mode) in OF_THE_REQUEST
        .into_iter()
        .flat_map(|status| MODES.map(|mode| (status, mode)))
    {
        let (response, reached) = pair.meet(peculiar(status, PECULIAR), mode, 0).await;
        assert_eq!(reached, Reached(1, 0), "{status}, {mode}");
        is_peculiar(&response, status, PECULIAR, mode);
    }
}

#[tokio::test]
async fn the_next_candidate_gets_the_whole_body_whatever_the_first_took_of_it() {
    let pair = Pair::start(|gateway| gateway).await;
    for size in [1024, 64 * 1024 + 1, 20 << 20] {
        let failures = [
            ("after the body", Behaviour::from(error(503))),
            (
                "before the body, then closing",
                fault::early(error(503)).close(),
            ),
            (
                "before the body, then gone",
                fault::early(error(503)).abandon(),
            ),
            (
                "in the body, then gone",
                behave()
                    .read_until(size as u64 / 2)
                    .send(error(503))
                    .abandon(),
            ),
        ];
        for (what, failure) in failures {
            let (response, reached) = pair.meet(failure, "safe", size).await;
            assert_eq!(response.status, 200, "{what}, {size}: {}", response.text());
            assert_eq!(reached, Reached(1, 1), "{what}, {size}");
            let second = pair.second.deliveries().pop().expect("a delivery");
            assert!(
                second.complete && second.length == size as u64,
                "{what}, {size}: {second:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_last_error_is_passed_on_as_it_came() {
    let pair = Pair::start(|gateway| gateway).await;
    let large: Bytes = PECULIAR.iter().copied().cycle().take(300_000).collect();
    for (body, mode) in [
        (Bytes::from_static(PECULIAR), "on"),
        (large, "safe"),
        (Bytes::new(), "on"),
    ] {
        for chunked in [false, true] {
            let last = peculiar(529, body.clone());
            let last = if chunked { last.chunked() } else { last };
            pair.second.push(last);
            let (response, reached) = pair.meet(error(503), mode, 0).await;
            assert_eq!(reached, Reached(1, 1));
            is_peculiar(
                &response,
                529,
                &body,
                &format!("{} bytes, chunked: {chunked}", body.len()),
            );
            assert_eq!(response.header("tollgate-model"), Some("two:twice-served"));
            let told = [
                "one:twice-served;server_error;status=503",
                "two:twice-served;server_error;status=529",
            ];
            assert_eq!(attempts(&response), told);
        }
    }
}

#[tokio::test]
async fn an_error_of_the_request_from_a_later_candidate_is_the_answer() {
    let pair = Pair::start(|gateway| gateway).await;
    pair.second.push(peculiar(422, PECULIAR));
    let (response, reached) = pair.meet(error(500), "on", 0).await;
    assert_eq!(reached, Reached(1, 1));
    is_peculiar(&response, 422, PECULIAR, "second");
}

#[tokio::test]
async fn an_earlier_error_is_passed_on_when_the_last_candidate_does_not_answer() {
    let second = upstream::h1()
        .otherwise(fault::close_after_body())
        .start()
        .await;
    let first = upstream::h1().start().await;
    let gateway = crate::pair::before(&first, &second).start().await;
    let pair = Pair {
        first,
        second,
        gateway,
    };
    for chunked in [false, true] {
        let reply = peculiar(503, PECULIAR);
        let reply = if chunked { reply.chunked() } else { reply };
        let (response, reached) = pair.meet(reply, "on", 0).await;
        assert_eq!(reached, Reached(1, 1));
        is_peculiar(&response, 503, PECULIAR, "the first's answer");
        let told = [
            "one:twice-served;server_error;status=503",
            "two:twice-served;broken",
        ];
        assert_eq!(attempts(&response), told);
    }
    // An answer without a body is one, too.
    let (response, _) = pair.meet(peculiar(500, ""), "on", 0).await;
    is_peculiar(&response, 500, b"", "the first's answer");
}

#[tokio::test]
async fn an_earlier_error_is_passed_on_when_the_last_candidate_is_unreachable() {
    let (first, second) = (upstream::h1().start().await, upstream::refusing());
    let gateway = crate::pair::before(&first, &second).start().await;
    let pair = Pair {
        first,
        second,
        gateway,
    };
    for mode in ["on", "safe"] {
        let (response, reached) = pair.meet(peculiar(503, PECULIAR), mode, 0).await;
        assert_eq!(reached, Reached(1, 0));
        is_peculiar(&response, 503, PECULIAR, mode);
    }
    // What was not kept cannot be passed on; it is not passed on in part either.
    let large = vec![b'x'; 200_000];
    let (response, _) = pair.meet(peculiar(503, large), "on", 0).await;
    assert_eq!(
        (response.status, code(&response).as_str()),
        (502, "all_candidates_failed")
    );
}

#[tokio::test]
async fn an_error_whose_body_does_not_end_holds_nothing_up() {
    let pair = Pair::start(|gateway| gateway).await;
    let endless = behave()
        .read()
        .send_upto(error(503).claimed(1000), Upto::Bytes(10))
        .silence();
    let asked = Instant::now();
    let (response, reached) = pair.meet(endless, "safe", 0).await;
    assert_eq!((response.status, reached), (200, Reached(1, 1)));
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn an_error_whose_body_breaks_holds_nothing_up() {
    let pair = Pair::start(|gateway| gateway).await;
    let broken = [
        fault::reset_in_answer(error(503).claimed(1000), 10),
        fault::truncated(error(503).claimed(1000), 10),
        fault::truncated(error(503).chunked(), 10),
    ];
    for (at, failure) in broken.into_iter().enumerate() {
        let (response, reached) = pair.meet(failure, "safe", 0).await;
        assert_eq!(
            (response.status, reached),
            (200, Reached(1, 1)),
            "{at}: {}",
            response.text()
        );
    }
}

#[tokio::test]
async fn a_client_that_asks_again_on_its_connection_is_served() {
    let pair = Pair::start(|gateway| gateway).await;
    let mut client = crate::support::client::h1(pair.gateway.address()).await;
    for turn in 0..4 {
        pair.first.push(error(500));
        if turn % 2 == 1 {
            pair.second.push(error(503));
        }
        let response = client.send(&crate::pair::chat(&pair.gateway, 70_000)).await;
        assert_eq!(
            response.status,
            if turn % 2 == 1 { 503 } else { 200 },
            "{turn}"
        );
    }
    assert_eq!(pair.reached(), Reached(4, 4));
    pair.first.push(good());
    assert_eq!(
        client
            .send(&crate::pair::chat(&pair.gateway, 0))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn an_answer_that_is_passed_on_late_is_told_of_the_candidate_that_gave_it() {
    let first = upstream::h1().reply(good()).start().await;
    let unreachable = upstream::refusing();
    let gateway = pair::before(&first, &unreachable).start().await;
    first.push(
        error(429)
            .header("x-ratelimit-remaining-requests", "0")
            .header("set-cookie", "a=b"),
    );
    let response = gateway.send(&chat(&gateway, 0)).await;
    assert_eq!(response.status, 429, "{}", response.text());
    assert_eq!(response.header("tollgate-model"), Some("one:twice-served"));
    assert_eq!(response.header("tollgate-credential"), Some("gateway"));
    assert_eq!(response.header("x-ratelimit-remaining-requests"), None);
    let line = gateway.access_lines(1).await.remove(0);
    assert_eq!(line["provider"], "one");
}
