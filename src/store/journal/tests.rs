use super::*;
use crate::store::NewGrant;

/// 2027-01-15T08:00:00Z.
pub(in crate::store) const NOW: i64 = 1_800_000_000;

pub(in crate::store) async fn open() -> (tempfile::TempDir, Store, AccountId) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let account = store.create_account("acme", NOW).await.unwrap().id;
    store.create_account("zeta", NOW).await.unwrap();
    (folder, store, account)
}

pub(in crate::store) async fn grant(store: &Store, account: AccountId, amount: &str, now: i64) {
    let grant = NewGrant {
        account,
        amount: amount.parse().unwrap(),
        expires: None,
        note: format!("of {amount}"),
        idempotency: None,
    };
    store.grant(&grant, now).await.unwrap();
}

/// An attempt that ended at a Unix millisecond.
pub(in crate::store) async fn used(store: &Store, account: i64, ended: i64, cost: [i64; 3]) {
    sqlx::query(
        "INSERT INTO usage (state, request, attempt, account, access_key, provider, model, surface, credential, \
         catalog, held, estimate, started, ended, charged, fee, absorbed) \
         VALUES (1, 'r', 1, $1, 'k', 'p', 'm', 'chat', 'gateway', 'c', 9, 1, 1, $2, $3, $4, $5)",
    )
    .bind(account)
    .bind(ended)
    .bind(cost[0])
    .bind(cost[1])
    .bind(cost[2])
    .execute(&store.pool)
    .await
    .unwrap();
}

fn shown(movements: &[Movement]) -> Vec<String> {
    let lines = movements.iter().flat_map(|movement| {
        let postings = movement.postings().into_iter();
        postings.map(|(debit, credit, amount)| {
            format!("{} {debit} {credit} {amount}", movement.at - NOW * 1000)
        })
    });
    lines.collect()
}

#[tokio::test]
async fn movements_are_told_in_their_order_page_by_page() {
    let (_folder, store, account) = open().await;
    let at = NOW * 1000;
    used(&store, 2, at + 1500, [0, 0, 7]).await;
    grant(&store, account, "5", NOW).await;
    used(&store, 1, at, [3, 1, 0]).await;
    used(&store, 1, at + 2000, [0, 0, 0]).await;
    used(&store, 1, at + 2000, [2, 0, 0]).await;
    grant(&store, account, "6", NOW + 2).await;
    let expected = [
        "0 granted account:1 5",
        "0 account:1 cost 0.000000003",
        "0 account:1 fees 0.000000001",
        "1500 operator cost 0.000000007",
        "2000 granted account:1 6",
        "2000 account:1 cost 0.000000002",
    ];
    for limit in 1..=6 {
        let (mut all, mut after) = (Vec::new(), Place::default());
        loop {
            let page = store
                .journal(&Moves::default(), after, limit)
                .await
                .unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = last.place();
            all.extend(page);
        }
        assert_eq!(shown(&all), expected, "{limit} a page");
    }
    let within = Moves {
        from: Some(at + 1),
        to: Some(at + 2000),
        account: None,
    };
    let page = store.journal(&within, Place::default(), 9).await.unwrap();
    assert_eq!(shown(&page), ["1500 operator cost 0.000000007"]);
    let of_zeta = Moves {
        account: Some(AccountId(2)),
        ..Moves::default()
    };
    let page = store.journal(&of_zeta, Place::default(), 9).await.unwrap();
    assert_eq!(shown(&page), ["1500 operator cost 0.000000007"]);
}
