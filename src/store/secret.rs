//! Secrets the server makes for itself.

use time::OffsetDateTime;

use super::{Error, Store, millis};

impl Store {
    /// The 32 random bytes of this name, made when first asked for.
    ///
    /// # Errors
    /// [`Error::Statement`] or [`Error::Corrupt`].
    pub async fn secret(&self, name: &str, now: OffsetDateTime) -> Result<[u8; 32], Error> {
        let fresh: [u8; 32] = rand::random();
        let insert = "INSERT INTO secret (name, value, created_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING";
        sqlx::query(insert).bind(name).bind(&fresh[..]).bind(millis(now)).execute(&self.pool).await?;
        let select = sqlx::query_scalar("SELECT value FROM secret WHERE name = ?");
        let value: Vec<u8> = select.bind(name).fetch_one(&self.pool).await?;
        let length = value.len();
        value.try_into().map_err(|_| Error::Corrupt { table: "secret", fact: format!("a value of {length} bytes") })
    }
}
