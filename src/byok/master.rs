//! The operator's master keys: under the first of them new secrets are sealed, and what any of them has sealed is opened.
//! They are named by references to secrets in the configuration; each row of the store says which of them it needs.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};

use super::seal::{Cipher, Damaged, NotSealed, Place, Sealed};
use crate::secret::{Secret, SecretRef};

/// Bytes of a master key.
pub const MASTER_LEN: usize = 32;

/// Bytes of its name.
const ID_LEN: usize = 8;

/// A master key, of 256 bits. It prints as `MasterKey(..)`.
pub struct MasterKey([u8; MASTER_LEN]);

impl MasterKey {
    /// Draws a new one from the kernel's generator.
    ///
    /// # Errors
    /// When the kernel has no random bytes to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; MASTER_LEN];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// As it is written: 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> Secret {
        Secret::new(hex(&self.0))
    }

    pub(super) fn bytes(&self) -> &[u8; MASTER_LEN] {
        &self.0
    }

    fn id(&self) -> MasterId {
        let digest = Sha256::new()
            .chain_update(b"tollgate master key\0")
            .chain_update(self.0)
            .finalize();
        let mut id = [0; ID_LEN];
        id.copy_from_slice(&digest[..ID_LEN]);
        MasterId(id)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("MasterKey(..)")
    }
}

/// The text is no master key. It is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMasterKey;

impl fmt::Display for NotAMasterKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "holds no master key: that is {MASTER_LEN} random bytes, written in hexadecimal or base64 \
             (`openssl rand -hex {MASTER_LEN}` makes one)"
        )
    }
}

impl FromStr for MasterKey {
    type Err = NotAMasterKey;

    fn from_str(text: &str) -> Result<Self, NotAMasterKey> {
        let text = text.trim();
        let bytes = unhex(text)
            .or_else(|| unbase64(text))
            .ok_or(NotAMasterKey)?;
        let bytes: [u8; MASTER_LEN] = bytes.try_into().map_err(|_| NotAMasterKey)?;
        // A place-holder that somebody forgot to replace.
        if bytes.iter().all(|byte| *byte == bytes[0]) {
            return Err(NotAMasterKey);
        }
        Ok(Self(bytes))
    }
}

/// The name of a master key: a part of its digest, safe to print.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MasterId([u8; ID_LEN]);

impl fmt::Display for MasterId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&hex(&self.0))
    }
}

impl fmt::Debug for MasterId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MasterId({self})")
    }
}

/// The text names no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMasterId;

impl FromStr for MasterId {
    type Err = NotAMasterId;

    fn from_str(text: &str) -> Result<Self, NotAMasterId> {
        let id = unhex(text).and_then(|bytes| bytes.try_into().ok());
        id.map(Self).ok_or(NotAMasterId)
    }
}

/// Why a sealed secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Sealed under a master key that the configuration does not name.
    UnknownMaster(MasterId),
    /// It was changed, or moved to another row.
    Damaged,
    /// What was sealed is nothing that a header can carry.
    NoKey,
}

impl fmt::Display for Unusable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownMaster(id) => write!(
                out,
                "it is sealed under the master key {id}, which is none of those that the configuration names"
            ),
            Self::Damaged => {
                out.write_str("its row was changed or damaged; rotate it, or remove it")
            }
            Self::NoKey => out.write_str("it holds a byte that no header can carry; rotate it"),
        }
    }
}

impl From<Damaged> for Unusable {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

/// All master keys that the configuration names and that can be read, the one that seals first.
#[derive(Default)]
pub struct MasterKeys {
    keys: Vec<(MasterId, Cipher)>,
    /// Whether the first of them is the one that the configuration has first.
    seals: bool,
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.ids()).finish()
    }
}

impl MasterKeys {
    /// These, in their order.
    #[must_use]
    pub fn new(keys: &[MasterKey]) -> Self {
        let ready = |key: &MasterKey| Some((key.id(), Cipher::new(key)?));
        Self {
            keys: keys.iter().filter_map(ready).collect(),
            seals: !keys.is_empty(),
        }
    }

    /// Reads what `references` name; blocks on files. With the keys comes a line for each that cannot be read. Where
    /// that is the first, none seals: the next one is about to go.
    #[must_use]
    pub fn read(references: &[SecretRef]) -> (Self, Vec<String>) {
        let (mut keys, mut problems) = (Vec::new(), Vec::new());
        let mut first_fails = false;
        for (at, reference) in references.iter().enumerate() {
            match read(reference) {
                Ok(key) => keys.push(key),
                Err(problem) => {
                    first_fails |= at == 0;
                    problems.push(problem);
                }
            }
        }
        let mut keys = Self::new(&keys);
        keys.seals &= !first_fails;
        (keys, problems)
    }

    /// Their names, the one that seals first.
    pub fn ids(&self) -> impl Iterator<Item = MasterId> + '_ {
        self.keys.iter().map(|(id, _)| *id)
    }

    /// The name of the one that seals.
    #[must_use]
    pub fn sealing(&self) -> Option<MasterId> {
        self.ids().next().filter(|_| self.seals)
    }

    /// Whether they are the same in the same order.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.seals == other.seals && self.ids().eq(other.ids())
    }

    /// Seals `secret` for the row `place`.
    ///
    /// # Errors
    /// See [`NotSealed`].
    pub fn seal(&self, place: &Place<'_>, secret: &Secret) -> Result<Sealed, NotSealed> {
        let first = self.keys.first().filter(|_| self.seals);
        let (id, cipher) = first.ok_or(NotSealed::NoMasterKey)?;
        cipher.seal(*id, place, secret)
    }

    /// What was sealed for the row `place`.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Secret, Unusable> {
        let (_, cipher) = self
            .keys
            .iter()
            .find(|(id, _)| *id == sealed.master)
            .ok_or(Unusable::UnknownMaster(sealed.master))?;
        Ok(cipher.open(place, sealed)?)
    }
}

fn read(reference: &SecretRef) -> Result<MasterKey, String> {
    let secret = reference.resolve().map_err(|error| error.to_string())?;
    let key = secret.expose().parse();
    key.map_err(|fault: NotAMasterKey| format!("{reference} {fault}"))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |place: u8| char::from(DIGITS[usize::from(place & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty())
}

/// In either alphabet, padded or not.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decode = |alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok();
    decode(&STANDARD).or_else(|| decode(&URL_SAFE))
}

/// The master keys, and what is wrong with those that cannot be read.
#[derive(Debug, Default)]
pub struct Masters {
    /// Those that are used.
    pub keys: MasterKeys,
    /// A line for each that cannot be read.
    pub problems: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::AccountId;

    const PLACE: Place<'static> = Place {
        id: "pk-1",
        account: AccountId(7),
        provider: "openai",
    };

    fn key(seed: u8) -> MasterKey {
        MasterKey(std::array::from_fn(|at| seed.wrapping_add(at as u8)))
    }

    fn secret() -> Secret {
        Secret::new("sk-live-do-not-print")
    }

    #[test]
    fn what_is_sealed_opens_in_its_own_place_only() {
        let keys = MasterKeys::new(&[key(1)]);
        let sealed = keys.seal(&PLACE, &secret()).unwrap();
        assert_eq!(keys.open(&PLACE, &sealed), Ok(secret()));
        for place in [
            Place {
                id: "pk-2",
                ..PLACE
            },
            Place {
                account: AccountId(8),
                ..PLACE
            },
            Place {
                provider: "openai2",
                ..PLACE
            },
            // The same letters, divided otherwise.
            Place {
                id: "pk-1o",
                provider: "penai",
                ..PLACE
            },
        ] {
            assert_eq!(
                keys.open(&place, &sealed),
                Err(Unusable::Damaged),
                "{place:?}"
            );
        }
    }

    #[test]
    fn every_change_of_what_is_stored_is_noticed() {
        let keys = MasterKeys::new(&[key(1)]);
        let sealed = keys.seal(&PLACE, &secret()).unwrap();
        for bit in 0..sealed.text.len() * 8 {
            let mut changed = sealed.clone();
            changed.text[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys.open(&PLACE, &changed), Err(Unusable::Damaged), "{bit}");
        }
        for bit in 0..sealed.nonce.len() * 8 {
            let mut changed = sealed.clone();
            changed.nonce[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys.open(&PLACE, &changed), Err(Unusable::Damaged), "{bit}");
        }
        for length in 0..sealed.text.len() {
            let mut cut = sealed.clone();
            cut.text.truncate(length);
            assert_eq!(keys.open(&PLACE, &cut), Err(Unusable::Damaged), "{length}");
        }
    }

    #[test]
    fn nothing_of_a_secret_is_in_what_is_stored_and_no_seal_is_like_another() {
        let keys = MasterKeys::new(&[key(1)]);
        let seals: Vec<Sealed> = (0..50)
            .map(|_| keys.seal(&PLACE, &secret()).unwrap())
            .collect();
        for (at, sealed) in seals.iter().enumerate() {
            let text = String::from_utf8_lossy(&sealed.text);
            assert!(!text.contains("live") && !format!("{sealed:?}").contains("live"));
            let others = &seals[..at];
            assert!(
                others
                    .iter()
                    .all(|other| other.nonce != sealed.nonce && other.text != sealed.text)
            );
        }
    }

    #[test]
    fn the_first_key_seals_and_each_opens_what_it_sealed() {
        let (old, new) = (MasterKeys::new(&[key(1)]), MasterKeys::new(&[key(2)]));
        let both = MasterKeys::new(&[key(2), key(1)]);
        let before = old.seal(&PLACE, &secret()).unwrap();
        let after = both.seal(&PLACE, &secret()).unwrap();
        assert_eq!(Some(after.master), new.sealing());
        assert_eq!(both.open(&PLACE, &before), Ok(secret()));
        assert_eq!(new.open(&PLACE, &after), Ok(secret()));
        assert_eq!(
            new.open(&PLACE, &before),
            Err(Unusable::UnknownMaster(before.master))
        );
        assert_eq!(
            MasterKeys::default().seal(&PLACE, &secret()),
            Err(NotSealed::NoMasterKey)
        );
    }

    #[test]
    fn a_master_key_is_read_in_every_usual_writing() {
        let bytes: [u8; MASTER_LEN] = std::array::from_fn(|at| 251 - at as u8);
        let engine = base64::engine::general_purpose::STANDARD;
        let padded = engine.encode(bytes);
        let url = padded.replace('+', "-").replace('/', "_");
        for text in [
            hex(&bytes),
            hex(&bytes).to_uppercase(),
            format!(" {}\n", hex(&bytes)),
            padded.clone(),
            padded.trim_end_matches('=').to_owned(),
            url,
        ] {
            let read: MasterKey = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(read.bytes(), &bytes, "{text}");
            assert_eq!(read.to_hex(), Secret::new(hex(&bytes)));
        }
        let id = key(1).id();
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn where_the_first_cannot_be_read_the_others_open_and_none_seals() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            SecretRef::File(path)
        };
        let old = file("old", key(1).to_hex().expose());
        let sealed = MasterKeys::read(std::slice::from_ref(&old))
            .0
            .seal(&PLACE, &secret());
        let sealed = sealed.unwrap();
        for new in [
            file("bad", "no key"),
            SecretRef::File(folder.path().join("none")),
        ] {
            let (keys, problems) = MasterKeys::read(&[new.clone(), old.clone()]);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(&new.to_string()), "{problems:?}");
            assert_eq!(keys.open(&PLACE, &sealed), Ok(secret()));
            assert_eq!(keys.seal(&PLACE, &secret()), Err(NotSealed::NoMasterKey));
            assert_eq!(keys.sealing(), None);
            let (keys, _) = MasterKeys::read(&[old.clone(), new]);
            assert!(keys.sealing().is_some());
        }
    }

    #[test]
    fn what_is_no_master_key_is_refused_and_not_repeated() {
        for text in [
            "".to_owned(),
            "correct horse battery staple".to_owned(),
            hex(&[1; 16]),
            hex(&[0; MASTER_LEN]),
            "ff".repeat(MASTER_LEN),
            format!("{}0", hex(key(1).bytes())),
            hex(key(1).bytes())[1..].to_owned(),
        ] {
            let fault = text.parse::<MasterKey>().expect_err(&text).to_string();
            assert!(text.is_empty() || !fault.contains(&text), "{fault}");
        }
        assert_eq!(format!("{:?}", key(1)), "MasterKey(..)");
    }
}
