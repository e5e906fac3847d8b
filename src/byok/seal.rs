//! Secrets sealed for the store: ChaCha20-Poly1305 under one of the operator's master keys, bound to the row that holds
//! them, so that a row cannot be read as that of another account or provider.
//!
//! Nonces are 96 random bits. With 2^32 seals under one master key two of them are equal with a probability of 2^-33;
//! past that, or once a key may have been seen, take a new one and reseal.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::master::{MasterId, MasterKey};
use crate::access::AccountId;
use crate::secret::Secret;

/// Names what is sealed and how, so that nothing else that is ever sealed under the same key can stand for it.
const PURPOSE: &[u8] = b"tollgate provider key 1";

/// The row that a secret is sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The row's id.
    pub id: &'a str,
    /// Whose key it is.
    pub account: AccountId,
    /// The provider it is for.
    pub provider: &'a str,
}

impl Place<'_> {
    /// The place as bytes; no two places have the same, for the parts of varying length stand behind their lengths.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = PURPOSE.to_vec();
        bytes.extend(self.account.0.to_be_bytes());
        for part in [self.id, self.provider] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}

/// A sealed secret, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The master key that opens it.
    pub master: MasterId,
    /// Drawn for this seal.
    pub nonce: [u8; NONCE_LEN],
    /// The encrypted text, and behind it the tag.
    pub text: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sealed({}, ..)", self.master)
    }
}

/// What was sealed cannot be read with the key it names: it was changed, or is not where it was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSealed {
    /// The configuration names no master key that can be read.
    NoMasterKey,
    /// The kernel has no random bytes to give, or the secret is longer than anything that can be sealed.
    Failed,
}

impl fmt::Display for NotSealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NoMasterKey => {
                "provider keys are stored under a master key, and there is none: set \
                 `byok.master_key` in the configuration (`openssl rand -hex 32` makes one)"
            }
            Self::Failed => "the provider key could not be encrypted: no random bytes",
        })
    }
}

impl std::error::Error for NotSealed {}

/// A master key made ready.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    pub(super) fn new(key: &MasterKey) -> Option<Self> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.bytes()).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    pub(super) fn seal(
        &self,
        master: MasterId,
        place: &Place<'_>,
        secret: &Secret,
    ) -> Result<Sealed, NotSealed> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| NotSealed::Failed)?;
        let mut text = secret.expose().as_bytes().to_vec();
        let (unique, bound) = (
            Nonce::assume_unique_for_key(nonce),
            Aad::from(place.bytes()),
        );
        self.0
            .seal_in_place_append_tag(unique, bound, &mut text)
            .map_err(|_| NotSealed::Failed)?;
        Ok(Sealed {
            master,
            nonce,
            text,
        })
    }

    pub(super) fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Secret, Damaged> {
        let mut text = sealed.text.clone();
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(place.bytes()), &mut text);
        let opened = std::str::from_utf8(opened.map_err(|_| Damaged)?);
        opened.map(Secret::new).map_err(|_| Damaged)
    }
}
