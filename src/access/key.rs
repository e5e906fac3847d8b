//! The access key as text.
//!
//! ```text
//! key      = "tg-" id secret checksum    64 characters in all
//! id       = 12 BASE62                   public: names the key in lists, logs and commands
//! secret   = 43 BASE62                   256 bits, from the kernel's generator
//! checksum = 6 BASE62                    CRC-32 (IEEE 802.3) of the 58 characters before it, a number
//!                                        of base 62, most significant digit first, "0"-padded
//! BASE62   = "0"-"9" / "A"-"Z" / "a"-"z" digits in this order
//! ```
//!
//! Leak scanners find it with `\btg-[0-9A-Za-z]{61}\b`, and are certain once the checksum agrees. The
//! checksum catches every change of a single character, so a typo is told from an unknown key
//! without a look-up. The key is one token: no separator ends a double click but the dash after `tg`.
//!
//! Absent: who may do what with a key (`policy`), and which keys exist (`Keyring`).

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::secret::{Secret, same_bytes};

/// What every access key begins with.
pub const PREFIX: &str = "tg-";

/// Characters of an access key.
pub const KEY_LEN: usize = ID_END + SECRET_LEN + CHECKSUM_LEN;

/// Characters of a key's public id: 71 bits, so that ids drawn at random do not meet.
const ID_LEN: usize = 12;

/// 43 × log2(62) = 256.03 bits.
const SECRET_LEN: usize = 43;

/// 62⁶ > 2³².
const CHECKSUM_LEN: usize = 6;

const ID_END: usize = PREFIX.len() + ID_LEN;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The public part of an access key. Safe to print.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; ID_LEN]);

impl KeyId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Every constructor admits BASE62 only, which is ASCII; the default is never seen.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        let id: [u8; ID_LEN] = text.as_bytes().try_into().map_err(|_| NotAKeyId)?;
        id.iter()
            .all(u8::is_ascii_alphanumeric)
            .then_some(Self(id))
            .ok_or(NotAKeyId)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeyId({self})")
    }
}

/// The text is not the id of an access key. It is not kept: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKeyId;

impl fmt::Display for NotAKeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "not the id of an access key: an id has {ID_LEN} letters and digits"
        )
    }
}

impl std::error::Error for NotAKeyId {}

/// SHA-256 of a whole access key: all that is kept of it. Compared in constant time.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Takes a stored digest back; `None` unless it has 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The digest as it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        same_bytes(&self.0, &other.0)
    }
}

impl Eq for KeyDigest {}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("KeyDigest(..)")
    }
}

/// A new access key: what is kept of it, and what is shown once.
#[derive(Debug)]
pub struct AccessKey {
    /// Its public name.
    pub id: KeyId,
    /// The whole key, for the one who asked for it; kept nowhere.
    pub shown: Secret,
    /// What recognises it later.
    pub digest: KeyDigest,
}

impl AccessKey {
    /// Draws a new key from the kernel's generator.
    ///
    /// # Errors
    /// When the kernel has no random bytes to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0; ID_LEN + SECRET_LEN];
        fill_base62(&mut random)?;
        let mut text = String::with_capacity(KEY_LEN);
        text.push_str(PREFIX);
        text.extend(random.map(char::from));
        let sum = checksum(text.as_bytes());
        text.extend(sum.map(char::from));

        let mut id = [0; ID_LEN];
        id.copy_from_slice(&random[..ID_LEN]);
        Ok(Self {
            id: KeyId(id),
            digest: KeyDigest::of(&text),
            shown: Secret::new(text),
        })
    }
}

/// A text of the right form; whether such a key exists is for the keyring to say.
#[derive(Clone, Copy)]
pub struct PresentedKey<'a> {
    id: KeyId,
    text: &'a str,
}

impl PresentedKey<'_> {
    /// Which key it claims to be.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether the checksum fits the rest: if not, it was mistyped, and there is no such key.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        let (signed, sum) = self.text.as_bytes().split_at(KEY_LEN - CHECKSUM_LEN);
        checksum(signed) == *sum
    }

    /// SHA-256 of the whole key.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(self.text)
    }
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PresentedKey({}, ..)", self.id)
    }
}

/// Why a text is no access key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// It does not begin with `tg-`: the credential of somebody else.
    NoPrefix,
    /// Cut off, lengthened, or with characters that no key has.
    WrongForm,
    /// A typo: the checksum does not fit the rest.
    WrongChecksum,
}

/// Does `text` claim to be an access key, be it mistyped or not?
#[must_use]
pub fn has_prefix(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Checks form and checksum. Allocates nothing and asks nobody.
///
/// # Errors
/// The first fault in the order of [`KeyFault`].
pub fn parse(text: &str) -> Result<PresentedKey<'_>, KeyFault> {
    let key = parse_form(text)?;
    if key.is_intact() {
        Ok(key)
    } else {
        Err(KeyFault::WrongChecksum)
    }
}

/// As [`parse`], without the checksum: enough where the digest is compared next.
///
/// # Errors
/// [`KeyFault::NoPrefix`] or [`KeyFault::WrongForm`].
pub fn parse_form(text: &str) -> Result<PresentedKey<'_>, KeyFault> {
    let body = text.strip_prefix(PREFIX).ok_or(KeyFault::NoPrefix)?;
    // Every byte is looked at, without stopping at a first one: that is what vectorizes.
    let is_token = |all: bool, byte: u8| all & byte.is_ascii_alphanumeric();
    if text.len() != KEY_LEN || !body.bytes().fold(true, is_token) {
        return Err(KeyFault::WrongForm);
    }
    let mut id = [0; ID_LEN];
    id.copy_from_slice(&text.as_bytes()[PREFIX.len()..ID_END]);
    Ok(PresentedKey {
        id: KeyId(id),
        text,
    })
}

/// Characters drawn evenly: a byte past the largest multiple of 62 is thrown away.
fn fill_base62(out: &mut [u8]) -> Result<(), getrandom::Error> {
    const EVEN: u8 = 62 * 4;
    let mut free = out.iter_mut();
    loop {
        let mut random = [0; 64];
        getrandom::fill(&mut random)?;
        for byte in random.into_iter().filter(|byte| *byte < EVEN) {
            let Some(place) = free.next() else {
                return Ok(());
            };
            *place = BASE62[usize::from(byte % 62)];
        }
    }
}

fn checksum(signed: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32(signed);
    let mut digits = [0; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

fn crc32(bytes: &[u8]) -> u32 {
    let step =
        |crc: u32, byte: &u8| CRC32_TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

/// CRC-32 of IEEE 802.3, reflected, a byte at a time.
static CRC32_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u32;
    while byte < 256 {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Pinned, so that keys given out stay valid: generated once, checked with Python's
    /// `zlib.crc32`.
    const PINNED: &str = "tg-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrs4EHONg";

    #[test]
    fn the_checksum_is_the_published_crc() {
        assert_eq!(
            crc32(b"123456789"),
            0xCBF4_3926,
            "the check value of CRC-32/ISO-HDLC"
        );
    }

    #[test]
    fn a_pinned_key_stays_a_key() {
        let key = parse(PINNED).unwrap();
        assert_eq!(key.id().as_str(), "0123456789AB");
        assert_eq!(PINNED.len(), 64);
    }

    #[test]
    fn new_keys_have_the_published_form_and_are_all_different() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let key = AccessKey::generate().unwrap();
            let text = key.shown.expose();
            assert!(text.len() == 64 && text.starts_with("tg-"), "{text}");
            assert!(
                text[3..].bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{text}"
            );
            let presented = parse(text).unwrap();
            assert_eq!((presented.id(), presented.digest()), (key.id, key.digest));
            assert!(seen.insert(text.to_owned()) && seen.insert(key.id.to_string()));
        }
    }

    #[test]
    fn every_character_of_the_alphabet_is_drawn_about_equally_often() {
        let mut drawn = vec![0; 62 * 2000];
        fill_base62(&mut drawn).unwrap();
        for letter in BASE62 {
            let count = drawn.iter().filter(|byte| *byte == letter).count();
            // Twelve standard deviations (√2000 ≈ 45) to each side.
            assert!(
                (1460..2540).contains(&count),
                "{} drawn {count} times",
                char::from(*letter)
            );
        }
    }

    #[test]
    fn every_change_of_one_character_is_caught() {
        let key = AccessKey::generate().unwrap();
        let text = key.shown.expose();
        for at in 0..KEY_LEN {
            for other in (b' '..=b'~').map(char::from) {
                let mut typo = text.to_owned();
                typo.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
                assert_eq!(parse(&typo).is_ok(), typo == text, "{typo}");
            }
        }
    }

    #[test]
    fn every_swap_of_neighbours_is_caught() {
        let text = PINNED;
        for at in 0..KEY_LEN - 1 {
            let mut bytes = text.as_bytes().to_vec();
            bytes.swap(at, at + 1);
            let swapped = String::from_utf8(bytes).unwrap();
            assert_eq!(parse(&swapped).is_ok(), swapped == text, "{swapped}");
        }
    }

    #[test]
    fn each_fault_has_its_name() {
        let typo = PINNED.replace('7', "1");
        let cases = [
            ("", KeyFault::NoPrefix),
            ("sk-ant-api03-x", KeyFault::NoPrefix),
            ("TG-0123", KeyFault::NoPrefix),
            ("tg-", KeyFault::WrongForm),
            (&PINNED[..63], KeyFault::WrongForm),
            (&format!("{PINNED}0"), KeyFault::WrongForm),
            (&PINNED.replace('0', "-"), KeyFault::WrongForm),
            (&PINNED.replace("01", "é"), KeyFault::WrongForm),
            (&typo, KeyFault::WrongChecksum),
        ];
        for (text, fault) in cases {
            assert_eq!(parse(text).err(), Some(fault), "{text}");
        }
    }

    #[test]
    fn no_debug_print_holds_the_secret() {
        let key = AccessKey::generate().unwrap();
        let secret = &key.shown.expose()[ID_END..ID_END + SECRET_LEN];
        let digest = format!("{:?}", key.digest.as_bytes());
        let shown = format!("{key:?} {:?}", parse(key.shown.expose()));
        assert!(shown.contains(key.id.as_str()), "{shown}");
        assert!(
            !shown.contains(secret) && !shown.contains(&digest),
            "{shown}"
        );
    }

    #[test]
    fn an_id_is_read_back_and_nothing_else_is_an_id() {
        assert_eq!(
            "0123456789AB".parse::<KeyId>().unwrap().to_string(),
            "0123456789AB"
        );
        for text in ["", "0123456789A", "0123456789ABC", "0123456789A-", PINNED] {
            assert_eq!(text.parse::<KeyId>(), Err(NotAKeyId), "{text}");
        }
    }
}
