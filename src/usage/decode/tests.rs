use super::*;
use crate::usage::meter::tests::packed;

/// What these pieces decode to, up to `most` bytes; and whether they could be decoded.
fn decoded(coding: Coding, pieces: &[&[u8]], most: usize) -> (Vec<u8>, bool) {
    let mut decoder = Decoder::new(coding);
    let mut all = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut |text| {
            all.extend_from_slice(&text[..text.len().min(most - all.len())]);
            all.len() < most
        });
    }
    (all, !decoder.has_failed())
}

#[test]
fn each_coding_is_decoded_however_it_is_cut() {
    let text: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
    for (coding, packed) in packed(&text) {
        for size in [1, 7, 5_000, usize::MAX] {
            let pieces: Vec<&[u8]> = packed.chunks(size).collect();
            let (all, well) = decoded(coding, &pieces, usize::MAX);
            assert!(well && all == text, "{coding:?} by {size}");
        }
    }
}

#[test]
fn who_wants_no_more_is_told_no_more() {
    for (coding, packed) in packed(&vec![b'x'; 1 << 22]) {
        let mut told = 0;
        Decoder::new(coding).feed(&packed, &mut |text| {
            told += text.len();
            false
        });
        assert!((1..=128 * 1024).contains(&told), "{coding:?}: {told}");
    }
}

#[test]
fn no_more_is_decoded_of_one_answer_than_any_has() {
    let mut packed = Vec::new();
    let nothing = vec![0; 1 << 20];
    {
        let mut encoder = zstd::stream::write::Encoder::new(&mut packed, 1).expect("an encoder");
        for _ in 0..(DECODED_MAX >> 20) + 1 {
            encoder.write_all(&nothing).expect("packed");
        }
        encoder.finish().expect("packed");
    }
    let mut decoder = Decoder::new(Coding::Zstd);
    let mut told = 0;
    decoder.feed(&packed, &mut |text| {
        told += text.len() as u64;
        true
    });
    assert!(decoder.has_failed());
    assert!(
        (DECODED_MAX..DECODED_MAX + (1 << 20)).contains(&told),
        "{told}"
    );
}

#[test]
fn what_follows_the_end_is_none_of_it() {
    for (coding, mut packed) in packed(b"text") {
        packed.extend_from_slice(b"\xff\xfe\xfd");
        let (all, _) = decoded(coding, &[&packed], usize::MAX);
        assert_eq!(all, b"text", "{coding:?}");
    }
}
