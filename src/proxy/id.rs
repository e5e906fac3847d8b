//! Request ids: unique, sortable by nobody, cheap to make.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

use crate::upstream::hash;

/// Letters of the ids: base 32 without those that are easily confused (Crockford).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `req_` and 26 letters for 128 bits.
const LENGTH: usize = 30;

/// The id of one request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; LENGTH]);

impl RequestId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Letters of the alphabet only; the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or("req_")
    }

    /// A number that differs from request to request without a pattern.
    #[must_use]
    pub fn chance(&self) -> u64 {
        hash::of([&self.0])
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

/// Makes request ids: a counter, mixed with a seed of this process.
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

    /// The next id.
    pub fn next(&self) -> RequestId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let high = mix(count ^ self.seed[0]);
        // `mix` is a bijection, so the low half alone never repeats within a process.
        let low = mix(count.wrapping_add(self.seed[1]));
        let mut bits = (u128::from(high) << 64) | u128::from(low);
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
            .map(|_| ids.next().as_str().to_owned())
            .collect();
        assert_eq!(made.len(), 10_000);
        assert!(
            made.iter()
                .all(|id| id.len() == LENGTH && id.starts_with("req_"))
        );
    }
}
