//! Bearer tokens. A token is 256 random bits, so its plain SHA-256 can be stored: there is nothing to guess, and a slow hash
//! would only cost every request its time.

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shapeguard::hex;
use subtle::ConstantTimeEq;

use super::{Store, StoreError};

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Inspecting, looking, giving feedback.
    Inspect,
    /// Besides, changing models and fitting.
    Manage,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Manage => "manage",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Inspect, Self::Manage]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("expected a role inspect or manage, found {text:?}"))
    }
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenInfo {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made, milliseconds since 1970 in UTC.
    pub created_ms: i64,
}

/// What every token begins with, so that people and secret scanners know one when they see it.
const PREFIX: &str = "sg_";

fn hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

impl Store {
    /// Makes a token. It is returned once and cannot be had again: only its hash is kept.
    ///
    /// # Errors
    /// If there is one of that name, or the database fails.
    pub fn add_token(&self, name: &str, role: Role, now_ms: i64) -> Result<String, StoreError> {
        // Twice the 122 random bits of a UUID, from the operating system.
        let random = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
        let token = format!("{PREFIX}{}{}", random[0].simple(), random[1].simple());
        self.write(|transaction| {
            let exists: bool =
                transaction
                    .query_row("SELECT EXISTS (SELECT 1 FROM tokens WHERE name = ?)", [name], |row| row.get(0))?;
            if exists {
                let message =
                    format!("there is a token called {name:?} already; revoke it first, or choose another name");
                Err(StoreError::Refused { message })?;
            }
            transaction.execute(
                "INSERT INTO tokens (name, role, sha256, created_ms) VALUES (?, ?, ?, ?)",
                params![name, role.name(), hash(&token), now_ms],
            )?;
            Ok(())
        })?;
        Ok(token)
    }

    /// Makes a token worthless, from the next request on.
    ///
    /// # Errors
    /// If there is none of that name, or the database fails.
    pub fn revoke_token(&self, name: &str) -> Result<(), StoreError> {
        self.write(|transaction| {
            if transaction.execute("DELETE FROM tokens WHERE name = ?", [name])? == 0 {
                Err(StoreError::NotFound { what: format!("token {name:?}") })?;
            }
            Ok(())
        })
    }

    /// All tokens, without their secrets.
    ///
    /// # Errors
    /// If the database fails.
    pub fn tokens(&self) -> Result<Vec<TokenInfo>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT name, role, created_ms FROM tokens ORDER BY name")?
                .query_map((), |row| {
                    Ok(TokenInfo { name: row.get(0)?, role: role(&row.get::<_, String>(1)?), created_ms: row.get(2)? })
                })?
                .collect()
        })
    }

    /// Whose a token is; `None` if it is nobody's.
    ///
    /// # Errors
    /// If the database fails.
    pub fn check_token(&self, token: &str) -> Result<Option<TokenInfo>, StoreError> {
        let hash = hash(token);
        let found = self.read(|connection| {
            connection
                .prepare_cached("SELECT name, role, created_ms, sha256 FROM tokens WHERE sha256 = ?")?
                .query_row([&hash], |row| {
                    let info =
                        TokenInfo { name: row.get(0)?, role: role(&row.get::<_, String>(1)?), created_ms: row.get(2)? };
                    Ok((info, row.get::<_, String>(3)?))
                })
                .optional()
        })?;
        Ok(found.filter(|(_, stored)| bool::from(stored.as_bytes().ct_eq(hash.as_bytes()))).map(|(info, _)| info))
    }
}

/// The database takes no other values.
fn role(name: &str) -> Role {
    if name == Role::Manage.name() { Role::Manage } else { Role::Inspect }
}
