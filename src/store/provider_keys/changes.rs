//! Changes of stored provider keys, as statements within a transaction.

use sqlx::sqlite::SqliteConnection;

use super::super::StoreError;
use super::super::error::is_duplicate;
use super::{NewProviderKey, ProviderKeyChange};
use crate::byok::master::MasterKeys;
use crate::byok::seal::{Place, Sealed};
use crate::byok::{self, KEYS_MAX, Stored, StoredId};
use crate::secret::Secret;

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    new: &NewProviderKey,
    secret: &Secret,
    masters: &MasterKeys,
    now: i64,
) -> Result<StoredId, StoreError> {
    byok::check_name(&new.name).map_err(StoreError::BadProviderKey)?;
    byok::check_weight(new.weight).map_err(StoreError::BadProviderKey)?;
    byok::check_secret(secret).map_err(StoreError::BadProviderKey)?;
    let id = StoredId::generate().map_err(StoreError::Random)?;
    let place = Place {
        id: id.as_str(),
        account: new.account,
        provider: &new.provider,
    };
    let sealed = masters
        .seal(&place, secret)
        .map_err(StoreError::NotSealed)?;
    let added = sqlx::query(
        "INSERT INTO provider_keys (id, account, provider, name, position, weight, enabled, fallback, created, \
         updated, hint, master, nonce, sealed) \
         SELECT $1, $2, $3, $4, COALESCE($5, MAX(position) + 1, 1), $6, $7, $8, $9, $9, $10, $11, $12, $13 \
         FROM provider_keys WHERE account = $2 AND provider = $3 HAVING COUNT(*) < $14",
    )
    .bind(id.as_str())
    .bind(new.account.0)
    .bind(&new.provider)
    .bind(&new.name)
    .bind(new.position)
    .bind(new.weight)
    .bind(true)
    .bind(new.fallback)
    .bind(now)
    .bind(byok::hint(secret))
    .bind(sealed.master.to_string())
    .bind(&sealed.nonce[..])
    .bind(sealed.text)
    .bind(KEYS_MAX as i64)
    .execute(connection)
    .await
    .map_err(|error| match &error {
        sqlx::Error::Database(cause) if cause.is_foreign_key_violation() => {
            StoreError::UnknownAccount(new.account.0)
        }
        _ if is_duplicate(&error) => StoreError::ProviderKeyExists(new.name.as_str().into()),
        _ => error.into(),
    })?;
    match added.rows_affected() {
        0 => Err(StoreError::TooManyProviderKeys),
        _ => Ok(id),
    }
}

pub(super) async fn rotate(
    connection: &mut SqliteConnection,
    id: &StoredId,
    secret: &Secret,
    sealed: Sealed,
    now: i64,
) -> Result<(), StoreError> {
    let changed = sqlx::query(
        "UPDATE provider_keys SET master = $1, nonce = $2, sealed = $3, hint = $4, updated = $5 WHERE id = $6",
    )
    .bind(sealed.master.to_string())
    .bind(&sealed.nonce[..])
    .bind(sealed.text)
    .bind(byok::hint(secret))
    .bind(now)
    .bind(id.as_str())
    .execute(connection)
    .await?;
    must_be_there(changed.rows_affected(), id)
}

pub(super) async fn update(
    connection: &mut SqliteConnection,
    id: &StoredId,
    change: &ProviderKeyChange,
    now: i64,
) -> Result<(), StoreError> {
    if let Some(name) = &change.name {
        byok::check_name(name).map_err(StoreError::BadProviderKey)?;
    }
    let weight = change.weight.flatten();
    byok::check_weight(weight).map_err(StoreError::BadProviderKey)?;
    let changed = sqlx::query(
        "UPDATE provider_keys SET name = COALESCE($1, name), position = COALESCE($2, position), \
         weight = CASE WHEN $3 THEN $4 ELSE weight END, enabled = COALESCE($5, enabled), \
         fallback = COALESCE($6, fallback), updated = $7 WHERE id = $8",
    )
    .bind(&change.name)
    .bind(change.position)
    .bind(change.weight.is_some())
    .bind(weight)
    .bind(change.enabled)
    .bind(change.fallback)
    .bind(now)
    .bind(id.as_str())
    .execute(connection)
    .await
    .map_err(|error| match &change.name {
        Some(name) if is_duplicate(&error) => StoreError::ProviderKeyExists(name.as_str().into()),
        _ => error.into(),
    })?;
    must_be_there(changed.rows_affected(), id)
}

pub(super) async fn remove(
    connection: &mut SqliteConnection,
    id: &StoredId,
) -> Result<(), StoreError> {
    let removed = sqlx::query("DELETE FROM provider_keys WHERE id = $1")
        .bind(id.as_str())
        .execute(connection)
        .await?;
    must_be_there(removed.rows_affected(), id)
}

/// Whether it was moved: not where it was rotated since `row` was read, and so is sealed anew already.
pub(super) async fn reseal(
    connection: &mut SqliteConnection,
    row: &Stored,
    sealed: Sealed,
) -> Result<bool, StoreError> {
    let moved = sqlx::query(
        "UPDATE provider_keys SET master = $1, nonce = $2, sealed = $3 WHERE id = $4 AND nonce = $5",
    )
    .bind(sealed.master.to_string())
    .bind(&sealed.nonce[..])
    .bind(sealed.text)
    .bind(row.id.as_str())
    .bind(&row.sealed.nonce[..])
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() > 0)
}

fn must_be_there(rows: u64, id: &StoredId) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::UnknownProviderKey(id.clone())),
        _ => Ok(()),
    }
}
