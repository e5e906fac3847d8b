use super::*;
use crate::store::journal::tests::{NOW, grant, open, used};

#[tokio::test]
async fn an_account_has_a_history_with_balances() {
    let (_folder, store, account) = open().await;
    let day = Day::of(NOW);
    grant(&store, account, "5", NOW).await;
    used(&store, 1, NOW * 1000, [3, 1, 0]).await;
    used(&store, 1, NOW * 1000 + 1, [2, 0, 0]).await;
    used(&store, 2, NOW * 1000, [1, 0, 0]).await;
    grant(&store, account, "6", NOW + 86_400).await;
    let told = store.history(account, None, None).await.unwrap();
    let [granted, used, again] = &told.lines[..] else {
        panic!("{told:?}");
    };
    assert!(matches!(granted, Line::Granted { at: NOW, note, .. } if note == "of 5"));
    let amount = |nanos| Credits::from_nanos(nanos);
    let expected = Line::Used {
        day,
        attempts: 2,
        charged: amount(5),
        fee: amount(1),
    };
    assert_eq!(*used, expected);
    assert_eq!(again.change(), 6_000_000_000);
    assert_eq!(
        (told.opening, told.closing),
        (Credits::ZERO, amount(10_999_999_994))
    );

    let first = store
        .history(account, Some(day), Some(Day(day.0 + 1)))
        .await
        .unwrap();
    assert_eq!(
        (first.lines.len(), first.closing),
        (2, amount(4_999_999_994))
    );
    let next = store
        .history(account, Some(Day(day.0 + 1)), None)
        .await
        .unwrap();
    assert_eq!((next.lines.len(), next.opening), (1, first.closing));
    let none = store
        .history(account, Some(Day(day.0 + 5)), Some(day))
        .await
        .unwrap();
    assert_eq!((none.lines, none.opening), (Vec::new(), told.closing));
    let nobody = store.history(AccountId(9), None, None).await;
    assert!(matches!(nobody, Err(StoreError::UnknownAccount(9))));
}
