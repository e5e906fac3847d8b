use super::*;
use crate::access::AccountId;
use crate::access::policy::PolicyEntry;
use crate::byok::master::{MasterKey, MasterKeys};
use crate::secret::Secret;
use crate::store::{Billing, NewGrant, NewKey, NewProviderKey, ProviderKeyChange};

const NOW: i64 = 1_800_000_000;

async fn open() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    (folder, store.by("cli:alice", NOW))
}

async fn rows(store: &Store, which: Audited) -> Vec<AuditRow> {
    store.audit_page(&which, None, 1_000).await.unwrap()
}

/// `operation object outcome`, oldest first.
async fn told(store: &Store) -> Vec<String> {
    let mut rows = rows(store, Audited::default()).await;
    rows.reverse();
    let told = |row: &AuditRow| format!("{} {} {}", row.operation, row.object, row.outcome);
    rows.iter().map(told).collect()
}

fn new_key() -> NewKey {
    NewKey {
        name: "ci".into(),
        expires: None,
        policy: PolicyEntry::default(),
    }
}

fn grant(key: Option<&str>) -> NewGrant {
    NewGrant {
        account: AccountId(1),
        amount: "5".parse().unwrap(),
        expires: None,
        note: "March".into(),
        idempotency: key.map(Into::into),
    }
}

fn new_provider_key() -> NewProviderKey {
    NewProviderKey {
        account: AccountId(1),
        provider: "openai".into(),
        name: "main".into(),
        position: None,
        weight: None,
        fallback: true,
    }
}

fn masters() -> MasterKeys {
    let key: MasterKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
        .parse()
        .unwrap();
    MasterKeys::new(&[key])
}

#[tokio::test]
async fn every_change_has_a_row_and_none_holds_a_secret() {
    let (_folder, store) = open().await;
    let account = store.create_account("acme", NOW).await.unwrap().id;
    store
        .set_billing(account, Billing::Postpaid { limit: None })
        .await
        .unwrap();
    store.limit_account(account, Some(3)).await.unwrap();
    let key = store.create_key(account, &new_key(), NOW).await.unwrap();
    store.set_enabled(key.id, false).await.unwrap();
    store
        .change_policy(key.id, |policy| policy.no_fallback = true)
        .await
        .unwrap();
    store.revoke(key.id, NOW).await.unwrap();
    let given = store.grant(&grant(Some("a")), NOW).await.unwrap().0.id;
    store.end_grant(given, NOW + 1).await.unwrap();
    let (masters, secret) = (masters(), Secret::new("sk-provider-secret-0123456789"));
    let stored = store
        .add_provider_key(&new_provider_key(), &secret, &masters, NOW)
        .await
        .unwrap();
    store
        .rotate_provider_key(&stored, &secret, &masters, NOW)
        .await
        .unwrap();
    let change = ProviderKeyChange {
        weight: Some(None),
        ..ProviderKeyChange::default()
    };
    store
        .change_provider_key(&stored, &change, NOW)
        .await
        .unwrap();
    store.remove_provider_key(&stored).await.unwrap();
    store.close_account(account, NOW).await.unwrap();
    let id = key.id;
    let expected = [
        "createAccount account 1 done".to_owned(),
        "changeAccount account 1 done".to_owned(),
        "changeAccount account 1 done".to_owned(),
        format!("createKey key {id} done"),
        format!("changeKey key {id} done"),
        format!("changeKey key {id} done"),
        format!("changeKey key {id} done"),
        "createGrant grant 1 done".to_owned(),
        "endGrant grant 1 done".to_owned(),
        format!("createProviderKey provider_key {stored} done"),
        format!("changeProviderKey provider_key {stored} done"),
        format!("changeProviderKey provider_key {stored} done"),
        format!("removeProviderKey provider_key {stored} done"),
        "changeAccount account 1 done".to_owned(),
    ];
    assert_eq!(told(&store).await, expected);
    for row in rows(&store, Audited::default()).await {
        assert_eq!((&*row.who, row.at), ("cli:alice", NOW));
        let text = format!("{row:?}");
        assert!(
            !text.contains("sk-provider") && !text.contains(key.shown.expose()),
            "{text}"
        );
    }
    let of_key = Audited {
        object: Some(format!("key {id}")),
        ..Audited::default()
    };
    let details: Vec<String> = rows(&store, of_key)
        .await
        .into_iter()
        .map(|row| row.details)
        .collect();
    assert_eq!(details[0], r#"{"state":"revoked"}"#);
    assert!(details[1].contains(r#""no_fallback":true"#), "{details:?}");
}

#[tokio::test]
async fn what_changes_nothing_has_no_row_and_what_is_refused_has_one() {
    let (_folder, store) = open().await;
    let account = store.create_account("acme", NOW).await.unwrap().id;
    let key = store.create_key(account, &new_key(), NOW).await.unwrap().id;
    store.revoke(key, NOW).await.unwrap();
    store.grant(&grant(Some("a")), NOW).await.unwrap();
    let before = told(&store).await.len();
    store.revoke(key, NOW).await.unwrap();
    store.grant(&grant(Some("a")), NOW).await.unwrap();
    store.ensure_account("acme", NOW).await.unwrap();
    assert_eq!(told(&store).await.len(), before);

    store.create_account("acme", NOW).await.unwrap_err();
    store.set_enabled(key, true).await.unwrap_err();
    store.limit_account(AccountId(9), None).await.unwrap_err();
    let other = NewGrant {
        note: "April".into(),
        ..grant(Some("a"))
    };
    store.grant(&other, NOW).await.unwrap_err();
    let bad_name = NewKey {
        name: "\n".into(),
        ..new_key()
    };
    store.create_key(account, &bad_name, NOW).await.unwrap_err();
    assert_eq!(
        told(&store).await[before..],
        [
            "createAccount account account_exists".to_owned(),
            format!("changeKey key {key} key_revoked"),
            "changeAccount account 9 unknown_account".to_owned(),
            "createGrant grant other_grant".to_owned(),
            "createKey key unprocessable".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_change_whose_row_cannot_be_written_is_not_made() {
    let (_folder, store) = open().await;
    let account = store.create_account("acme", NOW).await.unwrap().id;
    let key = store.create_key(account, &new_key(), NOW).await.unwrap().id;
    let before = (
        store.list_keys().await.unwrap(),
        store.accounts().await.unwrap(),
    );
    sqlx::raw_sql(
        "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    let secret = Secret::new("sk-provider-secret-0123456789");
    let failed = [
        store.create_account("zeta", NOW).await.map(drop),
        store
            .set_billing(account, Billing::Postpaid { limit: None })
            .await,
        store.limit_account(account, Some(3)).await,
        store.close_account(account, NOW).await,
        store.create_key(account, &new_key(), NOW).await.map(drop),
        store.set_enabled(key, false).await,
        store
            .change_policy(key, |policy| policy.no_fallback = true)
            .await
            .map(drop),
        store.revoke(key, NOW).await,
        store.grant(&grant(None), NOW).await.map(drop),
        store
            .add_provider_key(&new_provider_key(), &secret, &masters(), NOW)
            .await
            .map(drop),
    ];
    for outcome in failed {
        assert!(
            matches!(outcome, Err(StoreError::Database(_))),
            "{outcome:?}"
        );
    }
    let after = (
        store.list_keys().await.unwrap(),
        store.accounts().await.unwrap(),
    );
    assert_eq!(after, before);
    assert!(store.list_provider_keys().await.unwrap().is_empty());
}

#[tokio::test]
async fn rows_are_found_by_what_they_say_page_by_page() {
    let (_folder, store) = open().await;
    let nothing = serde_json::json!({});
    for (who, at, operation, outcome) in [
        ("cli:alice", NOW, "drain", DONE),
        ("token:0a0b0c0d cli:bob", NOW + 1, "reload", "status_422"),
        ("token:0a0b0c0d", NOW + 2, "reload", DONE),
    ] {
        let store = store.by(who, at);
        store
            .tell(operation, "gateway", outcome, &nothing)
            .await
            .unwrap();
    }
    let some = |text: &str| Some(text.to_owned());
    for (which, expected) in [
        (Audited::default(), vec![3, 2, 1]),
        (
            Audited {
                who: some("token:0a0b0c0d"),
                ..Audited::default()
            },
            vec![3, 2],
        ),
        (
            Audited {
                who: some("cli:bob"),
                ..Audited::default()
            },
            vec![2],
        ),
        (
            Audited {
                who: some("cli:b"),
                ..Audited::default()
            },
            vec![],
        ),
        (
            Audited {
                operation: some("reload"),
                outcome: some(DONE),
                ..Audited::default()
            },
            vec![3],
        ),
        (
            Audited {
                from: Some(NOW + 1),
                to: Some(NOW + 2),
                ..Audited::default()
            },
            vec![2],
        ),
        (
            Audited {
                object: some("account 1"),
                ..Audited::default()
            },
            vec![],
        ),
    ] {
        let found = rows(&store, which.clone()).await;
        let ids: Vec<i64> = found.iter().map(|row| row.id).collect();
        assert_eq!(ids, expected, "{which:?}");
    }
    let page = store
        .audit_page(&Audited::default(), Some(3), 1)
        .await
        .unwrap();
    assert_eq!(page[0].id, 2);
}

#[tokio::test]
async fn old_rows_are_forgotten_but_for_the_newest() {
    let (_folder, store) = open().await;
    let count = KEPT_MIN + REMOVED_AT_ONCE + 3;
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
         INSERT INTO audit (at, who, operation, object, outcome, details) \
         SELECT $2, 'w', 'o', 'x', 'done', '{}' FROM n",
    )
    .bind(count)
    .bind(NOW)
    .execute(&store.pool)
    .await
    .unwrap();
    assert_eq!(store.forget_audit(NOW).await.unwrap(), 0);
    let removed = store.forget_audit(NOW + 1).await.unwrap();
    assert_eq!(removed, u64::try_from(count - KEPT_MIN).unwrap());
    assert_eq!(store.forget_audit(NOW + 1).await.unwrap(), 0);
    let newest = &store
        .audit_page(&Audited::default(), None, 1)
        .await
        .unwrap()[0];
    assert_eq!(newest.id, count);
}
