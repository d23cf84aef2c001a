//! The key that lets an operator in; of the key itself only the hash is kept.

use sqlx::Row;
use time::OffsetDateTime;

use super::{Error, Store, millis};

/// Which key: tokens carry it, so that retiring the key retires them.
pub type OperatorKeyId = i64;

impl Store {
    /// Keep a new key's hash, retiring the one before it.
    ///
    /// # Errors
    /// [`Error::Statement`].
    pub async fn replace_operator_key(&self, hash: [u8; 32], now: OffsetDateTime) -> Result<OperatorKeyId, Error> {
        let mut transaction = self.writer.begin().await?;
        let retire = "UPDATE operator_key SET retired_at = ? WHERE retired_at IS NULL";
        sqlx::query(retire).bind(millis(now)).execute(&mut *transaction).await?;
        let insert = "INSERT INTO operator_key (hash, created_at) VALUES (?, ?)";
        let done = sqlx::query(insert).bind(&hash[..]).bind(millis(now)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.last_insert_rowid())
    }

    /// The key in use: its id and hash.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn operator_key(&self) -> Result<Option<(OperatorKeyId, [u8; 32])>, Error> {
        let sql = "SELECT id, hash FROM operator_key WHERE retired_at IS NULL";
        let Some(row) = sqlx::query(sql).fetch_optional(&self.readers).await? else {
            return Ok(None);
        };
        let hash: Vec<u8> = row.try_get("hash")?;
        let length = hash.len();
        let corrupt = |_| Error::Corrupt { table: "operator_key", fact: format!("a hash of {length} bytes") };
        Ok(Some((row.try_get("id")?, hash.try_into().map_err(corrupt)?)))
    }
}
