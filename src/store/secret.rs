//! Secrets the server makes for itself.

use time::OffsetDateTime;

use super::{Error, Store, millis};

impl Store {
    /// The 32 random bytes of this name, made when first asked for.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn secret(&self, name: &str, now: OffsetDateTime) -> Result<[u8; 32], Error> {
        // Read first: a server must come back on a full disk, where an insertion fails even if it has nothing to insert.
        if let Some(value) = self.kept_secret(name).await? {
            return Ok(value);
        }
        let fresh: [u8; 32] = rand::random();
        let insert = "INSERT INTO secret (name, value, created_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING";
        sqlx::query(insert).bind(name).bind(&fresh[..]).bind(millis(now)).execute(&self.writer).await?;
        // Another process may have come first.
        Ok(self.kept_secret(name).await?.unwrap_or(fresh))
    }

    async fn kept_secret(&self, name: &str) -> Result<Option<[u8; 32]>, Error> {
        let select = sqlx::query_scalar("SELECT value FROM secret WHERE name = ?");
        let Some(value): Option<Vec<u8>> = select.bind(name).fetch_optional(&self.readers).await? else {
            return Ok(None);
        };
        let length = value.len();
        let corrupt = |_| Error::Corrupt { table: "secret", fact: format!("a value of {length} bytes") };
        value.try_into().map(Some).map_err(corrupt)
    }
}
