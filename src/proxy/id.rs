//! Request ids: unique, cheap to make, and in the order of time, so that an index of them grows at its end (in one of
//! random ids each new one is at another place: the ledger would write a page of its own for every request).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use crate::upstream::hash;

/// Letters of the ids: base 32 without those that are easily confused (Crockford).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `req_` and 26 letters for 128 bits: 48 of milliseconds since 1970, and 80 that differ within one (as a ULID has them).
const LENGTH: usize = 30;

/// The id of one request.
#[derive(Clone, Copy, PartialEq, Eq)]
// So that it is read by words where it is checked to be text: half the instructions.
#[repr(align(8))]
pub struct RequestId([u8; LENGTH]);

impl RequestId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Letters of the alphabet only; the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or("req_")
    }

    /// Whether a text has the form of one.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        let letters = text.strip_prefix("req_").map(str::as_bytes);
        letters.is_some_and(|letters| {
            text.len() == LENGTH && letters.iter().all(|letter| ALPHABET.contains(letter))
        })
    }

    /// A number that differs from request to request without a pattern: made of the last letters, which do.
    #[must_use]
    pub fn chance(&self) -> u64 {
        let letters = self.0.last_chunk().copied().unwrap_or_default();
        hash::mix(u64::from_le_bytes(letters))
    }

    /// As a header's value.
    #[must_use]
    pub fn to_header(self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).unwrap_or(HeaderValue::from_static("req_"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Makes request ids: the time, and a counter that is mixed with a seed of this process.
#[derive(Debug)]
pub struct RequestIds {
    seed: [u64; 2],
    count: AtomicU64,
}

impl RequestIds {
    /// Ids of a process with this random seed.
    #[must_use]
    pub fn new(seed: [u64; 2]) -> Self {
        Self {
            seed,
            count: AtomicU64::new(0),
        }
    }

    /// The next id, of a request that arrived `now`.
    pub fn next(&self, now: SystemTime) -> RequestId {
        let time = now.duration_since(UNIX_EPOCH);
        self.next_at(time.unwrap_or_default().as_millis())
    }

    /// The next id, in this millisecond since 1970.
    fn next_at(&self, millis: u128) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let middle = mix(count ^ self.seed[0]) >> 48;
        // `mix` is a bijection, so the low half alone never repeats within a process.
        let low = mix(count.wrapping_add(self.seed[1]));
        let mut bits = (millis << 80) | (u128::from(middle) << 64) | u128::from(low);
        let mut id = [0; LENGTH];
        id[..4].copy_from_slice(b"req_");
        for letter in id[4..].iter_mut().rev() {
            *letter = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
        RequestId(id)
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_differ_and_are_plain_text() {
        let ids = RequestIds::new([7, 9]);
        let made: HashSet<String> = (0..10_000)
            .map(|_| ids.next_at(1).as_str().to_owned())
            .collect();
        assert_eq!(made.len(), 10_000);
        assert!(
            made.iter()
                .all(|id| id.len() == LENGTH && id.starts_with("req_0000000001"))
        );
    }

    #[test]
    fn a_later_id_is_behind_an_earlier_one() {
        let ids = RequestIds::new([7, 9]);
        let times = [0, 1, 31, 32, 1_700_000_000_000, 1_700_000_000_001];
        let made = times.map(|millis| ids.next_at(millis));
        assert!(made.is_sorted_by_key(RequestId::as_str));
        assert!(ids.next(SystemTime::now()).as_str() > made[4].as_str());
    }
}
