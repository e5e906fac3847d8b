use super::*;
use crate::access::policy::PolicyEntry;
use crate::money::Credits;
use crate::store::{NewKey, RowId, Store};

/// 2027-01-15T08:00:00Z, in milliseconds.
const NOW: i64 = 1_800_000_000_000;

async fn open() -> (tempfile::TempDir, Store, KeyId) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let account = store.create_account("acme", 1).await.unwrap().id;
    let new = NewKey {
        name: "ci".into(),
        expires: None,
        policy: PolicyEntry::default(),
    };
    let key = store.create_key(account, &new, 1).await.unwrap().id;
    (folder, store, key)
}

struct Row<'a> {
    state: i64,
    request: &'a str,
    account: i64,
    key: &'a str,
    provider: &'a str,
    model: &'a str,
    started: i64,
    input: Option<i64>,
    charged: i64,
    estimated: Option<&'a str>,
}

const ROW: Row<'static> = Row {
    state: 1,
    request: "req_1",
    account: 1,
    key: "k",
    provider: "openai",
    model: "gpt-4o",
    started: NOW,
    input: Some(10),
    charged: 5,
    estimated: None,
};

async fn insert(store: &Store, row: &Row<'_>) {
    sqlx::query(
        "INSERT INTO usage (state, request, attempt, account, access_key, provider, model, surface, credential, \
         catalog, held, estimate, started, ended, input, cached, cache_write, cache_write_1h, output, charged, fee, \
         absorbed, estimated, flags) \
         VALUES ($1, $2, 1, $3, $4, $5, $6, 'chat', 'gateway', 'c', 9, 1, $7, $8, $9, 1, 2, 3, 4, $10, 2, 1, $11, 9)",
    )
    .bind(row.state)
    .bind(row.request)
    .bind(row.account)
    .bind(row.key)
    .bind(row.provider)
    .bind(row.model)
    .bind(row.started)
    .bind((row.state != 0).then_some(row.started + 5))
    .bind(row.input)
    .bind(row.charged)
    .bind(row.estimated)
    .execute(&store.pool)
    .await
    .unwrap();
}

fn nanos(sum: &Sum) -> [i64; 3] {
    [sum.cost.charged, sum.cost.fee, sum.cost.absorbed].map(Credits::nanos)
}

#[tokio::test]
async fn the_attempts_of_a_request_are_told_to_its_account_only() {
    let (_folder, store, _) = open().await;
    insert(&store, &ROW).await;
    let open = Row {
        state: 0,
        input: None,
        charged: 0,
        ..ROW
    };
    insert(&store, &open).await;
    let other = Row {
        request: "req_2",
        account: 2,
        ..ROW
    };
    insert(&store, &other).await;
    let rows = store
        .attempts_of("req_1", Some(AccountId(1)))
        .await
        .unwrap();
    let [ended, under_way] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(
        (ended.state, ended.ended),
        (RowState::Settled, Some(NOW + 5))
    );
    let counts = Tokens {
        input: 10,
        cached: 1,
        cache_write: 5,
        output: 4,
        ..Tokens::default()
    };
    assert_eq!((ended.counts, ended.cost.paid().nanos()), (counts, 7));
    assert_eq!(
        ended.flags.names().collect::<Vec<_>>(),
        ["bounded", "given_up"]
    );
    assert_eq!((under_way.state, under_way.ended), (RowState::Held, None));
    assert_eq!(under_way.counts.input, 0);
    for (request, account) in [("req_2", Some(1)), ("req_1", Some(2)), ("req_3", None)] {
        let rows = store.attempts_of(request, account.map(AccountId)).await;
        assert_eq!(rows.unwrap(), [], "{request} {account:?}");
    }
    assert_eq!(store.attempts_of("req_2", None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn usage_is_added_up_by_what_is_asked_for() {
    let (_folder, store, key) = open().await;
    let key = key.to_string();
    insert(&store, &Row { key: &key, ..ROW }).await;
    insert(
        &store,
        &Row {
            estimated: Some("cut"),
            ..ROW
        },
    )
    .await;
    insert(
        &store,
        &Row {
            request: "req_2",
            charged: 50,
            model: "gpt-4o-mini",
            started: NOW - 86_400_000,
            ..ROW
        },
    )
    .await;
    insert(
        &store,
        &Row {
            provider: "groq",
            account: 9,
            charged: 0,
            input: None,
            state: 2,
            ..ROW
        },
    )
    .await;
    insert(&store, &Row { state: 0, ..ROW }).await;
    let sums = |by| {
        let store = &store;
        async move { store.usage_sums(&Used::default(), by, 99).await.unwrap() }
    };
    let by_key = sums(By::Key).await;
    let names: Vec<_> = by_key
        .iter()
        .map(|sum| (sum.key.as_deref(), sum.key_name.as_deref()))
        .collect();
    assert_eq!(names, [(Some("k"), None), (Some(&*key), Some("ci"))]);
    assert_eq!(
        (nanos(&by_key[0]), by_key[0].requests, by_key[0].attempts),
        ([55, 6, 3], 2, 3)
    );
    let by_account = sums(By::Account).await;
    assert_eq!(by_account[0].account_name.as_deref(), Some("acme"));
    assert_eq!(
        (nanos(&by_account[0]), by_account[0].estimated),
        ([60, 6, 3], 1)
    );
    assert_eq!(
        (by_account[1].account, by_account[1].account_name.as_deref()),
        (Some(9), None)
    );
    let by_model: Vec<_> = sums(By::Model)
        .await
        .into_iter()
        .map(|sum| (sum.provider, sum.model, sum.counts.input))
        .collect();
    let model = |provider: &str, model: &str, input| {
        (Some(provider.to_owned()), Some(model.to_owned()), input)
    };
    assert_eq!(
        by_model,
        [
            model("openai", "gpt-4o-mini", 10),
            model("openai", "gpt-4o", 20),
            model("groq", "gpt-4o", 0)
        ]
    );
    assert_eq!(sums(By::Provider).await.len(), 2);
    let days: Vec<_> = sums(By::Day)
        .await
        .into_iter()
        .map(|sum| (sum.day, sum.attempts))
        .collect();
    assert_eq!(days, [(Some(20_832), 1), (Some(20_833), 3)]);
    assert_eq!(sums(By::DayAndModel).await.len(), 3);
    assert_eq!(
        store
            .usage_sums(&Used::default(), By::Key, 1)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn only_the_rows_that_are_meant_are_told() {
    let (_folder, store, key) = open().await;
    let id = key.to_string();
    for row in [
        ROW,
        Row { key: &id, ..ROW },
        Row { account: 2, ..ROW },
        Row {
            provider: "groq",
            ..ROW
        },
        Row { model: "o3", ..ROW },
        Row {
            started: NOW + 100,
            ..ROW
        },
        Row {
            started: NOW + 200,
            state: 0,
            ..ROW
        },
    ] {
        insert(&store, &row).await;
    }
    let all = Used::default();
    for (used, expected) in [
        (all.clone(), &[1, 2, 3, 4, 5, 6, 7][..]),
        (
            Used {
                key: Some(key),
                ..all.clone()
            },
            &[2],
        ),
        (
            Used {
                account: Some(AccountId(2)),
                ..all.clone()
            },
            &[3],
        ),
        (
            Used {
                provider: Some("groq".into()),
                ..all.clone()
            },
            &[4],
        ),
        (
            Used {
                model: Some("o3".into()),
                ..all.clone()
            },
            &[5],
        ),
        (
            Used {
                credential: Some("byok"),
                ..all.clone()
            },
            &[],
        ),
        (
            Used {
                from: Some(NOW + 100),
                ..all.clone()
            },
            &[6, 7],
        ),
        (
            Used {
                from: Some(NOW + 1),
                to: Some(NOW + 200),
                ..all.clone()
            },
            &[6],
        ),
        (
            Used {
                to: Some(NOW),
                ..all.clone()
            },
            &[],
        ),
    ] {
        let rows = store.usage_page(&used, RowId(0), 99).await.unwrap();
        let ids: Vec<i64> = rows.iter().map(|row| row.id.0).collect();
        assert_eq!(ids, expected, "{used:?}");
    }
    let page = store.usage_page(&all, RowId(3), 2).await.unwrap();
    assert_eq!(page.iter().map(|row| row.id.0).collect::<Vec<_>>(), [4, 5]);
}
