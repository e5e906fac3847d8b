//! Nothing of a stored provider key, or of a master key, is found anywhere but at the provider it is for: not in logs at
//! their most talkative, metrics, answers, explanations, the answers of commands, or the files of the store.

use crate::ask;
use crate::byok::{asking, credentials, own};
use crate::pair::{MODEL, Pair, error};
use crate::support::bodies;
use crate::support::client::{self, get};
use crate::support::gateway::{Finished, MASTER_KEY, stored_key};
use crate::support::upstream::fault;

const ROTATED: &str = "sk-rotated-canary-of-an-account-6b1f";

struct Lab {
    pair: Pair,
    secrets: Vec<String>,
}

impl Lab {
    async fn new() -> Self {
        let pair = Pair::start(|gateway| {
            gateway
                .config("log.level", "trace")
                .stored("default", "one", "main", &[])
                .stored("default", "one", "broken-one", &["--position", "0"])
                .stored("default", "two", "main", &["--weight", "3"])
        })
        .await;
        let secrets = vec![
            own("main"),
            own("broken-one"),
            stored_key("default", "two", "main"),
            ROTATED.to_owned(),
            MASTER_KEY.to_owned(),
        ];
        Self { pair, secrets }
    }

    #[track_caller]
    fn none_in(&self, text: &str, place: &str) {
        for secret in &self.secrets {
            // The last four letters may be shown; the middle may not.
            let part = &secret[secret.len() / 3..secret.len() - 5];
            assert!(!text.contains(part), "a secret in {place}: {text}");
        }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Finished {
        let finished = self.pair.gateway.run_with(arguments, input);
        self.none_in(&format!("{finished:?}"), &format!("{arguments:?}"));
        finished
    }
}

#[tokio::test]
async fn stored_keys_are_found_nowhere_but_at_their_provider() {
    let lab = Lab::new().await;
    let (pair, gateway) = (&lab.pair, &lab.pair.gateway);
    let body = || bodies::chat(MODEL).build();
    let mut answers = 0;
    for failure in [401, 402, 403, 429, 500] {
        (0..3).for_each(|_| pair.first.push(error(failure)));
        pair.second.push(error(failure));
        let response = gateway.send(&asking(gateway, "test")).await;
        lab.none_in(&ask::seen(&response), "an answer");
        answers += 1;
    }
    pair.first.push(fault::malformed("nonsense\r\n\r\n"));
    pair.first.push(fault::reset_after_body());
    for request in [
        asking(gateway, "test"),
        asking(gateway, "test"),
        gateway.post("/tollgate/v1/explain", body()),
        gateway.get("/v1/models"),
        get("/nowhere"),
        client::post("/v1/chat/completions", body()).bearer("sk-nobody"),
    ] {
        let response = gateway.send(&request).await;
        lab.none_in(&ask::seen(&response), "an answer");
        answers += 1;
    }
    let rotate = ["provider-keys", "rotate", "default/one/main"];
    assert_eq!(lab.run(&rotate, ROTATED).code, Some(0));
    for (arguments, input) in [
        (&["provider-keys", "list"][..], ""),
        (&["provider-keys", "list", "--json"], ""),
        (&["provider-keys", "add", "--provider", "one"], ROTATED),
        (
            &[
                "provider-keys",
                "add",
                "--provider",
                "nowhere",
                "--name",
                "x",
            ],
            ROTATED,
        ),
        (
            &["provider-keys", "add", "--provider", "one", "--name", "y"],
            "two words",
        ),
        (&["provider-keys", "remove", ROTATED], ""),
        (&["provider-keys", "reseal"], ""),
        (&["provider-keys", "disable", "default/one/main"], ""),
        (&["explain", MODEL, "--key", &gateway.key()[3..15]], ""),
        (&["check"], ""),
    ] {
        lab.run(arguments, input);
    }
    gateway.access_lines(answers).await;
    let written = gateway.everything_written();
    assert!(written.contains("\"level\":\"debug\"") && written.contains("stored key"));
    lab.none_in(&written, "a log");
    let metrics = gateway.ask_admin("/metrics").await.text();
    assert!(metrics.contains("tollgate_provider_keys"), "{metrics}");
    lab.none_in(&metrics, "the metrics");
    lab.none_in(&gateway.ask_admin("/readyz").await.text(), "/readyz");
    let store = ask::files(gateway.folder(), "tollgate.db").expect("the store");
    assert!(store.contains("sk-…cret"), "the hint is not in the store");
    lab.none_in(&store, "the store");

    // Each went to its own provider only.
    for (upstream, id) in [(&pair.first, "one"), (&pair.second, "two")] {
        let used = credentials(upstream, 0);
        assert!(used.iter().any(|key| key.contains("stored")), "{used:?}");
        assert!(used.iter().all(|key| key.contains(id)), "{used:?}");
    }
}
